//! Files that users send for references to files, by their SHA-256.

use super::App;
use super::answer::{Answer, Refused, blocking, parse, refuse};
use super::auth::{Signed, claim, require_body};
use super::upload::receive;
use crate::application::uploads;
use crate::clock::now_unix_ns;
use crate::store::Upload;
use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Request, State as AppState};
use protocol::api::UploadView;
use protocol::error::{ApiError, ErrorKind};
use protocol::names::Digest;

/// `GET …/{sha256}`: whether the caller has sent these bytes, and they are here. Asking for them keeps
/// them. Who only knows a digest hears nothing.
pub(super) async fn get(
    AppState(app): AppState<App>,
    Path(sha256): Path<String>,
    Signed { caller, body: () }: Signed<()>,
) -> Answer<Json<Option<UploadView>>> {
    let sha256 = parse(&sha256)?;
    let content = uploads::admission(&sha256);
    if !app.engine.store.is_admitted(caller.uid, &content)? {
        return Ok(Json(None));
    }
    app.engine.store.admit(caller.uid, &content, now_unix_ns())?;
    Ok(Json(find(&app, &sha256)?))
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
    take(&app, caller.uid, sha256, body).await.map(Json)
}

/// Receives bytes, and notes that the sender has them: also where somebody else had sent them before,
/// as nothing less proves it.
async fn take(app: &App, uid: u32, sha256: Digest, body: Body) -> Answer<UploadView> {
    let _sending = app.senders.begin(uid)?;
    make_room(app, uid, 0)?;
    let bytes_max = app.engine.config.application_images.site.upload_bytes;
    let (file, received, bytes) = receive(app, body, bytes_max).await?;
    require_body(&sha256, &received)?;
    let store = &app.engine.store;
    if find(app, &sha256)?.is_none() {
        make_room(app, uid, bytes)?;
        let path = uploads::path(&app.engine.config, &sha256);
        // The row first: a file that no row knows is garbage after a crash, and a row without its file
        // is as good as none.
        store.add_upload(&Upload { sha256, uid, bytes, used_unix_ns: now_unix_ns() })?;
        // Gigabytes may still be on their way to the disk.
        blocking(move || {
            let kept =
                file.as_file().sync_all().and_then(|()| file.persist(path).map_err(|e| e.error));
            let failed = |error| refuse(ErrorKind::Site, format!("keeping the upload: {error}"));
            kept.map(drop).map_err(failed)
        })
        .await?;
        log::info!("upload {sha256} of {bytes} bytes from user id {uid}");
    }
    store.admit(uid, &uploads::admission(&sha256), now_unix_ns())?;
    Ok(UploadView { sha256, bytes })
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

#[cfg(test)]
#[path = "user_file_tests.rs"]
mod tests;
