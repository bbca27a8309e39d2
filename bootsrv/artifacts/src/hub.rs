//! The site's kernels and images: one small JSON file each, beside the artifacts they refer to.
//!
//! Names change as a whole: a file is replaced by renaming. An artifact is deleted only when no
//! name refers to it and the caller does not use it (a node may still boot what has been replaced).

use crate::image::Image;
use crate::kernel::Kernel;
use crate::store::{Sealed, Store, StoreError};
use protocol::boot::ArtifactRef;
use protocol::names::{Digest, ImageName, KernelName};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Most kernels, and most images.
pub const ENTRIES_MAX: usize = 10_000;

/// Directory below the state directory with a file for each layer of a container image (crate
/// `images`). Only that they refer to an artifact `squashfs` is known here.
pub const LAYERS: &str = "layers";

/// What went wrong in the hub.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HubError {
    /// The artifacts' directory failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A hub file or directory cannot be read or written.
    #[error("hub file {path:?}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A hub file holds something else.
    #[error("hub file {path:?} is damaged")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// More than [`ENTRIES_MAX`] names.
    #[error("more than {ENTRIES_MAX} entries in {path:?}")]
    TooMany {
        /// The directory.
        path: PathBuf,
    },
}

/// Something with a name that refers to artifacts.
pub(crate) trait Entry: Serialize + DeserializeOwned {
    const DIRECTORY: &str;
    fn name(&self) -> &str;
    fn artifacts(&self) -> Vec<ArtifactRef>;
}

impl Entry for Kernel {
    const DIRECTORY: &str = "kernels";
    fn name(&self) -> &str {
        self.name.as_str()
    }
    fn artifacts(&self) -> Vec<ArtifactRef> {
        vec![self.vmlinuz.clone(), self.initrd.clone(), self.modules.clone()]
    }
}

impl Entry for Image {
    const DIRECTORY: &str = "images";
    fn name(&self) -> &str {
        self.name.as_str()
    }
    fn artifacts(&self) -> Vec<ArtifactRef> {
        self.layers.clone()
    }
}

/// All kernels and images of a site.
#[derive(Debug, Clone)]
pub struct Hub {
    state_dir: PathBuf,
    store: Store,
}

impl Hub {
    /// Opens or makes `artifacts`, `kernels` and `images` below `state_dir`.
    ///
    /// # Errors
    /// When a directory cannot be made or cleaned.
    pub fn open(state_dir: impl Into<PathBuf>) -> Result<Self, HubError> {
        let state_dir = state_dir.into();
        for directory in [Kernel::DIRECTORY, Image::DIRECTORY] {
            let path = state_dir.join(directory);
            fs::create_dir_all(&path).map_err(|source| HubError::File { path, source })?;
        }
        let store = Store::open(state_dir.join("artifacts"))?;
        Ok(Self { state_dir, store })
    }

    /// The artifacts themselves.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// All kernels by name.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn kernels(&self) -> Result<Vec<Kernel>, HubError> {
        self.list()
    }

    /// One kernel; `None`: there is none of that name.
    ///
    /// # Errors
    /// When its file cannot be read.
    pub fn kernel(&self, name: &KernelName) -> Result<Option<Kernel>, HubError> {
        self.show(name.as_str())
    }

    /// Removes a kernel and those of its artifacts that no name and nothing in `in_use` refers to.
    /// `None`: there was none.
    ///
    /// # Errors
    /// When its file or an artifact cannot be removed.
    pub fn remove_kernel(
        &self,
        name: &KernelName,
        in_use: &BTreeSet<Digest>,
    ) -> Result<Option<Kernel>, HubError> {
        self.remove(name.as_str(), in_use)
    }

    /// All images by name.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn images(&self) -> Result<Vec<Image>, HubError> {
        self.list()
    }

    /// One image; `None`: there is none of that name.
    ///
    /// # Errors
    /// When its file cannot be read.
    pub fn image(&self, name: &ImageName) -> Result<Option<Image>, HubError> {
        self.show(name.as_str())
    }

    /// Makes or replaces a name for layers that are artifacts already.
    ///
    /// # Errors
    /// When a layer is not there, or the file cannot be written.
    pub fn put_image(&self, image: &Image) -> Result<(), HubError> {
        let change = self.change()?;
        for layer in &image.layers {
            let path = self.store.path(&layer.sha256);
            fs::metadata(&path).map_err(|source| HubError::File { path, source })?;
        }
        change.put(image)
    }

    /// Removes an image; see [`Self::remove_kernel`].
    ///
    /// # Errors
    /// When its file or its artifact cannot be removed.
    pub fn remove_image(
        &self,
        name: &ImageName,
        in_use: &BTreeSet<Digest>,
    ) -> Result<Option<Image>, HubError> {
        self.remove(name.as_str(), in_use)
    }

    /// Deletes every artifact that no name and nothing in `in_use` refers to, e.g. what an import
    /// replaced; returns their number and bytes. Safe beside running imports.
    ///
    /// # Errors
    /// When the hub cannot be read or an artifact cannot be removed.
    pub fn sweep(&self, in_use: &BTreeSet<Digest>) -> Result<(usize, u64), HubError> {
        let _lock = self.lock()?;
        let candidates = self.store.list()?;
        self.delete_unused(candidates, in_use)
    }

    /// Begins to take finished files in, and then the name that refers to them. Until the change
    /// is dropped no sweep runs, which would see the artifacts before the name.
    pub(crate) fn change(&self) -> Result<Change<'_>, HubError> {
        Ok(Change { hub: self, _lock: self.lock()? })
    }

    fn list<E: Entry>(&self) -> Result<Vec<E>, HubError> {
        let directory = self.state_dir.join(E::DIRECTORY);
        let fail = |source| HubError::File { path: directory.clone(), source };
        let mut names = BTreeSet::new();
        for entry in fs::read_dir(&directory).map_err(fail)? {
            let file = entry.map_err(fail)?.file_name();
            if let Some(name) = file.to_str().and_then(|file| file.strip_suffix(".json"))
                && !name.starts_with('.')
            {
                names.insert(name.to_owned());
            }
            if names.len() > ENTRIES_MAX {
                return Err(HubError::TooMany { path: directory });
            }
        }
        names.iter().filter_map(|name| self.show(name).transpose()).collect()
    }

    fn show<E: Entry>(&self, name: &str) -> Result<Option<E>, HubError> {
        let path = self.file::<E>(name);
        match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text)
                .map(Some)
                .map_err(|source| HubError::Damaged { path, source }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(HubError::File { path, source }),
        }
    }

    fn remove<E: Entry>(
        &self,
        name: &str,
        in_use: &BTreeSet<Digest>,
    ) -> Result<Option<E>, HubError> {
        let _lock = self.lock()?;
        let Some(entry) = self.show::<E>(name)? else { return Ok(None) };
        let path = self.file::<E>(name);
        fs::remove_file(&path).map_err(|source| HubError::File { path, source })?;
        self.delete_unused(entry.artifacts(), in_use)?;
        Ok(Some(entry))
    }

    fn delete_unused(
        &self,
        candidates: Vec<ArtifactRef>,
        in_use: &BTreeSet<Digest>,
    ) -> Result<(usize, u64), HubError> {
        let kernels = self.list::<Kernel>()?.into_iter().flat_map(|kernel| kernel.artifacts());
        let images = self.list::<Image>()?.into_iter().flat_map(|image| image.artifacts());
        let layers = layers(&self.state_dir.join(LAYERS))?.into_iter();
        let named: BTreeSet<Digest> =
            kernels.chain(images).chain(layers).map(|artifact| artifact.sha256).collect();
        let (mut count, mut bytes) = (0, 0);
        for artifact in candidates {
            let wanted = named.contains(&artifact.sha256) || in_use.contains(&artifact.sha256);
            if !wanted && self.store.remove(&artifact.sha256)? {
                count += 1;
                bytes += artifact.bytes;
            }
        }
        Ok((count, bytes))
    }

    fn file<E: Entry>(&self, name: &str) -> PathBuf {
        self.state_dir.join(E::DIRECTORY).join(format!("{name}.json"))
    }

    /// Changes of names and deletions come one after the other, across processes.
    fn lock(&self) -> Result<File, HubError> {
        let fail = |source| HubError::File { path: self.state_dir.join(LOCK), source };
        lock(&self.state_dir).map_err(fail)
    }
}

/// A change of the hub on its way.
#[derive(Debug)]
pub(crate) struct Change<'a> {
    hub: &'a Hub,
    /// Held, never read.
    _lock: File,
}

impl Change<'_> {
    /// Takes a finished file of a scratch directory in.
    pub(crate) fn publish(&self, sealed: Sealed) -> Result<ArtifactRef, HubError> {
        Ok(self.hub.store.publish_sealed(sealed)?)
    }

    /// Makes or replaces an entry.
    pub(crate) fn put<E: Entry>(&self, entry: &E) -> Result<(), HubError> {
        let path = self.hub.file::<E>(entry.name());
        let text = serde_json::to_vec_pretty(entry)
            .map_err(|source| HubError::Damaged { path: path.clone(), source })?;
        replace(&path, &text).map_err(|source| HubError::File { path, source })
    }
}

const LOCK: &str = "artifacts.lock";

/// Waits for the lock that changes and sweeps of one state directory hold.
///
/// # Errors
/// When the lock file cannot be made.
pub fn lock(state_dir: &Path) -> io::Result<File> {
    let file = File::options().create(true).append(true).open(state_dir.join(LOCK))?;
    file.lock()?;
    Ok(file)
}

/// A file of [`LAYERS`], as far as it is known here.
#[derive(serde::Deserialize)]
struct Layer {
    squashfs: ArtifactRef,
}

fn layers(directory: &Path) -> Result<Vec<ArtifactRef>, HubError> {
    let fail = |source| HubError::File { path: directory.to_owned(), source };
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(fail(error)),
    };
    let mut layers = Vec::new();
    for entry in entries {
        let path = entry.map_err(fail)?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            let text = fs::read(&path).map_err(fail)?;
            // A damaged file refers to nothing: its layer is made again.
            layers.extend(serde_json::from_slice(&text).ok().map(|layer: Layer| layer.squashfs));
        }
    }
    Ok(layers)
}

/// How the names of files begin that are written and have no name of their own yet.
pub const BEGUN: &str = ".new-";

/// Writes a file as a whole: the new content is on the disk before it has the name.
///
/// # Errors
/// When it cannot be written.
pub fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let parent = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let mut file = tempfile::Builder::new().prefix(BEGUN).tempfile_in(parent)?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    File::open(parent)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(hub: &Hub, name: &str, content: &str) -> Image {
        let scratch = hub.store().scratch().unwrap();
        let file = scratch.join("squashfs");
        fs::write(&file, content).unwrap();
        let change = hub.change().unwrap();
        let squashfs = change.publish(Store::seal(&file).unwrap()).unwrap();
        let image = Image::node(name.parse().unwrap(), squashfs, vec!["/sbin/init".into()]);
        change.put(&image).unwrap();
        image
    }

    #[test]
    fn an_artifact_lives_as_long_as_a_name_or_a_node_needs_it() {
        let directory = tempfile::tempdir().unwrap();
        let hub = Hub::open(directory.path()).unwrap();
        let one = image(&hub, "one", "same");
        let two = image(&hub, "two", "same");
        let three = image(&hub, "three", "other");
        assert_eq!(one.layers, two.layers);
        assert_eq!(hub.images().unwrap().len(), 3);
        assert_eq!(hub.image(&one.name).unwrap().unwrap(), one);

        let none = BTreeSet::new();
        let exists = |image: &Image| hub.store().contains(&image.layers[0].sha256);
        assert_eq!(hub.remove_image(&one.name, &none).unwrap().unwrap(), one);
        assert!(exists(&two), "the other name still refers to it");
        assert!(hub.remove_image(&one.name, &none).unwrap().is_none());
        hub.remove_image(&two.name, &none).unwrap();
        assert!(!exists(&two));

        let booting = BTreeSet::from([three.layers[0].sha256]);
        hub.remove_image(&three.name, &booting).unwrap();
        assert!(exists(&three), "a node boots it");
        assert_eq!(hub.sweep(&booting).unwrap(), (0, 0));
        assert_eq!(hub.sweep(&none).unwrap(), (1, 5));
    }

    #[test]
    fn a_name_is_given_only_to_layers_that_are_there() {
        let directory = tempfile::tempdir().unwrap();
        let hub = Hub::open(directory.path()).unwrap();
        let mut stack = image(&hub, "one", "a");
        stack.name = "two".parse().unwrap();
        stack.layers.push(image(&hub, "other", "b").layers[0].clone());
        hub.put_image(&stack).unwrap();
        assert_eq!(hub.image(&stack.name).unwrap().unwrap(), stack);
        stack.layers[1].sha256 = Digest([7; 32]);
        assert!(hub.put_image(&stack).is_err());
    }

    #[test]
    fn a_file_from_before_layers_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let hub = Hub::open(directory.path()).unwrap();
        let sha256 = Digest([1; 32]);
        let old = format!(
            r#"{{"name":"old","squashfs":{{"sha256":"{sha256}","bytes":5}},"init":["/i"],"mounts":[]}}"#
        );
        fs::write(directory.path().join("images/old.json"), old).unwrap();
        let read = hub.images().unwrap().pop().unwrap();
        assert_eq!(read.layers, [ArtifactRef { sha256, bytes: 5 }]);
        assert_eq!(read.kind, protocol::api::ImageKind::Node);
    }

    #[test]
    fn a_damaged_file_is_told_by_its_path() {
        let directory = tempfile::tempdir().unwrap();
        let hub = Hub::open(directory.path()).unwrap();
        fs::write(directory.path().join("kernels/bad.json"), "{").unwrap();
        let error = hub.kernels().unwrap_err().to_string();
        assert!(error.contains("bad.json"), "{error}");
    }
}
