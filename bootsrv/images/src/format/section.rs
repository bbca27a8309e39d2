//! A part of a file, read in place: a tar archive in an archive is not copied.

use crate::error::PrepareError;
use crate::layer::Skip;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

/// An open file, and where a working copy of a part of it may be made.
#[derive(Debug)]
pub(super) struct Uploaded {
    pub(super) file: File,
    pub(super) directory: PathBuf,
}

/// Bytes of a file from an offset on.
#[derive(Debug, Clone)]
pub(super) struct Section {
    uploaded: Arc<Uploaded>,
    /// Bytes of the file before it.
    pub(super) offset: u64,
    pub(super) bytes: u64,
}

impl Section {
    pub(super) fn whole(uploaded: Arc<Uploaded>) -> Result<Self, PrepareError> {
        let bytes = uploaded.file.metadata().map_err(cannot_read)?.len();
        Ok(Self { uploaded, offset: 0, bytes })
    }

    /// A file with nothing but this section: the file itself, if it has nothing else, or a copy
    /// without a name.
    pub(super) fn alone(&self) -> Result<File, PrepareError> {
        let whole = Self::whole(self.uploaded.clone())?;
        if self.offset == 0 && self.bytes == whole.bytes {
            return self.uploaded.file.try_clone().map_err(cannot_read);
        }
        let mut copy = tempfile::tempfile_in(&self.uploaded.directory).map_err(cannot_read)?;
        io::copy(&mut self.reader(), &mut copy).map_err(cannot_read)?;
        Ok(copy)
    }

    /// A part of it; `None`: it is not as long.
    pub(super) fn part(&self, offset: u64, bytes: u64) -> Option<Self> {
        let end = offset.checked_add(bytes)?;
        let offset = self.offset.checked_add(offset)?;
        (end <= self.bytes).then(|| Self { uploaded: self.uploaded.clone(), offset, bytes })
    }

    pub(super) fn reader(&self) -> SectionReader {
        SectionReader { section: self.clone(), at: 0 }
    }

    /// All of it, if it is at most so long.
    pub(super) fn read(&self, bytes_max: u64, what: &str) -> Result<Vec<u8>, PrepareError> {
        if self.bytes > bytes_max {
            let bytes = self.bytes;
            return Err(PrepareError::user(format!(
                "the image's {what} has {bytes} bytes; at most {bytes_max} are allowed"
            )));
        }
        let mut content = Vec::new();
        self.reader().read_to_end(&mut content).map_err(cannot_read)?;
        Ok(content)
    }

    /// Its first bytes, fewer if it is shorter.
    pub(super) fn start(&self, bytes: u64) -> Result<Vec<u8>, PrepareError> {
        let mut content = Vec::new();
        self.reader().take(bytes).read_to_end(&mut content).map_err(cannot_read)?;
        Ok(content)
    }
}

fn cannot_read(error: io::Error) -> PrepareError {
    PrepareError::site(format!("cannot read the uploaded image: {error}"))
}

/// Reads a section from its start.
#[derive(Debug)]
pub(super) struct SectionReader {
    section: Section,
    at: u64,
}

impl SectionReader {
    /// Bytes read or skipped so far.
    pub(super) fn position(&self) -> u64 {
        self.at
    }
}

impl Read for SectionReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.section.bytes.saturating_sub(self.at);
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let part = buffer.get_mut(..most).unwrap_or_default();
        let length = self.section.uploaded.file.read_at(part, self.section.offset + self.at)?;
        self.at += u64::try_from(length).unwrap_or(u64::MAX);
        Ok(length)
    }
}

impl Skip for SectionReader {
    fn skip(&mut self, bytes: u64) -> io::Result<u64> {
        let skipped = bytes.min(self.section.bytes.saturating_sub(self.at));
        self.at += skipped;
        Ok(skipped)
    }
}
