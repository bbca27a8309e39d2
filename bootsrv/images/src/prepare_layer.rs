//! Layers fetched and converted side by side, each at most once at a time in the whole program.

use crate::blob::{BlobError, BlobWriter};
use crate::blob_fetch::{self, FetchError};
use crate::error::{Blame, PrepareError};
use crate::prepared::{PreparedImage, PreparedLayer};
use crate::progress::Progress;
use crate::registry::Session;
use crate::registry::manifest::Descriptor;
use crate::settings::Settings;
use crate::shelf::Shelf;
use crate::turns::Turns;
use protocol::application::ImageConfig;
use protocol::names::Digest;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::{OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinError;

/// Below the state directory: blobs on their way, named by their digest.
const BLOBS: &str = "blobs";
/// An unfinished blob that nobody went on with for so long is removed at the next start.
const BLOB_AGE_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

/// What all preparations share.
#[derive(Debug, Clone)]
pub(crate) struct Workshop {
    pub(crate) shelf: Shelf,
    pub(crate) settings: Arc<Settings>,
    blobs: PathBuf,
    downloads: Arc<Semaphore>,
    conversions: Arc<Semaphore>,
    /// By diff id: a layer that two images share.
    layers: Turns<Digest>,
    /// By digest: a file that is written.
    files: Turns<Digest>,
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
        clean(&blobs, SystemTime::now()).map_err(|error| {
            PrepareError::site(format!("cannot use the directory {}: {error}", blobs.display()))
        })?;
        Ok(Self {
            shelf,
            blobs,
            downloads: Arc::new(Semaphore::new(settings.parallel_downloads.max(1))),
            conversions: Arc::new(Semaphore::new(settings.parallel_conversions.max(1))),
            layers: Turns::default(),
            files: Turns::default(),
            settings: Arc::new(settings),
        })
    }

    /// An image that is prepared; noted as used.
    pub(crate) async fn ready(
        &self,
        digest: Digest,
        now_unix_ns: i64,
    ) -> Result<Option<PreparedImage>, PrepareError> {
        self.with_shelf(move |shelf| {
            let ready = shelf.get(&digest)?;
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

    /// A layer that is on the shelf already.
    pub(crate) async fn shelved(
        &self,
        diff_id: Digest,
    ) -> Result<Option<PreparedLayer>, PrepareError> {
        self.with_shelf(move |shelf| shelf.layer(&diff_id)).await
    }

    /// Adds the layer that mends what the others cannot say alone, if one is needed.
    pub(crate) async fn complete(
        &self,
        layers: Vec<PreparedLayer>,
    ) -> Result<Vec<PreparedLayer>, PrepareError> {
        let limits = self.settings.limits;
        let _turn = self.conversion_slot().await;
        self.with_shelf(move |shelf| shelf.complete(layers, &limits)).await
    }

    /// Converts an archive on a thread of its own.
    pub(crate) async fn convert<R: Read + Send>(
        &self,
        archive: impl FnOnce() -> Result<R, PrepareError> + Send + 'static,
        diff_id: Option<Digest>,
    ) -> Result<PreparedLayer, PrepareError> {
        let slot = self.conversion_slot().await;
        let limits = self.settings.limits;
        self.with_shelf(move |shelf| {
            let _slot = slot;
            shelf.convert_layer(archive()?, diff_id.as_ref(), &limits)
        })
        .await
    }

    /// Waits until nobody else works at that layer.
    pub(crate) async fn layer_turn(&self, diff_id: Digest) -> OwnedMutexGuard<()> {
        self.layers.take(diff_id).await
    }

    /// A layer of a registry's image.
    pub(crate) async fn layer(
        &self,
        session: &Session,
        blob: &Descriptor,
        diff_id: Digest,
        progress: &Progress,
    ) -> Result<PreparedLayer, PrepareError> {
        let _turn = self.layer_turn(diff_id).await;
        if let Some(shelved) = self.shelved(diff_id).await? {
            progress.fetched(blob.size);
            progress.layer_done();
            return Ok(shelved);
        }
        for fresh in [false, true] {
            match self.fetch_and_convert(session, blob, diff_id, progress).await {
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
                    progress.layer_done();
                    return Ok(layer);
                }
            }
        }
        Err(PrepareError::site("a layer was fetched twice in vain"))
    }

    /// Both at once: the archive is read while its file still grows.
    async fn fetch_and_convert(
        &self,
        session: &Session,
        blob: &Descriptor,
        diff_id: Digest,
        progress: &Progress,
    ) -> Result<PreparedLayer, LayerFailure> {
        let turn = self.files.take(blob.digest).await;
        let slot = self.downloads.clone().acquire_owned().await;
        let (directory, digest, size) = (self.blobs.clone(), blob.digest, blob.size);
        let opened = tokio::task::spawn_blocking(move || {
            let writer = BlobWriter::open(&directory, &digest, size)?;
            Ok((writer.reader()?, writer.stop(), writer))
        });
        let opened: Result<_, BlobError> = joined(opened.await)?;
        let (reader, stop, writer) =
            opened.map_err(|error| LayerFailure::Fetch(FetchError::Blob(error)))?;
        let mut fetch = pin!(async {
            let fetched = blob_fetch::fetch(session, blob, writer, progress, turn).await;
            drop(slot);
            fetched.map_err(LayerFailure::Fetch)
        });
        let mut convert = pin!(self.convert(|| Ok(reader), Some(diff_id)));
        let converted = tokio::select! {
            biased;
            fetched = &mut fetch => {
                fetched?;
                convert.await
            }
            converted = &mut convert => {
                // Bytes are blamed for what they hold only when they are those that were asked for;
                // a reader that broke off has no reason of its own.
                let ours = matches!(&converted, Err(error) if error.blame == Blame::Site);
                if !ours || stop.is_broken() {
                    fetch.await?;
                }
                converted
            }
        };
        drop(stop);
        let of_use = matches!(&converted, Err(error) if error.blame == Blame::Site);
        let path = self.blobs.join(blob.digest.to_string());
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
            FetchError::Blob(BlobError::Digest { .. }) => PrepareError::site(format!(
                "what its registry sends for its layer {name} does not have that digest"
            )),
        }
    }

    /// The semaphore is never closed.
    async fn conversion_slot(&self) -> Option<OwnedSemaphorePermit> {
        self.conversions.clone().acquire_owned().await.ok()
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

/// Makes the directory, and removes what nobody goes on with.
fn clean(blobs: &Path, now: SystemTime) -> std::io::Result<()> {
    std::fs::create_dir_all(blobs)?;
    for entry in std::fs::read_dir(blobs)? {
        let entry = entry?;
        let age = now.duration_since(entry.metadata()?.modified()?).unwrap_or_default();
        if age > BLOB_AGE_MAX {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}
