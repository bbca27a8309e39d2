//! Prepared application images: pulled once for all nodes, kept by digest.

use super::answer::{Answer, Refused, parse, refuse};
use super::auth::{Caller, Signed};
use super::pinning::{pin_now, refused};
use super::{App, image};
use crate::application::{self, keeping, policy, preparation};
use crate::clock::now_unix_ns;
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
use std::time::Duration;

/// `GET`: all that the caller may see, the last used first.
pub(super) async fn list(
    AppState(app): AppState<App>,
    Signed { caller, body: () }: Signed<()>,
) -> Answer<Json<Vec<ApplicationImageView>>> {
    let mut images = app.hub.application().shelf().list().map_err(refused)?;
    images.sort_by_key(|image| std::cmp::Reverse(image.used_unix_ns));
    let mut views = Vec::new();
    for image in images {
        if may_see(&app, &caller, &image.reference, &image.digest)? {
            views.push(show(&app, image)?);
        }
    }
    Ok(Json(views))
}

/// Whether a user may know of an image: it stands in the catalog, or they have shown that they may
/// have it. One who may not hears what they would hear if it did not exist.
fn may_see(app: &App, caller: &Caller, reference: &str, key: &Digest) -> Answer<bool> {
    if caller.admin || !names(app, key)?.is_empty() {
        return Ok(true);
    }
    let image: Option<ImageReference> = reference.parse().ok();
    let content = image.as_ref().and_then(application::admission).unwrap_or(*key);
    Ok(app.engine.store.is_admitted(caller.uid, &content)?)
}

/// `GET …/{digest}`: one of them.
pub(super) async fn get(
    AppState(app): AppState<App>,
    Path(digest): Path<String>,
    Signed { caller, body: () }: Signed<()>,
) -> Answer<Json<ApplicationImageView>> {
    show(&app, seen(&app, &caller, &parse(&digest)?)?).map(Json)
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
    let ready = key.map(|digest| app.hub.application().shelf().get(&digest));
    if let Some(image) = ready.transpose().map_err(refused)?.flatten() {
        app.hub.application().shelf().touch(&image.digest, now_unix_ns()).map_err(refused)?;
        let reference = pinned.to_string();
        return Ok(Json(PreparationView { reference, ..done(&image) }));
    }
    app.engine.images.resolving(&pinned, None);
    app.engine.store.add_pull(&pinned, caller.uid, now_unix_ns())?;
    app.engine.image_wanted.notify_one();
    let begins = preparation::nothing(PreparationState::Pulling);
    let view = app.engine.images.view(&pinned);
    let reference = pinned.to_string();
    Ok(Json(view.unwrap_or(PreparationView { reference, digest: key, ..begins })))
}

/// `GET …/preparations/{digest}`: how far it is.
pub(super) async fn preparation(
    AppState(app): AppState<App>,
    Path(digest): Path<String>,
    Signed { caller, body: () }: Signed<()>,
) -> Answer<Json<PreparationView>> {
    let digest: Digest = parse(&digest)?;
    if let Some(view) = app.engine.images.view_of(&digest)
        && view.state != PreparationState::Ready
        && may_see(&app, &caller, &view.reference, &digest)?
    {
        return Ok(Json(view));
    }
    Ok(Json(done(&seen(&app, &caller, &digest)?)))
}

/// `DELETE …/{digest}`: refused while a job or a name of the catalog uses it.
pub(super) async fn remove(
    AppState(app): AppState<App>,
    Path(digest): Path<String>,
    Signed { caller, body: () }: Signed<()>,
) -> Answer<Json<()>> {
    caller.require_admin()?;
    let digest: Digest = parse(&digest)?;
    let image = find(&app, &digest)?;
    {
        let _kept = app.hub.keep();
        if let Some(job) = used_by(&app, &digest)?.first() {
            let text = format!("image {} is in use: job {job} runs in it", image.reference);
            return Err(refuse(ErrorKind::Busy, text));
        }
        if let Some(name) = names(&app, &digest)?.first() {
            let text = format!("image {} is in use: {name} of the catalog is it", image.reference);
            return Err(Refused(
                ApiError::new(ErrorKind::Busy, text)
                    .hint(format!("Remove the name first: bmc image rm {name}.")),
            ));
        }
        app.hub.application().shelf().remove(&digest).map_err(refused)?;
    }
    let swept = tokio::task::spawn_blocking(move || app.hub.sweep(&app.engine.store)).await;
    swept.map_err(|error| refuse(ErrorKind::Internal, error.to_string()))??;
    Ok(Json(()))
}

/// `POST …/gc`: removes images nobody has used for long.
pub(super) async fn collect(
    AppState(app): AppState<App>,
    Signed { caller, body }: Signed<CollectRequest>,
) -> Answer<Json<Collected>> {
    caller.require_admin()?;
    const DAY: Duration = Duration::from_secs(86_400);
    let older_than = body.older_than_days.map(|days| DAY.saturating_mul(days));
    let work = tokio::task::spawn_blocking(move || {
        if body.dry_run {
            keeping::would_collect(&app.engine, &app.hub, older_than)
        } else {
            keeping::collect(&app.engine, &app.hub, older_than)
        }
    });
    let removed = work.await.map_err(|error| refuse(ErrorKind::Internal, error.to_string()))??;
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
fn seen(app: &App, caller: &Caller, digest: &Digest) -> Answer<PreparedImage> {
    let image = find(app, digest)?;
    if may_see(app, caller, &image.reference, digest)? { Ok(image) } else { Err(unknown(digest)) }
}

fn unknown(digest: &Digest) -> Refused {
    Refused(
        ApiError::new(ErrorKind::User, format!("there is no prepared image {digest}"))
            .hint("List them with bmc image list, or prepare one with bmc image pull."),
    )
}

fn show(app: &App, image: PreparedImage) -> Answer<ApplicationImageView> {
    let names = names(app, &image.digest)?;
    let used_by = used_by(app, &image.digest)?;
    Ok(ApplicationImageView {
        digest: image.digest,
        reference: image.reference,
        architecture: image.architecture,
        bytes: image.layers.iter().map(|layer| layer.squashfs.bytes).sum(),
        layers: image.layers.into_iter().map(layer).collect(),
        config: image.config,
        prepared_unix_ns: image.prepared_unix_ns,
        used_unix_ns: image.used_unix_ns,
        names,
        used_by,
    })
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

fn names(app: &App, digest: &Digest) -> Answer<Vec<ImageName>> {
    let images = app.hub.images()?.into_iter();
    let named = images.filter(|image| keeping::digest(image).as_ref() == Some(digest));
    Ok(named.map(|image| image.name).collect())
}

/// Jobs that enter it. Those that boot it are users of its name.
fn used_by(app: &App, digest: &Digest) -> Answer<Vec<JobId>> {
    let tries = app.engine.store.tries_with_image()?;
    let using = tries.iter().filter(|one| {
        let image = one.asked.application_image.as_ref();
        let request = one.asked.application.as_ref();
        image.is_some_and(|image| &image.digest == digest)
            || request
                .is_some_and(|request| images::prepared::key(&request.reference) == Some(*digest))
    });
    let tries: Vec<i64> = using.map(|one| one.id).collect();
    image::used_by(app, |one| one.try_id.is_some_and(|id| tries.contains(&id)))
}
