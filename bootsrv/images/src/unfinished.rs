//! Blobs on their way: files that survive an interruption, and go when nobody comes back for them.

use crate::turns::{TurnGuard, Turns};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// A blob that nobody went on with for so long is of no use any more.
pub(crate) const AGE_MAX: Duration = Duration::from_secs(7 * 24 * 3600);
/// On a full disk: longer than between two tries.
pub(crate) const AGE_MAX_FULL: Duration = Duration::from_secs(600);

/// The directory; clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Unfinished {
    directory: PathBuf,
    /// By name: a file that is written.
    turns: Turns<String>,
}

impl Unfinished {
    /// Opens or makes it.
    pub(crate) fn open(directory: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&directory)?;
        let unfinished = Self { directory, turns: Turns::default() };
        unfinished.clean(AGE_MAX, SystemTime::now())?;
        Ok(unfinished)
    }

    /// Where a blob is.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Waits for a place in which nobody else writes it.
    pub(crate) async fn take_in<P, F: Future<Output = P>>(
        &self,
        name: &String,
        place: impl Fn() -> F,
    ) -> (P, TurnGuard) {
        self.turns.take_in(name, place).await
    }

    /// The same, without a place and without waiting; none: somebody writes it.
    pub(crate) fn try_take(&self, name: &str) -> Option<TurnGuard> {
        self.turns.try_take(name.to_owned())
    }

    /// Removes one, for who has it.
    pub(crate) fn remove(&self, name: &str, _turn: &TurnGuard) {
        let path = self.path(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                log::warn!("removing the blob {}: {error}", path.display());
            }
            _ => {}
        }
    }

    /// Removes what nobody writes and nobody has written to for so long; gives the bytes.
    pub(crate) fn clean(&self, age_max: Duration, now: SystemTime) -> io::Result<u64> {
        let mut bytes = 0;
        for entry in fs::read_dir(&self.directory)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let Some(_turn) = self.try_take(&name) else { continue };
            match remove_old(&path, age_max, now) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                removed => bytes += removed?,
            }
        }
        Ok(bytes)
    }
}

fn remove_old(path: &Path, age_max: Duration, now: SystemTime) -> io::Result<u64> {
    let file = fs::metadata(path)?;
    if now.duration_since(file.modified()?).unwrap_or_default() <= age_max {
        return Ok(0);
    }
    fs::remove_file(path)?;
    log::info!("removed the unfinished blob {}", path.display());
    Ok(file.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_nobody_came_back_for_goes_and_what_is_written_stays() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("blobs");
        let unfinished = Unfinished::open(path.clone()).unwrap();
        let day = Duration::from_secs(24 * 3600);
        for (name, days) in [("old", 8), ("written", 8), ("new", 6)] {
            let file = fs::File::create(unfinished.path(name)).unwrap();
            file.set_len(100).unwrap();
            file.set_modified(SystemTime::now() - days * day).unwrap();
        }
        let turn = unfinished.try_take("written").unwrap();
        assert_eq!(unfinished.clean(AGE_MAX, SystemTime::now()).unwrap(), 100);
        let left = || fs::read_dir(&path).unwrap().count();
        assert_eq!(left(), 2);
        drop(turn);
        assert_eq!(unfinished.clean(AGE_MAX, SystemTime::now()).unwrap(), 100);
        assert_eq!(unfinished.clean(AGE_MAX_FULL, SystemTime::now()).unwrap(), 100);
        assert_eq!(left(), 0);
    }
}
