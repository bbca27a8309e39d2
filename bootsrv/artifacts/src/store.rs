//! The content-addressed directory: one file per artifact, named by its SHA-256.
//!
//! A name in it stands for a complete file that is on the disk, or it does not exist. It must not
//! know what an artifact is for; [`crate::hub`] knows who refers to it.

use crate::scratch::{self, Scratch};
use protocol::boot::ArtifactRef;
use protocol::names::Digest;
use sha2::{Digest as _, Sha256};
use std::fs::{self, File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Largest artifact, in bytes. Above it an image is a mistake: nodes hold it in memory.
pub const ARTIFACT_BYTES_MAX: u64 = 64 << 30;
/// Most artifacts that are listed.
pub const ARTIFACTS_MAX: usize = 100_000;

const CHUNK_BYTES: usize = 256 << 10;

/// What went wrong in the store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The directory cannot be made, cleaned or listed.
    #[error("artifact directory {path:?}")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The incoming data cannot be read.
    #[error("read an artifact's data")]
    Read(#[source] io::Error),
    /// A file cannot be written, flushed, renamed or removed.
    #[error("write artifact file {path:?}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// More than [`ARTIFACT_BYTES_MAX`] came.
    #[error("artifact is larger than {ARTIFACT_BYTES_MAX} bytes")]
    TooBig,
    /// More than [`ARTIFACTS_MAX`] files are there.
    #[error("more than {ARTIFACTS_MAX} artifacts in {path:?}")]
    TooMany {
        /// The directory.
        path: PathBuf,
    },
}

/// A finished file whose digest is known and whose content is on the disk ([`Store::seal`]).
#[derive(Debug)]
pub struct Sealed {
    path: PathBuf,
    file: File,
    artifact: ArtifactRef,
}

/// The directory of artifacts.
#[derive(Debug, Clone)]
pub struct Store {
    directory: PathBuf,
}

impl Store {
    /// Opens or makes the directory and removes what killed runs left behind.
    ///
    /// # Errors
    /// When the directory cannot be made or cleaned.
    pub fn open(directory: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let directory = directory.into();
        let fail = |source| StoreError::Directory { path: directory.clone(), source };
        fs::create_dir_all(&directory).map_err(fail)?;
        // An NFS server gives it to every node: who knows a file's digest may have it, and nobody else.
        fs::set_permissions(&directory, Permissions::from_mode(0o711)).map_err(fail)?;
        let removed = scratch::clean(&directory).map_err(fail)?;
        if removed > 0 {
            log::warn!("removed {removed} unfinished artifact directories in {directory:?}");
        }
        Ok(Self { directory })
    }

    /// Where an artifact is, or would be.
    #[must_use]
    pub fn path(&self, digest: &Digest) -> PathBuf {
        self.directory.join(digest.to_string())
    }

    /// Whether it is there. If so, it is complete.
    #[must_use]
    pub fn contains(&self, digest: &Digest) -> bool {
        self.path(digest).is_file()
    }

    /// A working directory on the store's own file system, so that [`Self::publish_sealed`] can rename.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn scratch(&self) -> Result<Scratch, StoreError> {
        Scratch::new(&self.directory)
            .map_err(|source| StoreError::Directory { path: self.directory.clone(), source })
    }

    /// Stores what `reader` gives, hashing while it streams; returns digest and length in bytes.
    ///
    /// # Errors
    /// When reading or writing fails or there is too much; the store is then unchanged.
    pub fn add_file(&self, reader: impl Read) -> Result<(Digest, u64), StoreError> {
        let scratch = self.scratch()?;
        let path = scratch.join("artifact");
        let fail = |source| StoreError::Write { path: path.clone(), source };
        let mut file = File::create_new(&path).map_err(fail)?;
        let (digest, bytes) = hash(reader, |chunk| file.write_all(chunk).map_err(fail))?;
        self.publish(&path, &file, &digest)?;
        Ok((digest, bytes))
    }

    /// Hashes a finished file of a [`Self::scratch`] directory, and waits until it is on the disk: the slow
    /// part of storing it, for which no lock is needed.
    ///
    /// # Errors
    /// When it cannot be read or flushed, or is too large.
    pub fn seal(path: &Path) -> Result<Sealed, StoreError> {
        let fail = |source| StoreError::Write { path: path.to_owned(), source };
        let file = File::open(path).map_err(fail)?;
        let (sha256, bytes) = hash(&file, |_| Ok(()))?;
        file.sync_all().map_err(fail)?;
        Ok(Sealed { path: path.to_owned(), file, artifact: ArtifactRef { sha256, bytes } })
    }

    /// Stores it by renaming it: the quick part.
    ///
    /// # Errors
    /// When the file cannot be renamed; it stays where it was.
    pub fn publish_sealed(&self, sealed: Sealed) -> Result<ArtifactRef, StoreError> {
        self.publish(&sealed.path, &sealed.file, &sealed.artifact.sha256)?;
        Ok(sealed.artifact)
    }

    /// On the disk first, then under its name; the name is on the disk when this returns.
    fn publish(&self, path: &Path, file: &File, digest: &Digest) -> Result<(), StoreError> {
        let target = self.path(digest);
        let publish = || {
            file.set_permissions(Permissions::from_mode(0o644))?;
            file.sync_all()?;
            fs::rename(path, &target)?;
            File::open(&self.directory)?.sync_all()
        };
        publish().map_err(|source| StoreError::Write { path: target.clone(), source })
    }

    /// Removes an artifact; `false`: it was not there.
    ///
    /// # Errors
    /// When it is there and cannot be removed.
    pub fn remove(&self, digest: &Digest) -> Result<bool, StoreError> {
        let path = self.path(digest);
        match fs::remove_file(&path) {
            Ok(()) => Ok(true),
            Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(source) => Err(StoreError::Write { path, source }),
        }
    }

    /// All artifacts, in no order; names that are no digests are not ours and left out.
    ///
    /// # Errors
    /// When the directory cannot be read or holds too many.
    pub fn list(&self) -> Result<Vec<ArtifactRef>, StoreError> {
        let fail = |source| StoreError::Directory { path: self.directory.clone(), source };
        let mut list = Vec::new();
        for entry in fs::read_dir(&self.directory).map_err(fail)? {
            let entry = entry.map_err(fail)?;
            let Some(Ok(sha256)) = entry.file_name().to_str().map(str::parse::<Digest>) else {
                continue;
            };
            if list.len() >= ARTIFACTS_MAX {
                return Err(StoreError::TooMany { path: self.directory.clone() });
            }
            list.push(ArtifactRef { sha256, bytes: entry.metadata().map_err(fail)?.len() });
        }
        Ok(list)
    }
}

/// SHA-256 and length of what `reader` gives; each chunk also goes to `sink`.
fn hash(
    mut reader: impl Read,
    mut sink: impl FnMut(&[u8]) -> Result<(), StoreError>,
) -> Result<(Digest, u64), StoreError> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut bytes = 0_u64;
    loop {
        let length = match reader.read(&mut buffer) {
            Ok(0) => return Ok((Digest(hasher.finalize().into()), bytes)),
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(StoreError::Read(error)),
        };
        let chunk = buffer.get(..length).unwrap_or_default();
        bytes += u64::try_from(length).unwrap_or(u64::MAX);
        if bytes > ARTIFACT_BYTES_MAX {
            return Err(StoreError::TooBig);
        }
        hasher.update(chunk);
        sink(chunk)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn names(path: &Path) -> Vec<String> {
        let entry = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name();
        fs::read_dir(path).unwrap().map(|e| entry(e).into_string().unwrap()).collect()
    }

    #[test]
    fn an_artifact_has_its_digest_as_name_and_can_be_read_by_all() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        let (digest, bytes) = store.add_file(&b"abc"[..]).unwrap();
        assert_eq!((digest.to_string().as_str(), bytes), (ABC, 3));
        assert_eq!(store.add_file(&b"abc"[..]).unwrap().0, digest, "twice is fine");
        assert_eq!(fs::read(store.path(&digest)).unwrap(), b"abc");
        let mode = fs::metadata(store.path(&digest)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o644);
        let mode = fs::metadata(directory.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o711, "nobody else learns a digest by listing");
        assert_eq!(store.list().unwrap(), [ArtifactRef { sha256: digest, bytes: 3 }]);
        assert_eq!(names(directory.path()), [ABC], "nothing is left beside it");
        assert!(store.remove(&digest).unwrap());
        assert!(!store.remove(&digest).unwrap());
    }

    #[test]
    fn a_broken_source_leaves_nothing() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("cable pulled"))
            }
        }
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        assert!(store.add_file(b"abc".chain(Broken)).is_err());
        assert!(names(directory.path()).is_empty());
    }

    /// Not a test by itself: the child of the next one, which kills it in the middle of its work.
    #[test]
    fn killed_writer() {
        let Some(directory) = std::env::var_os("ARTIFACTS_KILLED_WRITER") else { return };
        let store = Store::open(directory).unwrap();
        store.add_file(b"abc".chain(io::repeat(7))).unwrap();
    }

    #[test]
    fn a_writer_killed_in_the_middle_leaves_nothing_after_the_next_open() {
        let directory = tempfile::tempdir().unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["store::tests::killed_writer", "--exact"])
            .env("ARTIFACTS_KILLED_WRITER", directory.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let half = || {
            let scratch = names(directory.path()).pop()?;
            let file = directory.path().join(scratch).join("artifact");
            fs::metadata(file).ok().filter(|file| file.len() > 1 << 20)
        };
        while half().is_none() {
            assert!(child.try_wait().unwrap().is_none(), "the writer ended by itself");
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        let living = Store::open(directory.path()).unwrap();
        assert!(half().is_some(), "a living writer keeps its file");
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(living.list().unwrap().is_empty(), "no artifact under any name");
        Store::open(directory.path()).unwrap();
        assert!(names(directory.path()).is_empty(), "the next open cleans up");
    }
}
