//! An image of a file that a user sent.

use crate::error::PrepareError;
use crate::format::{self, FileImage, FileLayer};
use crate::places::ConversionSlot;
use crate::prepare_layer::{Parts, Workshop};
use crate::prepare_room::Budget;
use crate::prepared::PreparedLayer;
use crate::progress::Progress;
use crate::shelf::Shelf;
use protocol::image_reference::FileReference;
use protocol::names::Digest;
use sha2::{Digest as _, Sha256};
use std::io::{self, Read};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::task::JoinSet;

/// Of a file whose bytes are not here: they were never sent, or are gone since.
const NOT_SENT: &str = "its bytes are not at bootsrv (any more): submit the job again";

/// Converts what is not on the shelf.
pub(crate) async fn prepare(
    workshop: &Workshop,
    file: &FileReference,
    uploaded: Option<&Path>,
    (progress, budget): (Arc<Progress>, Arc<Budget>),
) -> Result<Parts, PrepareError> {
    let path = uploaded.ok_or_else(|| PrepareError::user(NOT_SENT))?.to_owned();
    let architecture = workshop.settings.architecture.clone();
    let (format, tag) = (file.format, file.tag.clone());
    let image: FileImage = workshop
        .with_shelf(move |_| format::open(format, &path, tag.as_deref(), &architecture))
        .await?;
    let most = workshop.settings.layers_max;
    if image.layers.is_empty() || image.layers.len() > most {
        let count = image.layers.len();
        return Err(PrepareError::user(format!("it has {count} layers; 1 to {most} can be used")));
    }
    let bytes = image.layers.iter().fold(0_u64, |sum, layer| sum.saturating_add(layer.bytes));
    progress.announce(bytes, u32::try_from(image.layers.len()).unwrap_or(u32::MAX));
    budget.check(bytes)?;
    let name = file.digest.map(|digest| digest.to_string()).unwrap_or_default();
    let layers = layers(workshop, (&name, image.layers), progress, &budget).await?;
    let layers = workshop.complete(layers, &budget).await?;
    Ok(Parts { architecture: image.architecture, layers, config: image.config })
}

/// All layers side by side, in the order of the image.
async fn layers(
    workshop: &Workshop,
    (file, layers): (&str, Vec<FileLayer>),
    progress: Arc<Progress>,
    budget: &Arc<Budget>,
) -> Result<Vec<PreparedLayer>, PrepareError> {
    let stop = StopOnDrop(Arc::default());
    let mut tasks = JoinSet::new();
    for (at, layer) in layers.into_iter().enumerate() {
        let (workshop, progress, stop) = (workshop.clone(), progress.clone(), stop.0.clone());
        let budget = budget.clone();
        let name = format!("{file} {} {}", layer.offset(), layer.bytes);
        tasks.spawn(async move {
            Ok((at, one(&workshop, (&name, layer), (&progress, &budget), stop).await?))
        });
    }
    let mut done = Vec::new();
    while let Some(ended) = tasks.join_next().await {
        let ended: Result<(usize, PreparedLayer), PrepareError> =
            ended.map_err(|error| PrepareError::site(format!("bootsrv has a bug: {error}")))?;
        done.push(ended?);
    }
    done.sort_by_key(|(at, _)| *at);
    Ok(done.into_iter().map(|(_, layer)| layer).collect())
}

async fn one(
    workshop: &Workshop,
    (name, layer): (&str, FileLayer),
    (progress, budget): (&Arc<Progress>, &Budget),
    stop: Arc<AtomicBool>,
) -> Result<PreparedLayer, PrepareError> {
    let layer = Arc::new(layer);
    let diff_id = layer.diff_id;
    let (mut place, _turn) = workshop.layer_place(name, diff_id, budget).await;
    if let Some(diff_id) = diff_id {
        let (back, shelved) = shelved(workshop, place, &layer, diff_id, &stop).await?;
        if let Some(shelved) = shelved {
            budget.take(&shelved)?;
            progress.fetched(layer.bytes);
            progress.layer_done();
            return Ok(shelved);
        }
        place = back;
    }
    let (told, packed, opened) = (progress.clone(), Arc::<Packed>::default(), layer.clone());
    let hashed = diff_id.map(|_| packed.clone());
    let disk = workshop.disk.clone();
    let open = move || {
        // A part of a file may be copied.
        disk.require(opened.bytes)?;
        Ok(Watched { archive: opened.open()?, progress: Some(told), stop, hashed })
    };
    let converted = workshop.convert_in(place, open, diff_id, budget).await?;
    if let (Some(diff_id), Some(blob)) = (diff_id, packed.digest()) {
        workshop.note_blob(diff_id, blob).await?;
    }
    progress.layer_done();
    Ok(converted)
}

/// A layer that is on the shelf, if the file holds the bytes that gave it: what it says of itself is
/// no proof that its sender has them. Hashing is a tenth of the work of converting, and has its place,
/// which is given back.
async fn shelved(
    workshop: &Workshop,
    place: ConversionSlot,
    layer: &Arc<FileLayer>,
    diff_id: Digest,
    stop: &Arc<AtomicBool>,
) -> Result<(ConversionSlot, Option<PreparedLayer>), PrepareError> {
    let (layer, stop) = (layer.clone(), stop.clone());
    let find = move |shelf: &Shelf| {
        if shelf.blobs(&diff_id)?.is_empty() || shelf.layer(&diff_id)?.is_none() {
            return Ok((place, None));
        }
        let packed = Arc::<Packed>::default();
        let hashed = Some(packed.clone());
        let mut archive = Watched { archive: layer.open()?, progress: None, stop, hashed };
        let read = io::copy(&mut archive, &mut io::sink());
        read.map_err(|error| PrepareError::site(format!("cannot read the file: {error}")))?;
        let shelved = match packed.digest() {
            Some(blob) => shelf.layer_of_blob(&diff_id, &blob)?,
            None => None,
        };
        Ok((place, shelved))
    };
    workshop.with_shelf(find).await
}

/// The digest of bytes on their way.
#[derive(Default)]
struct Packed(Mutex<(Sha256, bool)>);

impl Packed {
    fn read(&self, bytes: &[u8]) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.0.update(bytes);
        state.1 |= bytes.is_empty();
    }

    /// `None`: they were not read to their end.
    fn digest(&self) -> Option<Digest> {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.1.then(|| Digest(state.0.clone().finalize().into()))
    }
}

/// Ends the readers when it is dropped: nobody waits for their work any more.
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Counts and hashes what is read.
struct Watched {
    archive: Box<dyn Read + Send>,
    progress: Option<Arc<Progress>>,
    stop: Arc<AtomicBool>,
    hashed: Option<Arc<Packed>>,
}

impl Read for Watched {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(io::Error::new(io::ErrorKind::BrokenPipe, "nobody waits for it any more"));
        }
        let length = self.archive.read(buffer)?;
        if let Some(hashed) = self.hashed.as_ref().filter(|_| !buffer.is_empty()) {
            hashed.read(buffer.get(..length).unwrap_or_default());
        }
        if let Some(progress) = &self.progress {
            progress.fetched(u64::try_from(length).unwrap_or(u64::MAX));
        }
        Ok(length)
    }
}
