//! Working directories that vanish, even when the process is killed.
//!
//! Each is a directory `.scratch-*` that its owner holds locked. The kernel gives the lock back
//! when the owner ends, however it ends, so whoever opens the place later can tell what is stale
//! from what another process is still using.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

const PREFIX: &str = ".scratch-";

/// Tries to make a directory before giving up; each failure means that another process cleaned up
/// in the instant between making and locking.
const TRIES_MAX: u32 = 16;

/// A private directory, removed when dropped or by the next [`clean`] after its owner was killed.
#[derive(Debug)]
pub struct Scratch {
    directory: tempfile::TempDir,
    /// Held, never read: the lock lives as long as this descriptor.
    _lock: File,
}

impl Scratch {
    /// Makes one in `parent`, mode 0700.
    ///
    /// # Errors
    /// When the directory cannot be made or locked.
    pub fn new(parent: &Path) -> io::Result<Self> {
        for _ in 0..TRIES_MAX {
            let directory = tempfile::Builder::new().prefix(PREFIX).tempdir_in(parent)?;
            let lock = File::open(directory.path())?;
            if lock.try_lock().is_ok() && is_still_at(&lock, directory.path()) {
                return Ok(Self { directory, _lock: lock });
            }
        }
        Err(io::Error::new(io::ErrorKind::ResourceBusy, "another process keeps removing it"))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// A path in it.
    #[must_use]
    pub fn join(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }
}

fn is_still_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(held), Ok(found)) => held.dev() == found.dev() && held.ino() == found.ino(),
        _ => false,
    }
}

/// Removes the working directories in `parent` whose owners are gone; returns how many.
///
/// # Errors
/// When `parent` cannot be read or a stale directory cannot be removed.
pub fn clean(parent: &Path) -> io::Result<usize> {
    let mut removed = 0;
    for entry in fs::read_dir(parent)? {
        let entry = entry?;
        if !entry.file_name().to_string_lossy().starts_with(PREFIX) {
            continue;
        }
        let Ok(lock) = File::open(entry.path()) else { continue };
        match lock.try_lock() {
            Ok(()) => match fs::remove_dir_all(entry.path()) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => return Err(source),
                _ => removed += 1,
            },
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(source)) => return Err(source),
        }
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_living_owner_keeps_its_directory_and_a_dead_one_does_not() {
        let parent = tempfile::tempdir().unwrap();
        let living = Scratch::new(parent.path()).unwrap();
        let stale = parent.path().join(".scratch-stale");
        fs::create_dir_all(stale.join("deep")).unwrap();
        fs::write(parent.path().join("other"), "x").unwrap();
        assert_eq!(clean(parent.path()).unwrap(), 1);
        assert!(living.path().exists() && !stale.exists());
        let path = living.path().to_owned();
        drop(living);
        assert!(!path.exists() && parent.path().join("other").exists());
    }
}
