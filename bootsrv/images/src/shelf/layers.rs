//! Layers of the shelf.

use super::{Shelf, cannot, names, read};
use crate::error::PrepareError;
use crate::layer::stack::{self, StackedLayer};
use crate::layer::{self, LayerError, LayerIndex, LayerLimits};
use crate::prepared::PreparedLayer;
use artifacts::hub;
use artifacts::store::{Store, StoreError};
use protocol::names::Digest;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Most packed forms of one layer that are remembered: compressors differ, and registries pack anew.
const BLOBS_MAX: usize = 64;

/// Most layers; each is an artifact, of which a sweep lists 100,000.
const LAYERS_MAX: usize = if cfg!(test) { 20 } else { 50_000 };

impl Shelf {
    /// A layer by the digest of its uncompressed archive; `None`: it must be converted. It is safe
    /// from [`Shelf::gc`] for a day from now.
    ///
    /// # Errors
    /// When its file cannot be read.
    pub fn layer(&self, diff_id: &Digest) -> Result<Option<PreparedLayer>, PrepareError> {
        let Some(layer) = self.find_layer(diff_id)? else { return Ok(None) };
        self.set_touched(diff_id, SystemTime::now())?;
        Ok(Some(layer))
    }

    /// A layer that these packed bytes have given; `None`: whoever has nothing but the layer's own
    /// digest must fetch and convert it.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn layer_of_blob(
        &self,
        diff_id: &Digest,
        blob: &Digest,
    ) -> Result<Option<PreparedLayer>, PrepareError> {
        if self.blobs(diff_id)?.contains(blob) { self.layer(diff_id) } else { Ok(None) }
    }

    /// Notes that the packed bytes of that digest have given a layer.
    ///
    /// # Errors
    /// When the file cannot be read or written.
    pub fn add_blob(&self, diff_id: &Digest, blob: Digest) -> Result<(), PrepareError> {
        let _lock = self.lock()?;
        let mut blobs = self.blobs(diff_id)?;
        if blobs.contains(&blob) {
            return Ok(());
        }
        blobs.push(blob);
        let surplus = blobs.len().saturating_sub(BLOBS_MAX);
        blobs.drain(..surplus);
        let path = self.blobs_file(diff_id);
        // Not waited for until it is on the disk: what is lost costs a download, and the wait as much.
        let write = || {
            let file =
                tempfile::Builder::new().prefix(hub::BEGUN).tempfile_in(self.layers_directory())?;
            serde_json::to_writer(file.as_file(), &blobs)?;
            file.persist(&path).map_err(|error| error.error)?;
            Ok(())
        };
        write().map_err(|error: io::Error| cannot("write", &path, &error))
    }

    /// What is known to have given a layer, the oldest first.
    pub(crate) fn blobs(&self, diff_id: &Digest) -> Result<Vec<Digest>, PrepareError> {
        Ok(read(&self.blobs_file(diff_id))?.unwrap_or_default())
    }

    /// The same, without a trace.
    pub(super) fn find_layer(
        &self,
        diff_id: &Digest,
    ) -> Result<Option<PreparedLayer>, PrepareError> {
        let complete = |layer: &PreparedLayer| {
            self.store().contains(&layer.squashfs.sha256) && self.index_file(diff_id).is_file()
        };
        Ok(read(&self.layer_file(diff_id))?.filter(complete))
    }

    /// All layers, in no order.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn layers(&self) -> Result<Vec<PreparedLayer>, PrepareError> {
        let layers = names(&self.layers_directory())?;
        layers.iter().filter_map(|diff_id| read(&self.layer_file(diff_id)).transpose()).collect()
    }

    /// Converts a layer and keeps it.
    ///
    /// # Errors
    /// As [`layer::convert`]; the shelf is then as it was.
    pub fn convert_layer(
        &self,
        archive: impl Read + Send,
        expected_diff_id: Option<&Digest>,
        limits: &LayerLimits,
    ) -> Result<PreparedLayer, PrepareError> {
        self.convert_layer_in((), archive, expected_diff_id, limits)
    }

    /// The same in a place where few convert at once; it is given back as soon as the file is made: to
    /// hash it and to wait for the disk needs none.
    pub(crate) fn convert_layer_in<P>(
        &self,
        place: P,
        archive: impl Read + Send,
        expected_diff_id: Option<&Digest>,
        limits: &LayerLimits,
    ) -> Result<PreparedLayer, PrepareError> {
        let scratch =
            self.store().scratch().map_err(|error| PrepareError::site(error.to_string()))?;
        let file = scratch.join("squashfs");
        let converted = layer::convert(archive, expected_diff_id, &file, limits)?;
        drop(place);
        let index = converted.index;
        let entries = u64::try_from(index.entries.len()).unwrap_or(u64::MAX);
        self.keep(converted.diff_id, &file, &index, entries, converted.unpacked_bytes)
    }

    /// The layers of an image, the lowest first, and where they do not give the image's tree when
    /// they are laid over each other, one more on top that does.
    ///
    /// # Errors
    /// When a layer refers to what is not there, or a file cannot be read or written.
    pub fn complete(
        &self,
        mut layers: Vec<PreparedLayer>,
        limits: &LayerLimits,
    ) -> Result<Vec<PreparedLayer>, PrepareError> {
        let diff_ids: Vec<Digest> = layers.iter().map(|layer| layer.diff_id).collect();
        let key = stack::key(&diff_ids);
        if let Some(correction) = self.layer(&key)? {
            layers.push(correction);
            return Ok(layers);
        }
        let stacked = self.stacked(&layers, limits)?;
        let scratch =
            self.store().scratch().map_err(|error| PrepareError::site(error.to_string()))?;
        let file = scratch.join("squashfs");
        if let Some(corrected) = stack::correct(&stacked, &file, limits)? {
            layers.push(self.keep(
                key,
                &file,
                &LayerIndex::default(),
                corrected.entries,
                corrected.unpacked_bytes,
            )?);
        }
        Ok(layers)
    }

    /// What a layer's archive says, without the contents of its files.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn index(&self, diff_id: &Digest) -> Result<LayerIndex, PrepareError> {
        let path = self.index_file(diff_id);
        LayerIndex::load(&path).map_err(|error| cannot("read", &path, &error))
    }

    /// The layers' indexes, none of which is read if they are too many or too large together.
    fn stacked(
        &self,
        layers: &[PreparedLayer],
        limits: &LayerLimits,
    ) -> Result<Vec<StackedLayer>, PrepareError> {
        let entries: u64 = layers.iter().map(|layer| layer.entries).sum();
        if entries > limits.stack_entries_max() {
            return Err(stack::too_many_entries(limits).into());
        }
        let mut bytes = 0;
        let mut stacked = Vec::with_capacity(layers.len());
        for layer in layers {
            let index = self.index(&layer.diff_id)?;
            bytes += index.bytes();
            if bytes > limits.stack_bytes_max() {
                return Err(stack::too_many_names(limits).into());
            }
            let squashfs = self.store().path(&layer.squashfs.sha256);
            stacked.push(StackedLayer { index, squashfs });
        }
        Ok(stacked)
    }

    /// The index first, then the artifact, then the file that says that both are there.
    fn keep(
        &self,
        diff_id: Digest,
        file: &Path,
        index: &LayerIndex,
        entries: u64,
        unpacked_bytes: u64,
    ) -> Result<PreparedLayer, PrepareError> {
        let path = self.index_file(&diff_id);
        let unfinished = tempfile::Builder::new()
            .prefix(hub::BEGUN)
            .tempfile_in(self.layers_directory())
            .map_err(LayerError::Write)?;
        index.save(unfinished.path()).map_err(LayerError::Write)?;
        let site = |error: StoreError| PrepareError::site(error.to_string());
        let sealed = Store::seal(file).map_err(site)?;
        let _lock = self.lock()?;
        let there = || names(&self.layers_directory());
        if !self.layer_file(&diff_id).exists() && there()?.len() >= LAYERS_MAX {
            return Err(PrepareError::site(format!(
                "bootsrv keeps {LAYERS_MAX} layers already, its limit; remove images that nobody uses \
                 (bmc image gc)"
            )));
        }
        unfinished.persist(&path).map_err(|error| cannot("write", &path, &error.error))?;
        let squashfs = self.store().publish_sealed(sealed).map_err(site)?;
        let layer = PreparedLayer { diff_id, squashfs, entries, unpacked_bytes };
        self.write(&self.layer_file(&diff_id), &layer)?;
        Ok(layer)
    }

    pub(super) fn layer_file(&self, diff_id: &Digest) -> PathBuf {
        self.layers_directory().join(format!("{diff_id}.json"))
    }

    pub(super) fn blobs_file(&self, diff_id: &Digest) -> PathBuf {
        self.layers_directory().join(format!("{diff_id}.blobs"))
    }

    pub(super) fn index_file(&self, diff_id: &Digest) -> PathBuf {
        self.layers_directory().join(format!("{diff_id}.index"))
    }

    pub(super) fn set_touched(&self, diff_id: &Digest, at: SystemTime) -> Result<(), PrepareError> {
        let path = self.layer_file(diff_id);
        let touched = File::options().append(true).open(&path);
        touched
            .and_then(|file| file.set_modified(at))
            .map_err(|error| cannot("touch", &path, &error))
    }

    /// Since when nobody asked for a layer; `None`: its file is gone.
    pub(super) fn layer_touched(&self, diff_id: &Digest) -> Option<SystemTime> {
        fs::metadata(self.layer_file(diff_id)).and_then(|file| file.modified()).ok()
    }
}
