//! Fetching a blob from a registry into its file: goes on after interruptions, as long as there is
//! progress.

use crate::blob::{BlobError, BlobWriter};
use crate::progress::Progress;
use crate::registry::manifest::Descriptor;
use crate::registry::{BlobStream, Failure, Session, Trial};
use bytes::Bytes;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// Chunks between the network and the disk; one is at most a few hundred KiB.
const CHUNKS_MAX: usize = 8;
/// A try that brought so many bytes renews the patience for the next ones.
const PROGRESS_BYTES: u64 = 1 << 20;
/// A registry that sends less is as good as silent, in bytes a second.
const RATE_MIN: u64 = 1 << 10;
/// Over which the rate is taken.
const RATE_WINDOW: Duration = Duration::from_secs(60);

/// Why a blob cannot be had.
#[derive(Debug)]
pub(crate) enum FetchError {
    /// The registry.
    Registry(Failure),
    /// The file, or what is in it.
    Blob(BlobError),
}

/// Fetches what `writer` does not have yet. `held` is kept until nothing is written any more, even
/// if this future is dropped before.
pub(crate) async fn fetch(
    session: &Session,
    blob: &Descriptor,
    writer: BlobWriter,
    progress: &Progress,
    held: impl Send + 'static,
) -> Result<(), FetchError> {
    let mut at = writer.bytes();
    progress.fetched(at);
    let (sender, receiver) = mpsc::channel(CHUNKS_MAX);
    let size = blob.size;
    let written = tokio::task::spawn_blocking(move || {
        let result = write(writer, receiver, size);
        drop(held);
        result
    });
    let mut trial = Trial::default();
    while at < size {
        let began = at;
        let mut stream =
            session.open_blob(blob, at, &mut trial).await.map_err(FetchError::Registry)?;
        let mut sink = Sink { sender: &sender, progress, at: &mut at, size };
        match pump(&mut stream, &mut sink).await {
            Ok(Pumped::All) => {}
            Ok(Pumped::NotWritten) => break,
            Err(failure) => {
                if at - began >= PROGRESS_BYTES {
                    trial.brought_something();
                }
                let put_off = session.put_off(stream.endpoint(), failure, &mut trial).await;
                put_off.map_err(FetchError::Registry)?;
            }
        }
    }
    drop(sender);
    let ended = |error| FetchError::Registry(Failure::site(format!("bootsrv has a bug: {error}")));
    written.await.map_err(ended)?.map_err(FetchError::Blob)
}

/// Where the bytes go.
struct Sink<'a> {
    sender: &'a mpsc::Sender<Bytes>,
    progress: &'a Progress,
    /// Bytes of the blob so far.
    at: &'a mut u64,
    /// Bytes of the whole blob.
    size: u64,
}

enum Pumped {
    All,
    /// The writer has failed; it says why.
    NotWritten,
}

/// Takes one answer to its end.
async fn pump(stream: &mut BlobStream<'_>, sink: &mut Sink<'_>) -> Result<Pumped, Failure> {
    let (mut since, mut bytes_then) = (Instant::now(), *sink.at);
    loop {
        let next = tokio::select! {
            next = stream.chunk() => next?,
            // The writer has failed.
            () = sink.sender.closed() => return Ok(Pumped::NotWritten),
        };
        let Some(chunk) = next else { break };
        let length = u64::try_from(chunk.len()).unwrap_or(u64::MAX);
        *sink.at = sink.at.saturating_add(length);
        if *sink.at > sink.size {
            return Err(Failure::site(format!(
                "{} sends more than the {} bytes its manifest says for a layer",
                stream.name(),
                sink.size
            )));
        }
        if sink.sender.send(chunk).await.is_err() {
            return Ok(Pumped::NotWritten);
        }
        sink.progress.fetched(length);
        if since.elapsed() >= RATE_WINDOW {
            if *sink.at - bytes_then < RATE_MIN * RATE_WINDOW.as_secs() {
                return Err(Failure::passing(format!("{} is too slow", stream.name())));
            }
            (since, bytes_then) = (Instant::now(), *sink.at);
        }
    }
    if *sink.at < sink.size {
        let text = format!("{} stopped at byte {} of {}", stream.name(), sink.at, sink.size);
        return Err(Failure::passing(format!("{text} of a layer")));
    }
    Ok(Pumped::All)
}

/// The thread that writes. Fewer bytes than the blob has: the other side gave up.
fn write(
    mut writer: BlobWriter,
    mut chunks: mpsc::Receiver<Bytes>,
    size: u64,
) -> Result<(), BlobError> {
    while let Some(chunk) = chunks.blocking_recv() {
        writer.write(&chunk)?;
    }
    if writer.bytes() < size { Ok(()) } else { writer.finish() }
}
