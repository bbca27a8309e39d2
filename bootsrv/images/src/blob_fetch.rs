//! Fetching a blob from a registry into its file: goes on after interruptions, as long as there is
//! progress.

use crate::blob::{BlobError, BlobWriter};
use crate::places::Kind;
use crate::prepare_room::{Disk, Floor};
use crate::progress::Progress;
use crate::registry::manifest::Descriptor;
use crate::registry::{BlobStream, Failure, Refused, Session, Trial};
use crate::turns::{Slot, Slots};
use bytes::Bytes;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::task::JoinError;

/// Chunks between the network and the disk; one is at most a few hundred KiB.
const CHUNKS_MAX: usize = 8;
/// A try that brought so many bytes, and fast enough, renews the patience for the next ones.
const PROGRESS_BYTES: u64 = 1 << 20;
/// A registry that sends less is as good as silent, in bytes a second: at a tenth of a megabyte a usual
/// image would take hours, and others wait for the place.
const RATE_MIN: u64 = 100 << 10;

/// Why a blob cannot be had.
#[derive(Debug)]
pub(crate) enum FetchError {
    /// The registry.
    Registry(Failure),
    /// The file, or what is in it.
    Blob(BlobError),
}

/// A blob that is wanted.
pub(crate) struct Fetch<'a> {
    pub(crate) session: &'a Session,
    pub(crate) blob: &'a Descriptor,
    pub(crate) progress: &'a Progress,
    /// Where its place is from: nobody keeps one while he waits for a registry to be asked again.
    pub(crate) slots: &'a Slots<Kind>,
    /// What its place is.
    pub(crate) kinds: &'a [Kind],
    pub(crate) disk: &'a Disk,
}

impl Fetch<'_> {
    /// Fetches what `writer` does not have yet. `held` is kept until nothing is written any more, even
    /// if this future is dropped before.
    pub(crate) async fn run<H: Send + 'static>(
        &self,
        writer: BlobWriter,
        slot: Slot,
        held: H,
    ) -> Result<(), FetchError> {
        let (session, size) = (self.session, self.blob.size);
        let mut at = writer.bytes();
        self.progress.fetched(at);
        let (mut slot, mut kept) = (Some(slot), (writer, held));
        if at >= size {
            drop(slot.take());
            // All of it is here, from an earlier try, perhaps another user's: the registry is asked all
            // the same whether this one may have it.
            session.check_blob(self.blob).await.map_err(FetchError::Registry)?;
        }
        let mut trial = Trial::default();
        while at < size {
            let place = match slot.take() {
                Some(place) => place,
                None => self.slots.take(self.kinds).await,
            };
            let (from, since) = (at, Instant::now());
            let (back, ended) = self.attempt(kept, &mut at).await?;
            kept = back;
            drop(place);
            if let Err((endpoint, failure)) = ended {
                if at - from >= PROGRESS_BYTES.max(least_bytes(since.elapsed())) {
                    trial.brought_something();
                }
                let put_off = session.put_off(endpoint, failure, &mut trial).await;
                put_off.map_err(FetchError::Registry)?;
            }
        }
        let finished = tokio::task::spawn_blocking(move || {
            let (writer, held) = kept;
            let finished = writer.finish();
            drop(held);
            finished
        });
        finished.await.map_err(bug)?.map_err(FetchError::Blob)
    }

    /// Asks once, and writes what comes.
    async fn attempt<H: Send + 'static>(
        &self,
        kept: (BlobWriter, H),
        at: &mut u64,
    ) -> Result<((BlobWriter, H), Result<(), Refused<'_>>), FetchError> {
        let mut stream = match self.session.open_blob(self.blob, *at).await {
            Ok(stream) => stream,
            Err(refused) => return Ok((kept, Err(refused))),
        };
        let (sender, receiver) = mpsc::channel(CHUNKS_MAX);
        let floor = self.disk.floor();
        let writing = tokio::task::spawn_blocking(move || write(kept, receiver, floor));
        let mut sink = Sink { sender: &sender, progress: self.progress, at, size: self.blob.size };
        let pumped = pump(&mut stream, &mut sink).await;
        drop(sender);
        let kept = writing.await.map_err(bug)?.map_err(FetchError::Blob)?;
        Ok((kept, pumped.map_err(|failure| (stream.endpoint(), failure))))
    }
}

fn bug(error: JoinError) -> FetchError {
    FetchError::Registry(Failure::site(format!("bootsrv has a bug: {error}")))
}

/// What a registry has to send in that time.
fn least_bytes(time: Duration) -> u64 {
    u64::try_from(u128::from(RATE_MIN) * time.as_millis() / 1000).unwrap_or(u64::MAX)
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

/// Takes one answer to its end, or to where the writer has failed, which says why.
async fn pump(stream: &mut BlobStream<'_>, sink: &mut Sink<'_>) -> Result<(), Failure> {
    let (mut since, mut bytes_then) = (Instant::now(), *sink.at);
    loop {
        let next = tokio::select! {
            next = stream.chunk() => next?,
            () = sink.sender.closed() => return Ok(()),
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
            return Ok(());
        }
        sink.progress.fetched(length);
        if since.elapsed() >= stream.endpoint().rate_window {
            if *sink.at - bytes_then < least_bytes(since.elapsed()) {
                return Err(Failure::passing(format!("{} is too slow", stream.name())));
            }
            (since, bytes_then) = (Instant::now(), *sink.at);
        }
    }
    if *sink.at < sink.size {
        let text = format!("{} stopped at byte {} of {}", stream.name(), sink.at, sink.size);
        return Err(Failure::passing(format!("{text} of a layer")));
    }
    Ok(())
}

/// The thread that writes what one answer brings.
fn write<H>(
    (mut writer, held): (BlobWriter, H),
    mut chunks: mpsc::Receiver<Bytes>,
    mut floor: Floor,
) -> Result<(BlobWriter, H), BlobError> {
    while let Some(chunk) = chunks.blocking_recv() {
        floor.wrote(chunk.len()).map_err(BlobError::Full)?;
        writer.write(&chunk)?;
    }
    Ok((writer, held))
}
