//! Files that users send for references to files, by their SHA-256.

use super::App;
use super::answer::{Answer, Refused, parse, refuse};
use super::auth::{Signed, claim, require_body};
use super::upload::receive;
use crate::application::uploads;
use crate::clock::now_unix_ns;
use crate::store::Upload;
use axum::Json;
use axum::extract::{Path, Request, State as AppState};
use protocol::api::UploadView;
use protocol::error::{ApiError, ErrorKind};
use protocol::names::Digest;

/// `GET …/{sha256}`: whether these bytes are here. Asking for them keeps them.
pub(super) async fn get(
    AppState(app): AppState<App>,
    Path(sha256): Path<String>,
    _: Signed<()>,
) -> Answer<Json<Option<UploadView>>> {
    Ok(Json(find(&app, &parse(&sha256)?)?))
}

fn find(app: &App, sha256: &Digest) -> Answer<Option<UploadView>> {
    let known = app.engine.store.use_upload(sha256, now_unix_ns())?;
    let there = known.filter(|_| uploads::path(&app.engine.config, sha256).is_file());
    Ok(there.map(|upload| UploadView { sha256: *sha256, bytes: upload.bytes }))
}

/// `PUT …/{sha256}`: here they are. Anybody may; they are kept for a while, and count as the sender's.
pub(super) async fn put(
    AppState(app): AppState<App>,
    Path(sha256): Path<String>,
    request: Request,
) -> Answer<Json<UploadView>> {
    let sha256: Digest = parse(&sha256)?;
    let (parts, body) = request.into_parts();
    let (caller, claimed) = claim(&app, &parts).await?;
    require_body(&claimed, &sha256)?;
    if let Some(there) = find(&app, &sha256)? {
        return Ok(Json(there));
    }
    make_room(&app, caller.uid, 0)?;
    let bytes_max = app.engine.config.application_images.site.upload_bytes;
    let (file, received, bytes) = receive(&app.upload_dir, body, bytes_max).await?;
    require_body(&claimed, &received)?;
    make_room(&app, caller.uid, bytes)?;
    let upload = Upload { sha256, uid: caller.uid, bytes, used_unix_ns: now_unix_ns() };
    let path = uploads::path(&app.engine.config, &sha256);
    // The row first: a file that no row knows is garbage after a crash, and a row without its file is
    // as good as none.
    app.engine.store.add_upload(&upload)?;
    let kept = file.as_file().sync_all().and_then(|()| file.persist(path).map_err(|e| e.error));
    kept.map_err(|error| refuse(ErrorKind::Site, format!("keeping the upload: {error}")))?;
    log::info!("upload {sha256} of {bytes} bytes from user id {}", caller.uid);
    Ok(Json(UploadView { sha256, bytes }))
}

/// Deletes the caller's own oldest files where it has too many.
fn make_room(app: &App, uid: u32, bytes: u64) -> Answer<()> {
    let (store, config) = (&app.engine.store, &app.engine.config);
    let site = &config.application_images.site;
    let (all, needed) = (store.uploads()?, uploads::needed(store)?);
    let Some(gone) = uploads::make_room(&all, &needed, site, uid, bytes) else {
        let gib = site.upload_bytes_per_user >> 30;
        let text = format!("more than {gib} GiB of your images would wait to be converted");
        return Err(Refused(
            ApiError::new(ErrorKind::Busy, text).hint("Try again when your jobs have started."),
        ));
    };
    Ok(uploads::delete(config, store, &gone)?)
}
