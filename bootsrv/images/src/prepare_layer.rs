//! Layers fetched and converted side by side, each at most once at a time in the whole program.

use crate::blob::{self, BlobError, BlobWriter, Stop};
use crate::blob_fetch::{Fetch, FetchError};
use crate::error::{Blame, PrepareError};
use crate::prepare_room::{AboveFloor, Budget, Disk};
use crate::prepared::{PreparedImage, PreparedLayer};
use crate::progress::Progress;
use crate::registry::Session;
use crate::registry::manifest::Descriptor;
use crate::settings::Settings;
use crate::shelf::Shelf;
use crate::turns::{Slots, Turns};
use crate::unfinished::Unfinished;
use protocol::application::ImageConfig;
use protocol::image_reference::ImageReference;
use protocol::names::Digest;
use sha2::{Digest as _, Sha256};
use std::io::Read;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use tokio::sync::{OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinError;

/// Below the state directory: blobs on their way, named by their digest.
const BLOBS: &str = "blobs";

/// What all preparations share.
#[derive(Debug, Clone)]
pub(crate) struct Workshop {
    pub(crate) shelf: Shelf,
    pub(crate) settings: Arc<Settings>,
    pub(crate) disk: Disk,
    pub(crate) unfinished: Unfinished,
    downloads: Slots,
    conversions: Arc<Semaphore>,
    /// Those of [`Self::conversions`] that layers on their way may have: not the last one.
    streams: Arc<Semaphore>,
    /// By registry and diff id: a layer that two images share. Of another registry it is another one,
    /// because that one may be slow.
    layers: Turns<(String, Digest)>,
}

/// What a preparation finds out about an image.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) architecture: Option<String>,
    pub(crate) layers: Vec<PreparedLayer>,
    pub(crate) config: ImageConfig,
}

impl Workshop {
    pub(crate) fn open(
        state_dir: &Path,
        shelf: Shelf,
        settings: Settings,
    ) -> Result<Self, PrepareError> {
        let blobs = state_dir.join(BLOBS);
        let unfinished = Unfinished::open(blobs.clone()).map_err(|error| {
            PrepareError::site(format!("cannot use the directory {}: {error}", blobs.display()))
        })?;
        let reserve = settings.disk_reserve_bytes;
        Ok(Self {
            shelf,
            disk: Disk::new(state_dir.to_owned(), reserve, unfinished.clone()),
            unfinished,
            downloads: Slots::new(settings.parallel_downloads),
            conversions: Arc::new(Semaphore::new(settings.parallel_conversions.max(1))),
            streams: Arc::new(Semaphore::new(settings.parallel_conversions.saturating_sub(1))),
            layers: Turns::default(),
            settings: Arc::new(settings),
        })
    }

    /// An image that is prepared, and came from where it is asked for; noted as used. Any other place
    /// has to show manifest and layers first.
    pub(crate) async fn ready(
        &self,
        image: ImageReference,
        digest: Digest,
        now_unix_ns: i64,
    ) -> Result<Option<PreparedImage>, PrepareError> {
        self.with_shelf(move |shelf| {
            let ready = shelf.get(&digest)?.filter(|ready| ready.is_from(&image));
            if ready.is_some() {
                shelf.touch(&digest, now_unix_ns)?;
            }
            Ok(ready)
        })
        .await
    }

    /// Notes an image as prepared.
    pub(crate) async fn keep(&self, image: PreparedImage) -> Result<PreparedImage, PrepareError> {
        self.with_shelf(move |shelf| shelf.put(&image).map(|()| image)).await
    }

    /// A layer that is on the shelf already, and that these packed bytes gave.
    pub(crate) async fn shelved(
        &self,
        diff_id: Digest,
        blob: Digest,
    ) -> Result<Option<PreparedLayer>, PrepareError> {
        self.with_shelf(move |shelf| shelf.layer_of_blob(&diff_id, &blob)).await
    }

    /// Notes what gave a layer.
    pub(crate) async fn note_blob(
        &self,
        diff_id: Digest,
        blob: Digest,
    ) -> Result<(), PrepareError> {
        self.with_shelf(move |shelf| shelf.add_blob(&diff_id, blob)).await
    }

    /// Adds the layer that mends what the others cannot say alone, if one is needed.
    pub(crate) async fn complete(
        &self,
        layers: Vec<PreparedLayer>,
        budget: &Budget,
    ) -> Result<Vec<PreparedLayer>, PrepareError> {
        let (limits, count) = (budget.limits(&self.settings.limits), layers.len());
        let _turn = self.conversion_slot().await;
        self.require_room(0).await?;
        let layers = self.with_shelf(move |shelf| shelf.complete(layers, &limits)).await?;
        layers.iter().skip(count).try_for_each(|layer| budget.take(layer))?;
        Ok(layers)
    }

    /// Waits until the disk has room for so many bytes, as long as making it takes.
    pub(crate) async fn require_room(&self, bytes: u64) -> Result<(), PrepareError> {
        let disk = self.disk.clone();
        self.with_shelf(move |_| disk.require(bytes)).await
    }

    /// Converts an archive on a thread of its own.
    pub(crate) async fn convert<R: Read + Send>(
        &self,
        archive: impl FnOnce() -> Result<R, PrepareError> + Send + 'static,
        diff_id: Option<Digest>,
        budget: &Budget,
    ) -> Result<PreparedLayer, PrepareError> {
        let slot = self.conversion_slot().await;
        self.convert_in(slot, archive, diff_id, budget).await
    }

    async fn convert_in<R: Read + Send>(
        &self,
        slot: ConversionSlot,
        archive: impl FnOnce() -> Result<R, PrepareError> + Send + 'static,
        diff_id: Option<Digest>,
        budget: &Budget,
    ) -> Result<PreparedLayer, PrepareError> {
        let limits = budget.limits(&self.settings.limits);
        let floor = self.disk.floor();
        let converted = self.with_shelf(move |shelf| {
            let archive = AboveFloor { archive: archive()?, floor };
            shelf.convert_layer_in(slot, archive, diff_id.as_ref(), &limits)
        });
        let layer = converted.await.map_err(|error| budget.explain(&limits, error))?;
        budget.take(&layer)?;
        Ok(layer)
    }

    /// Waits until nobody else works at that layer of a user's file.
    pub(crate) async fn layer_turn(&self, diff_id: Digest) -> OwnedMutexGuard<()> {
        self.layers.take((String::new(), diff_id)).await
    }

    /// A layer of a registry's image.
    pub(crate) async fn layer(
        &self,
        session: &Session,
        blob: &Descriptor,
        diff_id: Digest,
        told: (&Progress, &Budget),
    ) -> Result<PreparedLayer, PrepareError> {
        let (progress, budget) = told;
        let _turn = self.layers.take((session.registry().to_owned(), diff_id)).await;
        // An image's configuration may name any layer. It is theirs unfetched only if this registry has
        // sent the bytes that gave it, and has them for this user in this repository: another one may
        // say so of any digest. Where it does not say so, the fetch finds out why.
        let sent = sent_by(session.registry(), &blob.digest);
        if let Some(shelved) = self.shelved(diff_id, sent).await?
            && session.check_blob(blob).await.is_ok()
        {
            budget.take(&shelved)?;
            progress.fetched(blob.size);
            progress.layer_done();
            return Ok(shelved);
        }
        // The packed bytes until they are converted, and hardly more once they are.
        self.require_room(blob.size.saturating_mul(2)).await?;
        for fresh in [false, true] {
            match self.fetch_and_convert(session, blob, diff_id, told).await {
                // What an earlier run left may be damaged, e.g. by a power failure, and a mirror may
                // be: once more from the start.
                Err(LayerFailure::Fetch(FetchError::Blob(BlobError::Digest { resumed })))
                    if !fresh && (session.leave_mirrors() || resumed) =>
                {
                    progress.lost(blob.size);
                }
                Err(LayerFailure::Fetch(error)) => return Err(self.said(blob, error)),
                Err(LayerFailure::Convert(error)) => return Err(error),
                Ok(layer) => {
                    self.note_blob(diff_id, blob.digest).await?;
                    self.note_blob(diff_id, sent).await?;
                    progress.layer_done();
                    return Ok(layer);
                }
            }
        }
        Err(PrepareError::site("a layer was fetched twice in vain"))
    }

    /// Both at once, if there is a slot for that: the archive is read while its file still grows.
    async fn fetch_and_convert(
        &self,
        session: &Session,
        blob: &Descriptor,
        diff_id: Digest,
        (progress, budget): (&Progress, &Budget),
    ) -> Result<PreparedLayer, LayerFailure> {
        let name = blob::file_name(session.registry(), &blob.digest, blob.size);
        let turn = self.unfinished.take(&name).await;
        let slot = self.downloads.take(session.registry()).await;
        let path = self.unfinished.path(&name);
        let (file, digest, size) = (path.clone(), blob.digest, blob.size);
        let opened = tokio::task::spawn_blocking(move || {
            let writer = BlobWriter::open(file, &digest, size)?;
            Ok((writer.reader()?, writer.stop(), writer))
        });
        let opened: Result<_, BlobError> = joined(opened.await)?;
        let (reader, stop, writer) =
            opened.map_err(|error| LayerFailure::Fetch(FetchError::Blob(error)))?;
        let (slots, disk) = (&self.downloads, &self.disk);
        let fetch = Fetch { session, blob, progress, slots, disk };
        let fetch = async { fetch.run(writer, slot, turn).await.map_err(LayerFailure::Fetch) };
        let converted = match self.stream_slot() {
            None => {
                fetch.await?;
                self.convert(|| Ok(reader), Some(diff_id), budget).await
            }
            Some(slot) => {
                let convert = self.convert_in(slot, || Ok(reader), Some(diff_id), budget);
                both(fetch, convert, &stop).await?
            }
        };
        drop(stop);
        let of_use = matches!(&converted, Err(error) if error.blame == Blame::Site);
        if !of_use && let Err(error) = std::fs::remove_file(&path) {
            log::warn!("removing the blob {}: {error}", path.display());
        }
        converted.map_err(LayerFailure::Convert)
    }

    fn said(&self, blob: &Descriptor, error: FetchError) -> PrepareError {
        let name = format_args!("sha256:{}", blob.digest);
        match error {
            FetchError::Registry(failure) => failure.into(),
            FetchError::Blob(BlobError::File(path, error)) => PrepareError::site(format!(
                "its layer cannot be kept in {}: {error}; what was fetched is kept for the next try",
                path.display()
            )),
            FetchError::Blob(BlobError::Full(error)) => error,
            FetchError::Blob(BlobError::Digest { .. }) => PrepareError::site(format!(
                "what its registry sends for its layer {name} does not have that digest"
            )),
        }
    }

    /// The semaphore is never closed.
    async fn conversion_slot(&self) -> ConversionSlot {
        ConversionSlot { _any: self.conversions.clone().acquire_owned().await.ok(), _stream: None }
    }

    /// For a layer on its way, whose registry may keep it waiting: if one is free now, and never the
    /// last.
    fn stream_slot(&self) -> Option<ConversionSlot> {
        let _stream = Some(self.streams.clone().try_acquire_owned().ok()?);
        Some(ConversionSlot {
            _any: Some(self.conversions.clone().try_acquire_owned().ok()?),
            _stream,
        })
    }

    /// The shelf waits for disks and locks: never on a thread that others need.
    pub(crate) async fn with_shelf<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Shelf) -> Result<T, PrepareError> + Send + 'static,
    ) -> Result<T, PrepareError> {
        let shelf = self.shelf.clone();
        joined(tokio::task::spawn_blocking(move || work(&shelf)).await)?
    }
}

/// What packed bytes are known by that a registry has sent, beside their own digest, which is for those
/// who have shown the bytes.
fn sent_by(registry: &str, blob: &Digest) -> Digest {
    Digest(Sha256::digest(format!("{registry} {blob}")).into())
}

/// Fetches and converts; gives how the conversion ended.
async fn both(
    fetch: impl Future<Output = Result<(), LayerFailure>>,
    convert: impl Future<Output = Result<PreparedLayer, PrepareError>>,
    stop: &Stop,
) -> Result<Result<PreparedLayer, PrepareError>, LayerFailure> {
    let (mut fetch, mut convert) = (pin!(fetch), pin!(convert));
    tokio::select! {
        biased;
        fetched = &mut fetch => {
            fetched?;
            Ok(convert.await)
        }
        converted = &mut convert => {
            // Bytes are blamed for what they hold only when they are those that were asked for;
            // a reader that broke off has no reason of its own.
            let ours = matches!(&converted, Err(error) if error.blame == Blame::Site);
            if !ours || stop.is_broken() {
                fetch.await?;
            }
            Ok(converted)
        }
    }
}

/// Free again when it is dropped.
struct ConversionSlot {
    _any: Option<OwnedSemaphorePermit>,
    _stream: Option<OwnedSemaphorePermit>,
}

/// What a layer fails of.
#[derive(Debug)]
enum LayerFailure {
    Fetch(FetchError),
    Convert(PrepareError),
}

impl From<PrepareError> for LayerFailure {
    fn from(error: PrepareError) -> Self {
        Self::Convert(error)
    }
}

/// A thread that panicked is a failure of ours.
fn joined<T>(ended: Result<T, JoinError>) -> Result<T, PrepareError> {
    ended.map_err(|error| PrepareError::site(format!("bootsrv has a bug: {error}")))
}
