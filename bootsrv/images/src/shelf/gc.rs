//! What may go: images by age and size, then the layers that no image refers to.

use super::{Shelf, remove};
use crate::error::PrepareError;
use crate::prepared::{PreparedImage, PreparedLayer};
use protocol::names::Digest;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

/// How long a layer without an image is kept: its image may still be on its way, which takes at most
/// [`crate::settings::PULL_SECONDS_MAX`].
const UNREFERRED: Duration = Duration::from_secs(25 * 3600);

/// What the shelf may hold.
#[derive(Debug, Clone, Copy)]
pub struct GcLimits {
    /// Bytes of all layers; above, the images unused for the longest go.
    pub bytes_max: u64,
    /// An image that nobody asked for so long goes.
    pub age_max: Duration,
}

/// An image that is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removed {
    /// Its digest.
    pub digest: Digest,
    /// What it was asked as the last time.
    pub reference: String,
    /// Bytes that this made free, once its artifacts are swept.
    pub bytes: u64,
}

fn removed((image, bytes): (PreparedImage, u64)) -> Removed {
    Removed { digest: image.digest, reference: image.reference, bytes }
}

impl Shelf {
    /// Forgets images beyond the limits, but none whose digest is `in_use`, and layers that no image
    /// refers to. The artifacts go with the hub's next sweep.
    ///
    /// # Errors
    /// When a file cannot be read or removed.
    pub fn gc(
        &self,
        limits: &GcLimits,
        in_use: &BTreeSet<Digest>,
        now: SystemTime,
    ) -> Result<Vec<Removed>, PrepareError> {
        let _lock = self.lock()?;
        let removed = choose(self.list()?, limits, in_use, unix_ns(now));
        for (image, _) in &removed {
            remove(&self.image_file(&image.digest))?;
        }
        let images: Vec<&PreparedImage> = removed.iter().map(|(image, _)| image).collect();
        self.drop_layers(&images, now)?;
        Ok(removed.into_iter().map(self::removed).collect())
    }

    /// What [`Self::gc`] would forget now.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn would_gc(
        &self,
        limits: &GcLimits,
        in_use: &BTreeSet<Digest>,
        now: SystemTime,
    ) -> Result<Vec<Removed>, PrepareError> {
        let chosen = choose(self.list()?, limits, in_use, unix_ns(now));
        Ok(chosen.into_iter().map(removed).collect())
    }

    /// Forgets the layers that no image refers to. One that was asked for in the last day stays: an
    /// image may be on its way; but not if the image that is gone was the last to ask.
    pub(super) fn drop_layers(
        &self,
        gone: &[&PreparedImage],
        now: SystemTime,
    ) -> Result<(), PrepareError> {
        let images = self.list()?;
        let kept: BTreeSet<Digest> =
            images.iter().flat_map(|image| &image.layers).map(|layer| layer.diff_id).collect();
        for layer in self.layers()? {
            let touched = self.layer_touched(&layer.diff_id).unwrap_or(SystemTime::UNIX_EPOCH);
            let was_its = |image: &&&PreparedImage| image.layers.contains(&layer);
            let last = gone.iter().filter(was_its).map(|image| image.prepared_unix_ns).max();
            let free = match last {
                Some(prepared) if unix_ns(touched) <= prepared => true,
                _ => touched + UNREFERRED <= now,
            };
            if free && kept.contains(&layer.diff_id) {
                // So that it goes with the last of the others, which may have asked before.
                self.set_touched(&layer.diff_id, SystemTime::UNIX_EPOCH)?;
            } else if free {
                remove(&self.layer_file(&layer.diff_id))?;
                remove(&self.index_file(&layer.diff_id))?;
                remove(&self.blobs_file(&layer.diff_id))?;
            }
        }
        Ok(())
    }
}

/// The images that go, the longest unused first, and the bytes each makes free.
fn choose(
    mut images: Vec<PreparedImage>,
    limits: &GcLimits,
    in_use: &BTreeSet<Digest>,
    now_ns: i64,
) -> Vec<(PreparedImage, u64)> {
    images.sort_by_key(|image| image.used_unix_ns);
    let mut users: BTreeMap<Digest, (u64, usize)> = BTreeMap::new();
    for layer in images.iter().flat_map(distinct) {
        users.entry(layer.squashfs.sha256).or_insert((layer.squashfs.bytes, 0)).1 += 1;
    }
    let mut bytes: u64 = users.values().map(|(bytes, _)| bytes).sum();
    let age_max = i64::try_from(limits.age_max.as_nanos()).unwrap_or(i64::MAX);
    let mut chosen = Vec::new();
    for image in images {
        let old = now_ns.saturating_sub(image.used_unix_ns) > age_max;
        if in_use.contains(&image.digest) || !(old || bytes > limits.bytes_max) {
            continue;
        }
        let mut freed = 0;
        for layer in distinct(&image) {
            if let Some((size, count)) = users.get_mut(&layer.squashfs.sha256) {
                *count -= 1;
                freed += if *count == 0 { *size } else { 0 };
            }
        }
        bytes -= freed;
        chosen.push((image, freed));
    }
    chosen
}

/// An image may have the same layer twice.
fn distinct(image: &PreparedImage) -> impl Iterator<Item = &PreparedLayer> {
    let mut seen = BTreeSet::new();
    image.layers.iter().filter(move |layer| seen.insert(layer.squashfs.sha256))
}

pub(super) fn unix_ns(time: SystemTime) -> i64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}
