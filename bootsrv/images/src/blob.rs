//! A layer's packed bytes in a file that grows: one thread writes what is fetched, another one
//! already reads it.
//!
//! The file is named by its digest ([`file_name`]) and survives an interruption; the reader sees its end only when
//! the whole of it has the digest.

use crate::error::PrepareError;
use protocol::names::Digest;
use sha2::{Digest as _, Sha256};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

const CHUNK_BYTES: usize = 256 << 10;

/// How far writer and reader are.
#[derive(Debug, Default)]
struct Growth {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Clone, Copy, Default)]
struct State {
    /// In the file.
    bytes: u64,
    end: End,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum End {
    #[default]
    Open,
    /// The bytes are all there and have the digest.
    Verified,
    /// There will be no more.
    Broken,
}

impl Growth {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn update(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }
}

/// Why a blob is not complete.
#[derive(Debug)]
pub(crate) enum BlobError {
    /// The file cannot be written or read.
    File(PathBuf, io::Error),
    /// The disk is full.
    Full(PrepareError),
    /// The whole of it has another digest; the file is removed.
    Digest {
        /// A part of it was there before this try.
        resumed: bool,
    },
}

/// The file of a blob on its way. Registry and size count as well: what one registry lies about, or one
/// manifest, is in nobody else's way.
pub(crate) fn file_name(registry: &str, digest: &Digest, size: u64) -> String {
    let registry = Digest(Sha256::digest(registry).into()).to_string();
    format!("{digest}-{size}-{}", registry.get(..16).unwrap_or_default())
}

/// Writes a blob to the end.
#[derive(Debug)]
pub(crate) struct BlobWriter {
    path: PathBuf,
    file: File,
    digest: Digest,
    hasher: Sha256,
    bytes: u64,
    resumed: u64,
    growth: Arc<Growth>,
}

impl BlobWriter {
    /// Goes on where an earlier try stopped; reads (and hashes) what that one left. `size` is the
    /// blob's.
    pub(crate) fn open(path: PathBuf, digest: &Digest, size: u64) -> Result<Self, BlobError> {
        let open = || {
            let mut file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(&path)?;
            if file.metadata()?.len() > size {
                file.set_len(0)?;
            }
            let mut hasher = Sha256::new();
            let bytes = copy(&mut file, |chunk| hasher.update(chunk))?;
            Ok((file, hasher, bytes))
        };
        let (file, hasher, bytes) = open().map_err(|error| BlobError::File(path.clone(), error))?;
        let growth = Arc::new(Growth::default());
        growth.update(|state| state.bytes = bytes);
        Ok(Self { path, file, digest: *digest, hasher, bytes, resumed: bytes, growth })
    }

    /// Bytes in the file.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// A reader from the start.
    pub(crate) fn reader(&self) -> Result<BlobReader, BlobError> {
        let file =
            File::open(&self.path).map_err(|error| BlobError::File(self.path.clone(), error))?;
        Ok(BlobReader { file, bytes: 0, growth: self.growth.clone() })
    }

    /// Lets go of the readers, wherever they wait.
    pub(crate) fn stop(&self) -> Stop {
        Stop(self.growth.clone())
    }

    pub(crate) fn write(&mut self, chunk: &[u8]) -> Result<(), BlobError> {
        self.file.write_all(chunk).map_err(|error| BlobError::File(self.path.clone(), error))?;
        self.hasher.update(chunk);
        self.bytes += u64::try_from(chunk.len()).unwrap_or(u64::MAX);
        let bytes = self.bytes;
        self.growth.update(|state| state.bytes = bytes);
        Ok(())
    }

    /// Everything is written: only now readers see an end.
    pub(crate) fn finish(mut self) -> Result<(), BlobError> {
        let hasher = std::mem::take(&mut self.hasher);
        if Digest(hasher.finalize().into()) == self.digest {
            self.growth.update(|state| state.end = End::Verified);
            return Ok(());
        }
        std::fs::remove_file(&self.path)
            .map_err(|error| BlobError::File(self.path.clone(), error))?;
        Err(BlobError::Digest { resumed: self.resumed > 0 })
    }
}

impl Drop for BlobWriter {
    fn drop(&mut self) {
        self.growth.update(|state| {
            if state.end == End::Open {
                state.end = End::Broken;
            }
        });
    }
}

/// Ends the readers when it is dropped: nobody waits for their work any more.
#[derive(Debug)]
pub(crate) struct Stop(Arc<Growth>);

impl Stop {
    /// There will be no more bytes: readers fail for the writer's reason.
    pub(crate) fn is_broken(&self) -> bool {
        self.0.lock().end == End::Broken
    }
}

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.update(|state| state.end = End::Broken);
    }
}

/// Reads a blob while it grows; an error where it breaks off.
#[derive(Debug)]
pub(crate) struct BlobReader {
    file: File,
    bytes: u64,
    growth: Arc<Growth>,
}

impl Read for BlobReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut state = self.growth.lock();
        // Broken counts before what is there: the rest of the work is of no use.
        while state.end == End::Open && state.bytes == self.bytes {
            state = self.growth.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let there = *state;
        drop(state);
        if there.end == End::Broken {
            return Err(io::Error::new(io::ErrorKind::BrokenPipe, "the layer broke off"));
        }
        let left = usize::try_from(there.bytes - self.bytes).unwrap_or(usize::MAX);
        let length = left.min(buffer.len());
        let length = self.file.read(buffer.get_mut(..length).unwrap_or_default())?;
        self.bytes += u64::try_from(length).unwrap_or(u64::MAX);
        Ok(length)
    }
}

/// Reads to the end; each chunk goes to `sink`. Returns the bytes.
fn copy(file: &mut File, mut sink: impl FnMut(&[u8])) -> io::Result<u64> {
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut bytes = 0_u64;
    loop {
        let length = file.read(&mut buffer)?;
        if length == 0 {
            return Ok(bytes);
        }
        sink(buffer.get(..length).unwrap_or_default());
        bytes += u64::try_from(length).unwrap_or(u64::MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn digest(bytes: &[u8]) -> Digest {
        Digest(Sha256::digest(bytes).into())
    }

    fn open(directory: &Path, whole: &[u8]) -> BlobWriter {
        let path = directory.join(digest(whole).to_string());
        BlobWriter::open(path, &digest(whole), whole.len() as u64).unwrap()
    }

    #[test]
    fn a_reader_follows_the_writer_and_sees_the_end_after_the_check() {
        let directory = tempfile::tempdir().unwrap();
        let mut writer = open(directory.path(), b"hello world");
        let mut reader = writer.reader().unwrap();
        let follow = std::thread::spawn(move || {
            let mut all = Vec::new();
            reader.read_to_end(&mut all).map(|_| all)
        });
        writer.write(b"hello ").unwrap();
        std::thread::yield_now();
        writer.write(b"world").unwrap();
        assert!(!follow.is_finished(), "the end is not verified yet");
        writer.finish().unwrap();
        assert_eq!(follow.join().unwrap().unwrap(), b"hello world");
    }

    #[test]
    fn an_interrupted_blob_goes_on_and_its_reader_gets_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let mut writer = open(directory.path(), b"hello world");
        let mut reader = writer.reader().unwrap();
        writer.write(b"hello").unwrap();
        drop(writer);
        assert!(reader.read_to_end(&mut Vec::new()).is_err());

        let mut writer = open(directory.path(), b"hello world");
        assert_eq!(writer.bytes(), 5);
        let mut reader = writer.reader().unwrap();
        writer.write(b" world").unwrap();
        writer.finish().unwrap();
        let mut all = Vec::new();
        reader.read_to_end(&mut all).unwrap();
        assert_eq!(all, b"hello world");
    }

    #[test]
    fn wrong_bytes_have_no_end_and_are_gone() {
        let directory = tempfile::tempdir().unwrap();
        let mut writer = open(directory.path(), b"hello");
        let mut reader = writer.reader().unwrap();
        writer.write(b"jello").unwrap();
        assert!(matches!(writer.finish(), Err(BlobError::Digest { resumed: false })));
        assert!(reader.read_to_end(&mut Vec::new()).is_err());
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_longer_file_than_the_blob_is_begun_again() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join(digest(b"abc").to_string()), b"abcdef").unwrap();
        assert_eq!(open(directory.path(), b"abc").bytes(), 0);
    }

    #[test]
    fn lies_about_a_blob_have_a_file_of_their_own() {
        let name = |registry, size| file_name(registry, &digest(b"abc"), size);
        assert_ne!(name("r.io", 3), name("r.io", 2));
        assert_ne!(name("r.io", 3), name("evil.io", 3));
        assert_eq!(name("r.io", 3), name("r.io", 3));
    }

    #[test]
    fn nobody_waits_for_a_reader_that_is_stopped() {
        let directory = tempfile::tempdir().unwrap();
        let writer = open(directory.path(), b"abc");
        let mut reader = writer.reader().unwrap();
        let waits = std::thread::spawn(move || reader.read(&mut [0; 4]));
        drop(writer.stop());
        assert!(waits.join().unwrap().is_err());
    }
}
