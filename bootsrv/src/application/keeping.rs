//! What is not kept for ever: images nobody uses, users' files, credentials nobody came back for.

use super::uploads;
use crate::clock::{SECOND_NS, now_unix_ns};
use crate::deployment::engine::Engine;
use crate::hub::Hub;
use crate::store::Store;
use artifacts::Image;
use images::PreparedImage;
use images::shelf::{GcLimits, Removed};
use protocol::error::{ApiError, ErrorKind};
use protocol::names::Digest;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Between two rounds.
const ROUND: Duration = Duration::from_secs(3600);
/// A job that waits in the queue for longer submits its credential again, in seconds: 30 days.
const CREDENTIAL_SECONDS: i64 = 30 * 86_400;
/// An image that is wanted without a job is tried for so long, in seconds: a day.
const PULL_SECONDS: i64 = 86_400;
/// A day.
const DAY: Duration = Duration::from_secs(86_400);

/// Starts the rounds; they go on for ever.
pub fn start(engine: Arc<Engine>, hub: Arc<Hub>) {
    // Weakly: the hub has the images, and the images have this.
    let (weak_engine, weak_hub) = (Arc::downgrade(&engine), Arc::downgrade(&hub));
    hub.application().on_full_disk(move |missing| {
        let (Some(engine), Some(hub)) = (weak_engine.upgrade(), weak_hub.upgrade()) else { return };
        match make_room(&engine, &hub, missing) {
            Ok(removed) => {
                for image in removed {
                    log::warn!("image {} is removed: the disk is full", image.reference);
                }
            }
            Err(error) => log::error!("making room on the disk: {error}"),
        }
    });
    crate::essential::spawn("the keeping of images", async move {
        loop {
            let (engine, hub) = (Arc::clone(&engine), Arc::clone(&hub));
            let round = tokio::task::spawn_blocking(move || round(&engine, &hub));
            match round.await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => log::error!("removing what nobody uses: {error}"),
                Err(error) => log::error!("removing what nobody uses: {error}"),
            }
            tokio::time::sleep(ROUND).await;
        }
    });
}

fn round(engine: &Engine, hub: &Hub) -> Result<(), ApiError> {
    let (store, config) = (&engine.store, &engine.config);
    let now = now_unix_ns();
    let before = now.saturating_sub(CREDENTIAL_SECONDS.saturating_mul(SECOND_NS));
    store.forget_old_credentials(before).map_err(|error| broken(&error))?;
    let before = now.saturating_sub(PULL_SECONDS.saturating_mul(SECOND_NS));
    let ended = store.end_old_pulls(before).map_err(|error| broken(&error))?;
    if ended > 0 {
        log::warn!("{ended} pull(s) without a job are given up after a day");
    }
    let needed = uploads::needed(store).map_err(|error| broken(&error))?;
    let all = store.uploads().map_err(|error| broken(&error))?;
    let stale = uploads::stale(&all, &needed, &config.application_images.site, now);
    uploads::delete(config, store, &stale).map_err(|error| broken(&error))?;
    match hub.application().remove_unfinished() {
        Ok(0) => {}
        Ok(bytes) => log::info!("removed {bytes} bytes of layers whose pulls nobody went on with"),
        Err(error) => log::warn!("removing layers that were begun and not fetched: {error}"),
    }
    let removed = collect(engine, hub, None)?;
    for image in removed {
        log::info!("image {} is removed: nobody has used it for long", image.reference);
    }
    Ok(())
}

/// Removes images beyond the site's limits, or unused for longer than an admin says; none that a job or
/// a name of the catalog uses.
///
/// # Errors
/// When the shelf or the store fails.
pub fn collect(
    engine: &Engine,
    hub: &Hub,
    older_than: Option<Duration>,
) -> Result<Vec<Removed>, ApiError> {
    let removed = {
        let _kept = hub.keep();
        let in_use = in_use(&engine.store, hub)?;
        let (shelf, limits) = (hub.application().shelf(), limits(engine, older_than));
        shelf.gc(&limits, &in_use, SystemTime::now()).map_err(|error| broken(&error))?
    };
    hub.sweep(&engine.store)?;
    Ok(removed)
}

/// Removes images that nothing uses, the longest unused first, until so many bytes are free. None if
/// even all of them are fewer bytes: what is missing is missing then as well.
///
/// # Errors
/// When the shelf or the store fails.
pub fn make_room(engine: &Engine, hub: &Hub, bytes: u64) -> Result<Vec<Removed>, ApiError> {
    let removed = {
        let _kept = hub.keep();
        let in_use = in_use(&engine.store, hub)?;
        let shelf = hub.application().shelf();
        let (now, limits) = (SystemTime::now(), limits(engine, None));
        let all = GcLimits { bytes_max: 0, ..limits };
        let all = shelf.would_gc(&all, &in_use, now).map_err(|error| broken(&error))?;
        let most: u64 = all.iter().map(|one| one.bytes).sum();
        if most < bytes {
            log::warn!("the disk lacks {bytes} bytes, and images that nobody uses have {most}");
            return Ok(Vec::new());
        }
        let held = bytes_of(&shelf.list().map_err(|error| broken(&error))?);
        let bytes_max = held.saturating_sub(bytes).min(limits.bytes_max);
        let limits = GcLimits { bytes_max, ..limits };
        shelf.gc(&limits, &in_use, now).map_err(|error| broken(&error))?
    };
    hub.sweep(&engine.store)?;
    Ok(removed)
}

/// Bytes of all images' layers, as [`GcLimits::bytes_max`] is compared with: equal layers are one
/// file, and layers that no image has do not count.
fn bytes_of(images: &[PreparedImage]) -> u64 {
    let layers = images.iter().flat_map(|image| &image.layers);
    let files: BTreeMap<Digest, u64> =
        layers.map(|layer| (layer.squashfs.sha256, layer.squashfs.bytes)).collect();
    files.values().sum()
}

/// What [`collect`] would remove now.
///
/// # Errors
/// When the shelf or the store fails.
pub fn would_collect(
    engine: &Engine,
    hub: &Hub,
    older_than: Option<Duration>,
) -> Result<Vec<Removed>, ApiError> {
    let in_use = in_use(&engine.store, hub)?;
    let shelf = hub.application().shelf();
    let limits = limits(engine, older_than);
    shelf.would_gc(&limits, &in_use, SystemTime::now()).map_err(|error| broken(&error))
}

/// The site's limits, or only an age.
#[must_use]
pub fn limits(engine: &Engine, older_than: Option<Duration>) -> GcLimits {
    let pull = &engine.config.application_images.pull;
    match older_than {
        Some(age_max) => GcLimits { bytes_max: u64::MAX, age_max },
        None => {
            GcLimits { bytes_max: pull.cache_bytes, age_max: DAY.saturating_mul(pull.cache_days) }
        }
    }
}

/// The digests of the images that a live job, a wish, or a name of the catalog needs.
///
/// # Errors
/// When the store or the hub cannot be read.
pub fn in_use(store: &Store, hub: &Hub) -> Result<BTreeSet<Digest>, ApiError> {
    let mut in_use = BTreeSet::new();
    in_use.extend(store.images_in_use().map_err(|error| broken(&error))?);
    let pulls = store.pulls().map_err(|error| broken(&error))?;
    in_use.extend(pulls.iter().filter_map(|(image, _)| images::prepared::key(image)));
    in_use.extend(hub.images()?.iter().filter_map(digest));
    Ok(in_use)
}

/// The prepared image that a name of the catalog means; none: it was sent as an archive.
#[must_use]
pub fn digest(image: &Image) -> Option<Digest> {
    images::prepared::key(image.reference.as_ref()?)
}

fn broken(error: &(dyn std::error::Error + 'static)) -> ApiError {
    ApiError::new(ErrorKind::Site, crate::chain(error))
}
