//! The image catalog.

use super::App;
use super::answer::{Answer, blocking, parse, refuse};
use super::auth::Signed;
use super::{application_image, upload};
use crate::application::naming;
use crate::catalog;
use crate::deployment::{Deployment, State};
use crate::hub::Hub;
use artifacts::Image;
use axum::Json;
use axum::extract::{Path, Request, State as AppState};
use protocol::api::{ImageImport, ImageKind, ImageView};
use protocol::error::ErrorKind;
use protocol::image_reference::ImageChoice;
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

/// `POST …/{name}`: gives a prepared image the name.
pub(super) async fn name(
    AppState(app): AppState<App>,
    Path(name): Path<String>,
    Signed { caller, body }: Signed<ImageImport>,
) -> Answer<Json<ImageView>> {
    caller.require_admin()?;
    let name: ImageName = parse(&name)?;
    let digest = images::prepared::key(&body.reference)
        .ok_or_else(|| refuse(ErrorKind::User, format!("{} is not pinned", body.reference)))?;
    blocking(move || {
        let prepared = application_image::find(&app, &digest)?;
        // Large images have long lists of files: read before others have to wait.
        let image = naming::image(&app.hub, name, &body, prepared)?;
        {
            let _kept = app.hub.keep();
            application_image::find(&app, &digest)?;
            app.hub.put_image(&image)?;
        }
        show(&app, image).map(Json)
    })
    .await
}

/// `DELETE …/{name}`: refused while a partition or a job needs it.
pub(super) async fn remove(
    AppState(app): AppState<App>,
    Path(name): Path<String>,
    Signed { caller, body: () }: Signed<()>,
) -> Answer<Json<()>> {
    caller.require_admin()?;
    let name: ImageName = parse(&name)?;
    if let Some(partition) = app.engine.config.partitions.iter().find(|p| p.default_image == name) {
        let text =
            format!("image {name} is in use: it is the default of partition {}", partition.name);
        return Err(refuse(ErrorKind::Busy, text));
    }
    let image = catalog::image(&app.hub, &name)?;
    if let Some(job) = users(&app, &image)?.first() {
        return Err(refuse(
            ErrorKind::Busy,
            format!("image {name} is in use: job {job} runs on it"),
        ));
    }
    blocking(move || Ok(app.hub.remove_image(&name, &app.engine.store)?)).await.map(Json)
}

fn show(app: &App, image: Image) -> Answer<ImageView> {
    let used_by = users(app, &image)?;
    Ok(ImageView {
        kind: image.kind,
        bytes: image.bytes(),
        reference: image.reference.as_ref().map(ToString::to_string),
        architecture: image.architecture,
        layers: image.layers,
        init: image.init,
        mounts: image.mounts,
        used_by,
        name: image.name,
    })
}

/// Jobs that boot or have named an image.
fn users(app: &App, image: &Image) -> Answer<Vec<JobId>> {
    let name = &image.name;
    if image.kind == ImageKind::Node {
        return used_by(app, |one| &one.image == name);
    }
    let tries = app.engine.store.tries_with_image()?;
    let named = |choice: &ImageChoice| matches!(choice, ImageChoice::Catalog(own) if own == name);
    let using = tries
        .iter()
        .filter(|one| one.asked.application.as_ref().is_some_and(|request| named(&request.choice)));
    let tries: Vec<i64> = using.map(|one| one.id).collect();
    used_by(app, |one| one.try_id.is_some_and(|id| tries.contains(&id)))
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
