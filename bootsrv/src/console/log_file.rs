//! A console's log file, which is written to over many boots, and rotated by whoever does that.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{Error, ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// How much of the log's end is looked at, in bytes.
pub(super) const TAIL_BYTES: u64 = 64 * 1024;

/// Where a boot's part of a console log begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begin {
    /// The log.
    pub path: PathBuf,
    /// The inode that it was; `None`: there was none. Not its device: that of a file server's changes with
    /// each mount.
    pub file: Option<String>,
    /// Its length in bytes.
    pub length: u64,
}

impl Begin {
    /// The log's end: where a boot begins that begins now.
    ///
    /// # Errors
    /// When it cannot be known. A log that is not there yet is empty.
    pub(super) fn at_end(path: &Path) -> std::io::Result<Self> {
        let (file, length) = match std::fs::metadata(path) {
            Ok(now) => (Some(name(&now)), now.len()),
            Err(error) if error.kind() == ErrorKind::NotFound => (None, 0),
            Err(error) => return Err(error),
        };
        Ok(Self { path: path.into(), file, length })
    }

    /// Where the boot's part begins in the file that is there now. One that was rotated or truncated
    /// since has nothing older.
    fn offset(&self, file: &str, length: u64) -> u64 {
        let same = self.file.as_deref() == Some(file) && length >= self.length;
        if same { self.length } else { 0 }
    }
}

/// The last [`TAIL_BYTES`] of a log, or of what was written to it since `begin`. Escape sequences and
/// all: for [`super::lines::plain`].
///
/// # Errors
/// When the file cannot be read, or is none.
pub(super) fn tail(path: &Path, begin: Option<&Begin>) -> std::io::Result<Vec<u8>> {
    // A pipe with nobody at its other end must not hold us up.
    let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let mut file: File = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let now = file.metadata()?;
    if !now.is_file() {
        return Err(Error::new(ErrorKind::InvalidInput, "it is not a file"));
    }
    let own = begin.map_or(0, |begin| begin.offset(&name(&now), now.len()));
    file.seek(SeekFrom::Start(own.max(now.len().saturating_sub(TAIL_BYTES))))?;
    let mut bytes = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn name(metadata: &Metadata) -> String {
    metadata.ino().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    struct Log {
        _directory: tempfile::TempDir,
        path: PathBuf,
    }

    impl Log {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("n1.log");
            Self { _directory: directory, path }
        }

        fn add(&self, text: &str) {
            let mut file = OpenOptions::new().create(true).append(true).open(&self.path).unwrap();
            file.write_all(text.as_bytes()).unwrap();
        }

        fn since(&self, begin: &Begin) -> String {
            String::from_utf8(tail(&self.path, Some(begin)).unwrap()).unwrap()
        }
    }

    #[test]
    fn only_what_came_since_the_boot_began_is_its_own() {
        let log = Log::new();
        let empty = Begin::at_end(&log.path).unwrap();
        assert_eq!((&empty.file, empty.length), (&None, 0));
        log.add("Kernel panic of long ago\n");
        let begin = Begin::at_end(&log.path).unwrap();
        assert_eq!(log.since(&begin), "");
        log.add("hello\n");
        assert_eq!(log.since(&begin), "hello\n");
        assert_eq!(log.since(&empty), "Kernel panic of long ago\nhello\n");
        log.add(&"x".repeat(100_000));
        assert_eq!(log.since(&begin).len(), 64 * 1024);
        assert_eq!(tail(&log.path, None).unwrap().len(), 64 * 1024);
    }

    #[test]
    fn a_file_that_was_rotated_or_truncated_is_read_from_its_start() {
        let log = Log::new();
        log.add("Kernel panic of long ago\n");
        let begin = Begin::at_end(&log.path).unwrap();
        std::fs::write(&log.path, "new\n").unwrap();
        assert_eq!(log.since(&begin), "new\n", "truncated");
        std::fs::rename(&log.path, log.path.with_extension("1")).unwrap();
        assert!(tail(&log.path, Some(&begin)).is_err(), "rotated away");
        log.add("rotated, and longer than what was there when the boot began\n");
        assert!(log.since(&begin).starts_with("rotated"), "rotated");
    }

    #[test]
    fn what_is_no_file_is_refused_at_once() {
        let log = Log::new();
        let (kind, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU);
        rustix::fs::mknodat(rustix::fs::CWD, &log.path, kind, mode, 0).unwrap();
        assert!(tail(&log.path, None).unwrap_err().to_string().contains("not a file"));
        assert!(tail("/dev/zero".as_ref(), None).is_err());
    }
}
