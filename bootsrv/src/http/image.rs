//! The image catalog, and uploads.

use super::App;
use super::answer::{Answer, parse, refuse};
use super::auth::{Signed, claim, require_body};
use crate::catalog;
use crate::deployment::{Deployment, State};
use artifacts::Image;
use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Request, State as AppState};
use futures_util::StreamExt;
use protocol::api::ImageView;
use protocol::error::ErrorKind;
use protocol::names::{Digest, ImageName, JobId};
use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;
use tokio::io::AsyncWriteExt;

/// `GET`: all images.
pub(super) async fn list(
    AppState(app): AppState<App>,
    _: Signed<()>,
) -> Answer<Json<Vec<ImageView>>> {
    let images = app.hub.images()?;
    Ok(Json(images.into_iter().map(|image| show(&app, image)).collect::<Answer<_>>()?))
}

/// `GET …/{name}`: one of them.
pub(super) async fn get(
    AppState(app): AppState<App>,
    Path(name): Path<String>,
    _: Signed<()>,
) -> Answer<Json<ImageView>> {
    let name: ImageName = parse(&name)?;
    show(&app, catalog::image(&app.hub, &name)?).map(Json)
}

/// `PUT …/{name}`: imports a node image from a tar file.
pub(super) async fn import(
    AppState(app): AppState<App>,
    Path(name): Path<String>,
    request: Request,
) -> Answer<Json<ImageView>> {
    let name: ImageName = parse(&name)?;
    let (parts, body) = request.into_parts();
    let (caller, claimed) = claim(&app, &parts).await?;
    caller.require_admin()?;
    let (file, sha256) = upload(&app, body).await?;
    require_body(&claimed, &sha256)?;
    let hub = std::sync::Arc::clone(&app.hub);
    let image = tokio::task::spawn_blocking(move || hub.import_image(&name, file.path()))
        .await
        .map_err(|error| refuse(ErrorKind::Internal, error.to_string()))??;
    show(&app, image).map(Json)
}

/// `DELETE …/{name}`: refused while a partition or a job needs it.
pub(super) async fn remove(
    AppState(app): AppState<App>,
    Path(name): Path<String>,
    Signed { caller, body: () }: Signed<()>,
) -> Answer<Json<()>> {
    caller.require_admin()?;
    let name: ImageName = parse(&name)?;
    catalog::image(&app.hub, &name)?;
    if let Some(partition) = app.engine.config.partitions.iter().find(|p| p.default_image == name) {
        let text =
            format!("image {name} is in use: it is the default of partition {}", partition.name);
        return Err(refuse(ErrorKind::Busy, text));
    }
    if let Some(job) = used_by(&app, |one| one.image == name)?.first() {
        return Err(refuse(
            ErrorKind::Busy,
            format!("image {name} is in use: job {job} runs on it"),
        ));
    }
    app.hub.remove_image(&name)?;
    Ok(Json(()))
}

fn show(app: &App, image: Image) -> Answer<ImageView> {
    let used_by = used_by(app, |one| one.image == image.name)?;
    Ok(ImageView {
        sha256: image.squashfs.sha256,
        bytes: image.squashfs.bytes,
        init: image.init,
        mounts: image.mounts,
        used_by,
        name: image.name,
    })
}

/// Jobs with a live deployment that passes the test.
pub(super) fn used_by(app: &App, test: impl Fn(&Deployment) -> bool) -> Answer<Vec<JobId>> {
    let live = app.engine.store.live_deployments()?;
    let mut jobs: Vec<JobId> = live
        .iter()
        .filter(|one| one.state < State::Settling && test(one))
        .filter_map(|one| one.job)
        .collect();
    jobs.sort_unstable();
    jobs.dedup();
    Ok(jobs)
}

/// Longest upload, in bytes.
const UPLOAD_BYTES_MAX: u64 = 16 << 30;

/// Streams a body to a file of its own, and says what it was.
pub(super) async fn upload(app: &App, body: Body) -> Answer<(NamedTempFile, Digest)> {
    let failed = |error: &dyn std::fmt::Display| {
        refuse(ErrorKind::Site, format!("receiving the upload: {error}"))
    };
    let file = NamedTempFile::new_in(&app.upload_dir).map_err(|error| failed(&error))?;
    let handle = file.reopen().map_err(|error| failed(&error))?;
    let mut writer = tokio::fs::File::from_std(handle);
    let (mut hash, mut bytes) = (Sha256::new(), 0_u64);
    let mut stream = body.into_data_stream();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|error| refuse(ErrorKind::User, error.to_string()))?;
        bytes = bytes.saturating_add(u64::try_from(chunk.len()).unwrap_or(u64::MAX));
        if bytes > UPLOAD_BYTES_MAX {
            return Err(refuse(ErrorKind::User, "the upload is longer than 16 GiB"));
        }
        hash.update(&chunk);
        writer.write_all(&chunk).await.map_err(|error| failed(&error))?;
    }
    writer.flush().await.map_err(|error| failed(&error))?;
    Ok((file, Digest(hash.finalize().into())))
}
