//! The newest part of a captured console in a file of ours. Consoles may show secrets, so only its
//! owner may read it.

use super::log_file::TAIL_BYTES;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Read, Result, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Longest file, in bytes: then only its newest half is kept.
const BYTES_MAX: u64 = 2 * TAIL_BYTES;

/// The file, open for more.
#[derive(Debug)]
pub(super) struct Kept {
    path: PathBuf,
    file: File,
}

impl Kept {
    /// Opens the file, or makes it and its directory.
    pub(super) fn open(path: &Path) -> Result<Self> {
        if let Some(directory) = path.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        }
        let file = private().read(true).append(true).create(true).open(path)?;
        Ok(Self { path: path.into(), file })
    }

    /// Forgets what is in it. Whoever adds to it goes on.
    pub(super) fn clear(&self) -> Result<()> {
        self.file.set_len(0)
    }

    /// Adds what came.
    pub(super) fn add(&mut self, bytes: &[u8]) -> Result<()> {
        let more = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let length = self.file.metadata()?.len();
        if length.saturating_add(more) > BYTES_MAX {
            self.halve(length)?;
        }
        self.file.write_all(bytes)
    }

    /// Begins another file with the newest half of this one. Readers see the one or the other.
    fn halve(&mut self, length: u64) -> Result<()> {
        let mut newest = Vec::new();
        // Not by its path: somebody may have removed it.
        self.file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
        (&self.file).take(TAIL_BYTES).read_to_end(&mut newest)?;
        let fresh = self.path.with_extension("new");
        let mut file = private().write(true).create(true).truncate(true).open(&fresh)?;
        file.write_all(&newest)?;
        std::fs::rename(&fresh, &self.path)?;
        *self = Self::open(&self.path)?;
        Ok(())
    }
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(0o600);
    options
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn it_is_private_and_bounded_and_has_the_newest() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("consoles/n1.log");
        let mut kept = Kept::open(&path).unwrap();
        let mut all = Vec::new();
        for number in 0..4_000u32 {
            let line = format!("line {number} of a console that never ends, packet by packet\n");
            kept.add(line.as_bytes()).unwrap();
            all.extend_from_slice(line.as_bytes());
            assert!(std::fs::metadata(&path).unwrap().len() <= BYTES_MAX);
        }
        let read = std::fs::read(&path).unwrap();
        assert!(read.len() >= 64 * 1024 && all.ends_with(&read));
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        let mut again = Kept::open(&path).unwrap();
        again.add(b"after a restart").unwrap();
        assert!(std::fs::read(&path).unwrap().ends_with(b"after a restart"));
        again.clear().unwrap();
        kept.add(b"x").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"x");
    }
}
