//! An image of a file that a user sent.

use crate::error::PrepareError;
use crate::format::{self, FileImage, FileLayer};
use crate::prepare_layer::{Parts, Workshop};
use crate::prepared::PreparedLayer;
use crate::progress::Progress;
use protocol::image_reference::FileReference;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::task::JoinSet;

/// Converts what is not on the shelf.
pub(crate) async fn prepare(
    workshop: &Workshop,
    file: &FileReference,
    uploaded: Option<&Path>,
    progress: Arc<Progress>,
) -> Result<Parts, PrepareError> {
    let path = uploaded.ok_or_else(|| PrepareError::site("its bytes were not sent"))?.to_owned();
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
    let layers = layers(workshop, image.layers, progress).await?;
    let layers = workshop.complete(layers).await?;
    Ok(Parts { architecture: image.architecture, layers, config: image.config })
}

/// All layers side by side, in the order of the image.
async fn layers(
    workshop: &Workshop,
    layers: Vec<FileLayer>,
    progress: Arc<Progress>,
) -> Result<Vec<PreparedLayer>, PrepareError> {
    let stop = StopOnDrop(Arc::default());
    let mut tasks = JoinSet::new();
    for (at, layer) in layers.into_iter().enumerate() {
        let (workshop, progress, stop) = (workshop.clone(), progress.clone(), stop.0.clone());
        tasks.spawn(async move { Ok((at, one(&workshop, layer, &progress, stop).await?)) });
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
    layer: FileLayer,
    progress: &Arc<Progress>,
    stop: Arc<AtomicBool>,
) -> Result<PreparedLayer, PrepareError> {
    let diff_id = layer.diff_id;
    let _turn = match diff_id {
        Some(diff_id) => Some(workshop.layer_turn(diff_id).await),
        None => None,
    };
    if let Some(diff_id) = diff_id
        && let Some(shelved) = workshop.shelved(diff_id).await?
    {
        progress.fetched(layer.bytes);
        progress.layer_done();
        return Ok(shelved);
    }
    let told = progress.clone();
    let open = move || Ok(Watched { archive: layer.open()?, progress: told, stop });
    let converted = workshop.convert(open, diff_id).await?;
    progress.layer_done();
    Ok(converted)
}

/// Ends the readers when it is dropped: nobody waits for their work any more.
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Counts what is read.
struct Watched {
    archive: Box<dyn Read + Send>,
    progress: Arc<Progress>,
    stop: Arc<AtomicBool>,
}

impl Read for Watched {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(io::Error::new(io::ErrorKind::BrokenPipe, "nobody waits for it any more"));
        }
        let length = self.archive.read(buffer)?;
        self.progress.fetched(u64::try_from(length).unwrap_or(u64::MAX));
        Ok(length)
    }
}
