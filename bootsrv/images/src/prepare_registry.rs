//! An image of a registry: manifest, configuration, then all layers side by side.

use crate::error::PrepareError;
use crate::prepare_layer::{Parts, Wanted, Workshop};
use crate::prepare_room::Budget;
use crate::prepared::PreparedLayer;
use crate::progress::Progress;
use crate::registry::manifest::{self, Configuration, Descriptor, Document};
use crate::registry::{Failure, Session};
use protocol::image_reference::DockerReference;
use protocol::names::Digest;
use std::cmp::Reverse;
use std::sync::Arc;
use tokio::task::JoinSet;

/// Fetches and converts what is not on the shelf.
pub(crate) async fn prepare(
    workshop: &Workshop,
    session: Session,
    image: &DockerReference,
    (progress, budget): (Arc<Progress>, Arc<Budget>),
) -> Result<Parts, PrepareError> {
    let architecture = &workshop.settings.architecture;
    let (blobs, config) = describe(&session, image, architecture).await?;
    check(&blobs, workshop)?;
    budget.check(blobs.iter().fold(0, |sum, blob| sum.saturating_add(blob.size)))?;
    let parts = blobs.iter().zip(config.diff_ids.iter().copied()).collect();
    let layers = layers(workshop, session, parts, (progress, budget.clone())).await?;
    let layers = workshop.complete(layers, &budget).await?;
    Ok(Parts { architecture: config.architecture, layers, config: config.run })
}

/// The layers' blobs and the configuration; an index leads on to one manifest.
async fn describe(
    session: &Session,
    image: &DockerReference,
    architecture: &str,
) -> Result<(Vec<Descriptor>, Configuration), Failure> {
    let (bytes, media_type) = session.fetch_manifest(image).await?;
    let mut document = manifest::parse_document(&bytes, &media_type, architecture)?;
    if let Document::Index(chosen) = &document {
        let bytes = session.fetch_document(image, chosen).await.map_err(Failure::of_a_part)?;
        document = manifest::parse_document(&bytes, &chosen.media_type, architecture)?;
    }
    match document {
        Document::Index(_) => Err(Failure::user("its index leads to another index")),
        Document::Image { config, layers } => {
            let bytes = session.fetch_configuration(&config).await?;
            let config = manifest::parse_configuration(&bytes, layers.len(), architecture)?;
            Ok((layers, config))
        }
    }
}

/// The numbers a manifest claims.
fn check(blobs: &[Descriptor], workshop: &Workshop) -> Result<(), PrepareError> {
    let most = workshop.settings.layers_max;
    if blobs.is_empty() || blobs.len() > most {
        let count = blobs.len();
        return Err(PrepareError::user(format!("it has {count} layers; 1 to {most} can be used")));
    }
    let bytes_max = workshop.settings.limits.unpacked_bytes_max;
    if let Some(large) = blobs.iter().find(|blob| blob.size > bytes_max) {
        let bytes = large.size;
        return Err(PrepareError::user(format!(
            "it has a layer of {bytes} bytes, the site's limit is {bytes_max}"
        )));
    }
    Ok(())
}

/// All layers, in the order of the image; begun in the order of their size, so that the largest one
/// is not the last to end.
async fn layers(
    workshop: &Workshop,
    session: Session,
    parts: Vec<(&Descriptor, Digest)>,
    (progress, budget): (Arc<Progress>, Arc<Budget>),
) -> Result<Vec<PreparedLayer>, PrepareError> {
    let bytes = parts.iter().fold(0_u64, |sum, (blob, _)| sum.saturating_add(blob.size));
    progress.announce(bytes, u32::try_from(parts.len()).unwrap_or(u32::MAX));
    let mut order: Vec<_> = parts.into_iter().enumerate().collect();
    order.sort_by_key(|(_, (blob, _))| Reverse(blob.size));

    let session = Arc::new(session);
    let mut tasks = JoinSet::new();
    for (at, (blob, diff_id)) in order {
        let (workshop, session, blob) = (workshop.clone(), session.clone(), blob.clone());
        let (progress, budget) = (progress.clone(), budget.clone());
        tasks.spawn(async move {
            let told = (&*progress, &*budget);
            let wanted = Wanted { session: &session, blob: &blob, diff_id };
            Ok((at, workshop.layer(&wanted, told).await?))
        });
    }
    let mut done = Vec::new();
    while let Some(ended) = tasks.join_next().await {
        let ended: Result<(usize, PreparedLayer), PrepareError> =
            ended.map_err(|error| PrepareError::site(format!("bootsrv has a bug: {error}")))?;
        done.push(ended?);
    }
    done.sort_by_key(|(at, _)| *at);
    Ok(done.into_iter().map(|(_, layer)| layer).collect())
}
