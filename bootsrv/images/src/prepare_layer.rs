//! Layers fetched and converted side by side, each at most once at a time in the whole program.

use crate::blob::{self, BlobError, BlobWriter, Stop};
use crate::blob_fetch::{Fetch, FetchError};
use crate::error::{Blame, PrepareError};
use crate::places::{ConversionSlot, Kind, Places};
use crate::prepare_room::{AboveFloor, Budget, Disk};
use crate::prepared::{PreparedImage, PreparedLayer};
use crate::progress::Progress;
use crate::registry::Session;
use crate::registry::manifest::Descriptor;
use crate::settings::Settings;
use crate::shelf::Shelf;
use crate::turns::{Slot, TurnGuard, Turns};
use crate::unfinished::Unfinished;
use protocol::application::ImageConfig;
use protocol::image_reference::ImageReference;
use protocol::names::Digest;
use sha2::{Digest as _, Sha256};
use std::io::Read;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
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
    places: Places,
    /// A layer that two images share, by the name of its bytes and the diff id. What other bytes, or the
    /// same of another registry, are said to give is another one: it may be a lie, or slow.
    layers: Turns<(String, Digest)>,
}

/// A layer that a registry's manifest names.
#[derive(Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub(crate) session: &'a Session,
    pub(crate) blob: &'a Descriptor,
    pub(crate) diff_id: Digest,
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
            places: Places::new(&settings),
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
        let _place = self.places.conversion(&budget.owner).await;
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

    /// Waits for a place to convert in, and for nobody else working at that layer.
    pub(crate) async fn layer_place(
        &self,
        bytes: &str,
        diff_id: Option<Digest>,
        budget: &Budget,
    ) -> (ConversionSlot, Option<TurnGuard>) {
        let place = || self.places.conversion(&budget.owner);
        let Some(diff_id) = diff_id else { return (place().await, None) };
        let (place, turn) = self.layers.take_in(&(bytes.to_owned(), diff_id), place).await;
        (place, Some(turn))
    }

    /// Converts an archive on a thread of its own.
    pub(crate) async fn convert_in<R: Read + Send>(
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

    /// A layer of a registry's image.
    pub(crate) async fn layer(
        &self,
        wanted: &Wanted<'_>,
        told: (&Progress, &Budget),
    ) -> Result<PreparedLayer, PrepareError> {
        let (session, blob, progress) = (wanted.session, wanted.blob, told.0);
        for fresh in [false, true] {
            match self.find_or_fetch(wanted, told).await {
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

    /// An image's configuration may name any layer. It is theirs unfetched only if this registry has
    /// sent the bytes that gave it, and has them for this user in this repository: another one may
    /// say so of any digest. Where it does not say so, the fetch finds out why.
    async fn find_or_fetch(
        &self,
        wanted: &Wanted<'_>,
        (progress, budget): (&Progress, &Budget),
    ) -> Result<PreparedLayer, LayerFailure> {
        let Wanted { session, blob, diff_id } = *wanted;
        let sent = sent_by(session.registry(), &blob.digest);
        let shelved = self.shelved(diff_id, sent).await?;
        let was_there = shelved.is_some();
        if let Some(shelved) = shelved
            && session.check_blob(blob).await.is_ok()
        {
            progress.fetched(blob.size);
            return Ok(budget.take(&shelved).map(|()| shelved)?);
        }
        // What is said of its size is not believed: room is made for what comes.
        self.require_room(0).await?;
        let kinds = [budget.owner.clone(), Kind::Registry(session.registry().to_owned())];
        let name = blob::file_name(session.registry(), &blob.digest, blob.size);
        let place = || self.places.downloads.take(&kinds);
        let begun = self.unfinished.take_in(&name, place).await;
        // Others may have fetched it since.
        if !was_there
            && let Some(shelved) = self.shelved(diff_id, sent).await?
            && session.check_blob(blob).await.is_ok()
        {
            self.unfinished.remove(&name, &begun.1);
            progress.fetched(blob.size);
            return Ok(budget.take(&shelved).map(|()| shelved)?);
        }
        self.fetch_and_convert(wanted, (progress, budget), (&name, &kinds), begun).await
    }

    /// Both at once, if there is a place for that: the archive is read while its file still grows.
    async fn fetch_and_convert(
        &self,
        wanted: &Wanted<'_>,
        (progress, budget): (&Progress, &Budget),
        (name, kinds): (&str, &[Kind]),
        (slot, turn): (Slot, TurnGuard),
    ) -> Result<PreparedLayer, LayerFailure> {
        let Wanted { session, blob, diff_id } = *wanted;
        let (file, digest, size) = (self.unfinished.path(name), blob.digest, blob.size);
        let opened = tokio::task::spawn_blocking(move || {
            let writer = BlobWriter::open(file, &digest, size)?;
            Ok((writer.reader()?, writer.stop(), writer))
        });
        let opened: Result<_, BlobError> = joined(opened.await)?;
        let (reader, stop, writer) =
            opened.map_err(|error| LayerFailure::Fetch(FetchError::Blob(error)))?;
        let (slots, disk) = (&self.places.downloads, &self.disk);
        let fetch = Fetch { session, blob, progress, slots, kinds, disk };
        let turn = Arc::new(turn);
        let held = turn.clone();
        let fetch = async { fetch.run(writer, slot, held).await.map_err(LayerFailure::Fetch) };
        let stream = self.places.stream(&budget.owner);
        let stream = stream.zip(self.layers.try_take((name.to_owned(), diff_id)));
        let archive = || Ok(reader);
        let (converted, _layer, turn) = match stream {
            None => {
                fetch.await?;
                drop(turn);
                let (place, layer) = self.layer_place(name, Some(diff_id), budget).await;
                let sent = sent_by(session.registry(), &blob.digest);
                let converted = match self.shelved(diff_id, sent).await? {
                    Some(shelved) => budget.take(&shelved).map(|()| shelved),
                    None => self.convert_in(place, archive, Some(diff_id), budget).await,
                };
                (converted, layer, self.unfinished.try_take(name).map(Arc::new))
            }
            Some((place, layer)) => {
                let convert = self.convert_in(place, archive, Some(diff_id), budget);
                (both(fetch, convert, &stop).await?, Some(layer), Some(turn))
            }
        };
        drop(stop);
        let of_use = matches!(&converted, Err(error) if error.blame == Blame::Site);
        // Somebody else may have it by now, and removes it in his turn. Else it is kept until the shelf
        // knows the blob: who comes next does not fetch it again.
        if let Some(turn) = turn.as_ref().filter(|_| !of_use) {
            self.unfinished.remove(name, turn);
        }
        let layer = converted?;
        self.note_blob(diff_id, blob.digest).await?;
        self.note_blob(diff_id, sent_by(session.registry(), &blob.digest)).await?;
        Ok(layer)
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
