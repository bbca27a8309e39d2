//! What is prepared: one small file an image and one a layer below the state directory; the layers
//! themselves are artifacts.
//!
//! A file here is complete or absent, and written after what it refers to. It must not know where
//! images come from, nor who uses them.

mod gc;
mod layers;
#[cfg(test)]
mod tests;

pub use gc::{GcLimits, Removed};

use crate::error::PrepareError;
use crate::prepared::PreparedImage;
use artifacts::hub;
use artifacts::store::Store;
use protocol::names::Digest;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Most images. The limit holds where one is added: what removes them must work above it, too.
const IMAGES_MAX: usize = if cfg!(test) { 20 } else { 10_000 };

/// Images and layers that are ready; clones share them.
#[derive(Debug, Clone)]
pub struct Shelf {
    state_dir: PathBuf,
    store: Store,
}

impl Shelf {
    /// Opens or makes `prepared` and `layers` below `state_dir`, and removes what a killed run began to
    /// write there; nobody else has it open.
    ///
    /// # Errors
    /// When a directory cannot be made.
    pub fn open(state_dir: impl Into<PathBuf>, store: Store) -> Result<Self, PrepareError> {
        let shelf = Self { state_dir: state_dir.into(), store };
        for directory in [shelf.images_directory(), shelf.layers_directory()] {
            fs::create_dir_all(&directory).map_err(|error| cannot("make", &directory, &error))?;
            remove_begun(&directory).map_err(|error| cannot("clean", &directory, &error))?;
        }
        Ok(shelf)
    }

    /// The artifacts that its layers are among.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// An image all of whose layers are there; `None`: it must be prepared.
    ///
    /// # Errors
    /// When its file cannot be read.
    pub fn get(&self, digest: &Digest) -> Result<Option<PreparedImage>, PrepareError> {
        let image: Option<PreparedImage> = read(&self.image_file(digest))?;
        let complete = |image: &PreparedImage| {
            image.layers.iter().all(|layer| self.store.contains(&layer.squashfs.sha256))
        };
        Ok(image.filter(complete))
    }

    /// All images, in no order.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn list(&self) -> Result<Vec<PreparedImage>, PrepareError> {
        let images = names(&self.images_directory())?;
        images.iter().filter_map(|digest| self.get(digest).transpose()).collect()
    }

    /// Makes or replaces an image.
    ///
    /// # Errors
    /// When one of its layers is not there, or the file cannot be written.
    pub fn put(&self, image: &PreparedImage) -> Result<(), PrepareError> {
        let _lock = self.lock()?;
        for layer in &image.layers {
            if self.find_layer(&layer.diff_id)?.is_none() {
                let layer = layer.diff_id;
                return Err(PrepareError::site(format!(
                    "layer {layer} was removed while its image was prepared; try again"
                )));
            }
        }
        let file = self.image_file(&image.digest);
        if !file.exists() && names(&self.images_directory())?.len() >= IMAGES_MAX {
            return Err(PrepareError::site(format!(
                "bootsrv keeps {IMAGES_MAX} images already, its limit; remove those that nobody uses \
                 (bmc image gc)"
            )));
        }
        self.write(&file, image)
    }

    /// Notes that somebody asked for an image, in nanoseconds since 1970.
    ///
    /// # Errors
    /// When its file cannot be read or written.
    pub fn touch(&self, digest: &Digest, used_unix_ns: i64) -> Result<(), PrepareError> {
        let _lock = self.lock()?;
        match self.get(digest)? {
            Some(image) => {
                self.write(&self.image_file(digest), &PreparedImage { used_unix_ns, ..image })
            }
            None => Ok(()),
        }
    }

    /// Forgets an image, and its layers where no other image has them; the artifacts go with the hub's
    /// next sweep. `None`: there was none.
    ///
    /// # Errors
    /// When its file cannot be removed.
    pub fn remove(&self, digest: &Digest) -> Result<Option<PreparedImage>, PrepareError> {
        let _lock = self.lock()?;
        let image: Option<PreparedImage> = read(&self.image_file(digest))?;
        remove(&self.image_file(digest))?;
        self.drop_layers(&image.iter().collect::<Vec<_>>(), SystemTime::now())?;
        Ok(image)
    }

    /// Every artifact that a layer refers to: a sweep must keep them.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn artifacts(&self) -> Result<BTreeSet<Digest>, PrepareError> {
        Ok(self.layers()?.into_iter().map(|layer| layer.squashfs.sha256).collect())
    }

    fn images_directory(&self) -> PathBuf {
        self.state_dir.join("prepared")
    }

    fn layers_directory(&self) -> PathBuf {
        self.state_dir.join(hub::LAYERS)
    }

    fn image_file(&self, digest: &Digest) -> PathBuf {
        self.images_directory().join(format!("{digest}.json"))
    }

    /// The hub's own lock: no sweep runs between an artifact and the file that refers to it.
    fn lock(&self) -> Result<fs::File, PrepareError> {
        hub::lock(&self.state_dir).map_err(|error| cannot("lock", &self.state_dir, &error))
    }

    fn write(&self, path: &Path, content: &impl Serialize) -> Result<(), PrepareError> {
        let written = || {
            let text = serde_json::to_vec_pretty(content)?;
            hub::replace(path, &text)
        };
        written().map_err(|error| cannot("write", path, &error))
    }
}

/// Removes files that have no name of their own yet ([`hub::replace`]).
fn remove_begun(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(hub::BEGUN) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn cannot(what: &str, path: &Path, error: &io::Error) -> PrepareError {
    PrepareError::site(format!("cannot {what} {}: {error}", path.display()))
}

/// `None`: there is no such file, or it is damaged (then it is as good as absent: it is made again).
fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, PrepareError> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(cannot("read", path, &error)),
    };
    match serde_json::from_slice(&text) {
        Ok(content) => Ok(Some(content)),
        Err(error) => {
            log::warn!("{} is damaged and not used: {error}", path.display());
            Ok(None)
        }
    }
}

/// The digests that have a file `DIGEST.json` in a directory.
fn names(directory: &Path) -> Result<Vec<Digest>, PrepareError> {
    let fail = |error| cannot("list", directory, &error);
    let mut names = Vec::new();
    for entry in fs::read_dir(directory).map_err(fail)? {
        let file = entry.map_err(fail)?.file_name();
        let stem = file.to_str().and_then(|file| file.strip_suffix(".json"));
        if let Some(Ok(digest)) = stem.map(str::parse) {
            names.push(digest);
        }
    }
    Ok(names)
}

fn remove(path: &Path) -> Result<(), PrepareError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(cannot("remove", path, &error))
        }
        _ => Ok(()),
    }
}
