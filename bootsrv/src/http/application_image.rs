//! Prepared application images: pulled once for all nodes, kept by digest.

use super::answer::{Answer, Refused, blocking, parse, refuse};
use super::auth::{Caller, Signed};
use super::pinning::{pin_now, refused};
use super::{App, image};
use crate::application::{self, keeping, policy, preparation};
use crate::clock::now_unix_ns;
use crate::deployment::Application;
use crate::store::PULLS_MAX;
use axum::Json;
use axum::extract::{Path, State as AppState};
use images::PreparedImage;
use images::prepared::PreparedLayer;
use protocol::api::{
    ApplicationImageView, CollectRequest, Collected, CollectedImage, LayerView, PullRequest,
};
use protocol::application::{PreparationState, PreparationView};
use protocol::error::{ApiError, ErrorKind};
use protocol::image_reference::ImageReference;
use protocol::names::{Digest, ImageName, JobId};
use protocol::profile::Asker;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// `GET`: all that the caller may see, the last used first.
pub(super) async fn list(
    AppState(app): AppState<App>,
    Signed { caller, body: () }: Signed<()>,
) -> Answer<Json<Vec<ApplicationImageView>>> {
    blocking(move || {
        let mut images = app.hub.application().shelf().list().map_err(refused)?;
        images.sort_by_key(|image| std::cmp::Reverse(image.used_unix_ns));
        let uses = Uses::read(&app)?;
        let mut views = Vec::new();
        for image in images {
            if may_see(&app, &uses, &caller, &image)? {
                views.push(show(&uses, image));
            }
        }
        Ok(Json(views))
    })
    .await
}

/// Whether a user may know of an image: it stands in the catalog, or they have shown that they may
/// have it. One who may not hears what they would hear if it did not exist.
fn may_see(app: &App, uses: &Uses, caller: &Caller, image: &PreparedImage) -> Answer<bool> {
    if caller.admin || uses.names.contains_key(&image.digest) {
        return Ok(true);
    }
    // Had from another place since: they have shown it all the same.
    let own = app.engine.images.view_of(&image.digest, caller.uid, false);
    if own.is_some_and(|view| view.state == PreparationState::Ready) {
        return Ok(true);
    }
    let reference: Option<ImageReference> = image.reference.parse().ok();
    let content = reference.as_ref().and_then(application::admission);
    Ok(content.map_or(Ok(false), |content| app.engine.store.is_admitted(caller.uid, &content))?)
}

/// `GET …/{digest}`: one of them.
pub(super) async fn get(
    AppState(app): AppState<App>,
    Path(digest): Path<String>,
    Signed { caller, body: () }: Signed<()>,
) -> Answer<Json<ApplicationImageView>> {
    let digest = parse(&digest)?;
    blocking(move || {
        let uses = Uses::read(&app)?;
        Ok(Json(show(&uses, seen(&app, &uses, &caller, &digest)?)))
    })
    .await
}

/// `POST`: prepares an image before a job asks for it. Answers at once; see [`preparation`].
pub(super) async fn pull(
    AppState(app): AppState<App>,
    Signed { caller, body }: Signed<PullRequest>,
) -> Answer<Json<PreparationView>> {
    let asker = Asker { user: caller.user.as_deref(), account: None, partition: None };
    if !caller.admin {
        policy::reference(&app.engine.config.application_images.site, &body.reference, asker)?;
    }
    let pinned = pin_now(&app, &caller, body.reference, body.credential).await?;
    let key = images::prepared::key(&pinned);
    let (shelf, asked) = (app.hub.application().shelf().clone(), pinned.clone());
    let ready = blocking(move || {
        let ready = key.map(|digest| shelf.get(&digest)).transpose().map_err(refused)?.flatten();
        let ready = ready.filter(|image| image.is_from(&asked));
        if let Some(image) = &ready {
            shelf.touch(&image.digest, now_unix_ns()).map_err(refused)?;
        }
        Ok(ready)
    });
    if let Some(image) = ready.await? {
        let reference = pinned.to_string();
        return Ok(Json(PreparationView { reference, ..done(&image) }));
    }
    if !app.engine.store.add_pull(&pinned, caller.uid, now_unix_ns())? {
        let text = format!("you are pulling {PULLS_MAX} images already");
        return Err(Refused(
            ApiError::new(ErrorKind::Busy, text).hint("Try again when one of them is there."),
        ));
    }
    app.engine.images.wanted(caller.uid, &pinned);
    app.engine.image_wanted.notify_one();
    let begins = preparation::nothing(PreparationState::Pulling);
    let view = app.engine.images.view(caller.uid, &pinned);
    let reference = pinned.to_string();
    Ok(Json(view.unwrap_or(PreparationView { reference, digest: key, ..begins })))
}

/// `POST …/cancel`: the caller's own pull of it, pinned or not, ends. What jobs wait for goes on.
pub(super) async fn cancel(
    AppState(app): AppState<App>,
    Signed { caller, body }: Signed<PullRequest>,
) -> Answer<Json<()>> {
    let asked = body.reference;
    let meant = |pull: &ImageReference| {
        let same_tag = |digest: &Digest| asked.clone().pinned(*digest) == *pull;
        application::key(pull) == application::key(&asked)
            || asked.digest().is_none() && pull.digest().is_some_and(same_tag)
    };
    if app.engine.store.end_pulls(caller.uid, meant)? == 0 {
        let text = format!("you have no pull of {asked} under way");
        return Err(Refused(ApiError::new(ErrorKind::User, text).hint(
            "Images of jobs are pulled as long as the jobs wait for them: scancel ends that.",
        )));
    }
    app.engine.image_wanted.notify_one();
    Ok(Json(()))
}

/// `GET …/preparations/{digest}`: how far it is.
pub(super) async fn preparation(
    AppState(app): AppState<App>,
    Path(digest): Path<String>,
    Signed { caller, body: () }: Signed<()>,
) -> Answer<Json<PreparationView>> {
    let digest: Digest = parse(&digest)?;
    if let Some(view) = app.engine.images.view_of(&digest, caller.uid, caller.admin)
        && view.state != PreparationState::Ready
    {
        return Ok(Json(view));
    }
    blocking(move || Ok(Json(done(&seen(&app, &Uses::read(&app)?, &caller, &digest)?)))).await
}

/// `DELETE …/{digest}`: refused while a job or a name of the catalog uses it.
pub(super) async fn remove(
    AppState(app): AppState<App>,
    Path(digest): Path<String>,
    Signed { caller, body: () }: Signed<()>,
) -> Answer<Json<()>> {
    caller.require_admin()?;
    let digest: Digest = parse(&digest)?;
    blocking(move || {
        let image = find(&app, &digest)?;
        {
            let _kept = app.hub.keep();
            free(&app, &image)?;
            app.hub.application().shelf().remove(&digest).map_err(refused)?;
        }
        Ok(Json(app.hub.sweep(&app.engine.store)?))
    })
    .await
}

/// Refuses an image that a job or a name of the catalog uses.
fn free(app: &App, image: &PreparedImage) -> Answer<()> {
    let uses = Uses::read(app)?;
    if let Some(job) = uses.jobs(&image.digest).first() {
        let text = format!("image {} is in use: job {job} runs in it", image.reference);
        return Err(refuse(ErrorKind::Busy, text));
    }
    if let Some(name) = uses.names(&image.digest).first() {
        let text = format!("image {} is in use: {name} of the catalog is it", image.reference);
        return Err(Refused(
            ApiError::new(ErrorKind::Busy, text)
                .hint(format!("Remove the name first: bmc image rm {name}.")),
        ));
    }
    Ok(())
}

/// `POST …/gc`: removes images nobody has used for long.
pub(super) async fn collect(
    AppState(app): AppState<App>,
    Signed { caller, body }: Signed<CollectRequest>,
) -> Answer<Json<Collected>> {
    caller.require_admin()?;
    const DAY: Duration = Duration::from_secs(86_400);
    let older_than = body.older_than_days.map(|days| DAY.saturating_mul(days));
    let removed = blocking(move || {
        Ok(if body.dry_run {
            keeping::would_collect(&app.engine, &app.hub, older_than)?
        } else {
            keeping::collect(&app.engine, &app.hub, older_than)?
        })
    })
    .await?;
    let bytes = removed.iter().map(|image| image.bytes).sum();
    let images = removed.into_iter();
    let images = images.map(|one| CollectedImage { digest: one.digest, reference: one.reference });
    Ok(Json(Collected { images: images.collect(), bytes }))
}

/// The prepared image of that digest.
pub(super) fn find(app: &App, digest: &Digest) -> Answer<PreparedImage> {
    let image = app.hub.application().shelf().get(digest).map_err(refused)?;
    image.ok_or_else(|| unknown(digest))
}

/// The same, if the caller may see it.
fn seen(app: &App, uses: &Uses, caller: &Caller, digest: &Digest) -> Answer<PreparedImage> {
    let image = find(app, digest)?;
    if may_see(app, uses, caller, &image)? { Ok(image) } else { Err(unknown(digest)) }
}

fn unknown(digest: &Digest) -> Refused {
    Refused(
        ApiError::new(ErrorKind::User, format!("there is no prepared image {digest}"))
            .hint("List them with bmc image list, or prepare one with bmc image pull."),
    )
}

fn show(uses: &Uses, image: PreparedImage) -> ApplicationImageView {
    ApplicationImageView {
        names: uses.names(&image.digest).to_vec(),
        used_by: uses.jobs(&image.digest).to_vec(),
        digest: image.digest,
        reference: image.reference,
        architecture: image.architecture,
        bytes: image.layers.iter().map(|layer| layer.squashfs.bytes).sum(),
        layers: image.layers.into_iter().map(layer).collect(),
        config: image.config,
        prepared_unix_ns: image.prepared_unix_ns,
        used_unix_ns: image.used_unix_ns,
    }
}

fn layer(layer: PreparedLayer) -> LayerView {
    let PreparedLayer { diff_id, squashfs, entries, unpacked_bytes } = layer;
    LayerView { diff_id, squashfs, entries, unpacked_bytes }
}

fn done(image: &PreparedImage) -> PreparationView {
    let bytes = image.layers.iter().map(|layer| layer.squashfs.bytes).sum();
    let layers = u32::try_from(image.layers.len()).unwrap_or(u32::MAX);
    PreparationView {
        reference: image.reference.clone(),
        digest: Some(image.digest),
        bytes_done: bytes,
        bytes_total: Some(bytes),
        layers_done: layers,
        layers_total: Some(layers),
        ..preparation::nothing(PreparationState::Ready)
    }
}

/// Who needs which prepared image: read once for all images.
struct Uses {
    names: BTreeMap<Digest, Vec<ImageName>>,
    /// Those that enter it. Jobs that boot it are users of its name.
    jobs: BTreeMap<Digest, Vec<JobId>>,
}

impl Uses {
    fn read(app: &App) -> Answer<Self> {
        let mut names: BTreeMap<Digest, Vec<ImageName>> = BTreeMap::new();
        for image in app.hub.images()? {
            if let Some(digest) = keeping::digest(&image) {
                names.entry(digest).or_default().push(image.name);
            }
        }
        let live = image::used_by(app, |one| one.application != Application::None)?;
        let mut jobs: BTreeMap<Digest, Vec<JobId>> = BTreeMap::new();
        for one in app.engine.store.tries_with_image()? {
            if live.binary_search(&one.asked.job).is_err() {
                continue;
            }
            let entered = one.asked.application_image.as_ref().map(|image| image.digest);
            let request = one.asked.application.as_ref();
            let asked = request.and_then(|request| images::prepared::key(&request.reference));
            for digest in BTreeSet::from_iter(entered.into_iter().chain(asked)) {
                jobs.entry(digest).or_default().push(one.asked.job);
            }
        }
        jobs.values_mut().for_each(|jobs| {
            jobs.sort_unstable();
            jobs.dedup();
        });
        Ok(Self { names, jobs })
    }

    fn names(&self, digest: &Digest) -> &[ImageName] {
        self.names.get(digest).map_or(&[], Vec::as_slice)
    }

    fn jobs(&self, digest: &Digest) -> &[JobId] {
        self.jobs.get(digest).map_or(&[], Vec::as_slice)
    }
}
