//! What archives from outside may not do: leave their place, or be larger than stated limits.
//!
//! It must not know what is inside; packages and images bring their own rules on top.

use std::io::{self, Read, Write};
use std::path::{Component, Path};

/// Longest path in an archive, in bytes (Linux's `PATH_MAX`).
const PATH_BYTES_MAX: usize = 4096;

/// Why an archive is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// It cannot be read, or is no archive of the expected kind.
    #[error("read the archive")]
    Read(#[from] io::Error),
    /// An entry would land outside of the root.
    #[error("archive entry {path:?} has a path that is absolute, contains '..' or is no UTF-8")]
    Escape {
        /// The path, as far as it can be shown.
        path: String,
    },
    /// There are too many entries.
    #[error("archive has more than {max} entries")]
    TooManyEntries {
        /// The limit.
        max: usize,
    },
}

/// The error inside an [`io::Error`] for data beyond a limit.
#[derive(Debug, thiserror::Error)]
#[error("more than {max} bytes")]
struct TooMuch {
    max: u64,
}

/// The parts of an entry's path; `./` and a trailing slash are dropped, so the root has none.
pub(crate) fn parts(path: &[u8]) -> Result<Vec<&str>, ArchiveError> {
    let escape = || ArchiveError::Escape {
        path: String::from_utf8_lossy(path.get(..path.len().min(200)).unwrap_or_default()).into(),
    };
    let text = std::str::from_utf8(path).map_err(|_| escape())?;
    if text.len() > PATH_BYTES_MAX || text.contains('\0') {
        return Err(escape());
    }
    let mut parts = Vec::new();
    for component in Path::new(text).components() {
        match component {
            Component::CurDir => {}
            Component::Normal(part) => parts.push(part.to_str().ok_or_else(escape)?),
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => {
                return Err(escape());
            }
        }
    }
    Ok(parts)
}

/// Passes at most `left` bytes on and fails on the first one beyond.
#[derive(Debug)]
pub(crate) struct Limited<R> {
    reader: R,
    left: u64,
    max: u64,
}

impl<R: Read> Limited<R> {
    pub(crate) fn new(reader: R, max: u64) -> Self {
        Self { reader, left: max, max }
    }
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.reader.read(buffer)?;
        match self.left.checked_sub(u64::try_from(length).unwrap_or(u64::MAX)) {
            Some(left) => self.left = left,
            None => return Err(io::Error::other(TooMuch { max: self.max })),
        }
        Ok(length)
    }
}

/// Copies everything it reads to a second place, so that an archive can be looked at on its way.
#[derive(Debug)]
pub(crate) struct Tee<R, W> {
    pub(crate) reader: R,
    pub(crate) writer: W,
    /// The second place took no more; what was read is still good.
    pub(crate) writer_failed: bool,
}

impl<R: Read, W: Write> Read for Tee<R, W> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.reader.read(buffer)?;
        if let Err(error) = self.writer.write_all(buffer.get(..length).unwrap_or_default()) {
            self.writer_failed = true;
            return Err(error);
        }
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_inside() {
        assert_eq!(parts(b"./usr/lib/").unwrap(), ["usr", "lib"]);
        assert!(parts(b"./").unwrap().is_empty());
        let long = "x/".repeat(3000);
        for bad in [&b"/etc/passwd"[..], b"../x", b"a/../../x", b"a/..", b"\xff", long.as_bytes()] {
            assert!(parts(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_limit_is_an_error_and_not_an_end() {
        let mut out = Vec::new();
        Limited::new(&b"12345"[..], 5).read_to_end(&mut out).unwrap();
        let error = Limited::new(&b"123456"[..], 5).read_to_end(&mut out).unwrap_err();
        assert_eq!(error.to_string(), "more than 5 bytes");
    }
}
