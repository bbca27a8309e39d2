//! Files for the hub, from administrators.

use super::App;
use super::answer::{Answer, Refused, blocking, refuse};
use super::auth::{claim, require_body};
use super::pinning::refused;
use crate::hub::Hub;
use axum::body::{Body, HttpBody as _};
use axum::extract::Request;
use futures_util::StreamExt;
use protocol::error::{ApiError, ErrorKind};
use protocol::names::Digest;
use sha2::{Digest as _, Sha256};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tempfile::NamedTempFile;
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, timeout_at};

/// Receives a file, lets `import` take it into the hub, and deletes what that has replaced.
pub(super) async fn import<T: Send + 'static>(
    app: &App,
    request: Request,
    import: impl FnOnce(&Hub, &Path) -> Result<T, ApiError> + Send + 'static,
) -> Answer<T> {
    let (parts, body) = request.into_parts();
    let (caller, claimed) = claim(app, &parts).await?;
    caller.require_admin()?;
    let (file, sha256, _) = receive(app, body, UPLOAD_BYTES_MAX).await?;
    require_body(&claimed, &sha256)?;
    let (hub, store) = (Arc::clone(&app.hub), Arc::clone(&app.engine.store));
    let work = move || {
        let imported = import(&hub, file.path())?;
        if let Err(error) = hub.sweep(&store) {
            // The import is done; what it has replaced goes with the next one.
            log::warn!("deleting replaced artifacts: {error}");
        }
        Ok(imported)
    };
    blocking(work).await
}

/// Longest upload, in bytes.
const UPLOAD_BYTES_MAX: u64 = 16 << 30;

/// Slowest upload, in bytes a second on average: whoever sends holds one of few places.
const BYTES_PER_SECOND_MIN: u64 = 1_000_000;
/// An upload may be late by so much, in seconds.
const LATE_SECONDS: u64 = 60;

/// Between two looks at how much room the disk has, in bytes.
const ROOM_BYTES: u64 = 256 << 20;

/// Streams a body to a file of its own, and says what it was and how long.
pub(super) async fn receive(
    app: &App,
    body: Body,
    bytes_max: u64,
) -> Answer<(NamedTempFile, Digest, u64)> {
    let failed = |error: &dyn std::fmt::Display| {
        refuse(ErrorKind::Site, format!("receiving the upload: {error}"))
    };
    let too_long = || {
        let text = format!("the upload is longer than {bytes_max} bytes");
        refuse(ErrorKind::User, text)
    };
    // As it is announced: nobody sends gigabytes to be refused.
    if body.size_hint().lower() > bytes_max {
        return Err(too_long());
    }
    require_room(app).await?;
    let file = NamedTempFile::new_in(&app.upload_dir).map_err(|error| failed(&error))?;
    let handle = file.reopen().map_err(|error| failed(&error))?;
    let mut writer = tokio::fs::File::from_std(handle);
    let (mut hash, mut bytes, mut room_at) = (Sha256::new(), 0_u64, ROOM_BYTES);
    let mut stream = body.into_data_stream();
    let begin = Instant::now();
    loop {
        let late = Duration::from_secs(LATE_SECONDS.saturating_add(bytes / BYTES_PER_SECOND_MIN));
        let next = timeout_at(begin + late, stream.next());
        let Some(chunk) = next.await.map_err(|_| too_slow(bytes))? else { break };
        let chunk = chunk.map_err(|error| refuse(ErrorKind::User, error.to_string()))?;
        bytes = bytes.saturating_add(u64::try_from(chunk.len()).unwrap_or(u64::MAX));
        if bytes > bytes_max {
            return Err(too_long());
        }
        if bytes > room_at {
            require_room(app).await?;
            room_at = bytes.saturating_add(ROOM_BYTES);
        }
        hash.update(&chunk);
        writer.write_all(&chunk).await.map_err(|error| failed(&error))?;
    }
    writer.flush().await.map_err(|error| failed(&error))?;
    Ok((file, Digest(hash.finalize().into()), bytes))
}

fn too_slow(bytes: u64) -> Refused {
    let kilobytes = BYTES_PER_SECOND_MIN / 1000;
    let text = format!("the upload came slower than {kilobytes} kB/s, and ended at byte {bytes}");
    Refused(ApiError::new(ErrorKind::Busy, text).hint("Send it where the network is quicker."))
}

/// Refuses what would fill the disk; room is made first where there is some to make.
async fn require_room(app: &App) -> Answer<()> {
    let disk = app.hub.application().disk().clone();
    blocking(move || disk.require(ROOM_BYTES).map_err(refused)).await
}
