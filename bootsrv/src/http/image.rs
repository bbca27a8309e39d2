//! The image catalog.

use super::App;
use super::answer::{Answer, parse, refuse};
use super::auth::Signed;
use super::upload;
use crate::catalog;
use crate::deployment::{Deployment, State};
use crate::hub::Hub;
use artifacts::Image;
use axum::Json;
use axum::extract::{Path, Request, State as AppState};
use protocol::api::ImageView;
use protocol::error::ErrorKind;
use protocol::names::{ImageName, JobId};
use std::path::Path as FilePath;

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
    let import = move |hub: &Hub, file: &FilePath| hub.import_image(&name, file);
    let image = upload::import(&app, request, import).await?;
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
    app.hub.remove_image(&name, &app.engine.store)?;
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
