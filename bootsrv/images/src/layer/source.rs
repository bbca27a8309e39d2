//! A layer's archive, unpacked and hashed on its way: one thread unpacks, the caller reads.

use super::error::LayerError;
use super::limits::LayerLimits;
use super::reader::Skip;
use artifacts::compression;
use protocol::names::Digest;
use sha2::{Digest as _, Sha256};
use std::io::{self, Read};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

const CHUNK_BYTES: usize = 256 << 10;
/// Chunks that are unpacked before they are asked for.
const CHUNKS_AHEAD: usize = 8;

type Chunk = io::Result<Vec<u8>>;

/// What was read to the end.
#[derive(Debug)]
pub(super) struct Whole {
    pub(super) diff_id: Digest,
    pub(super) bytes: u64,
}

/// The uncompressed archive.
#[derive(Debug)]
pub(super) struct Source<'a> {
    chunks: Receiver<Chunk>,
    chunk: Vec<u8>,
    at: usize,
    hasher: Sha256,
    bytes: u64,
    packed: &'a AtomicU64,
    limits: LayerLimits,
    failed: bool,
}

/// Lets `work` read the archive, and reads what it left, so that the digest is that of the whole.
pub(super) fn unpacked<T>(
    archive: impl Read + Send,
    limits: &LayerLimits,
    work: impl FnOnce(&mut Source<'_>) -> Result<T, LayerError>,
) -> Result<(T, Whole), LayerError> {
    let packed = AtomicU64::new(0);
    let counted = Counted { reader: archive, bytes: &packed };
    std::thread::scope(|scope| {
        let (sender, chunks) = sync_channel(CHUNKS_AHEAD);
        scope.spawn(move || unpack(counted, &sender));
        let mut source = Source {
            chunks,
            chunk: Vec::new(),
            at: 0,
            hasher: Sha256::new(),
            bytes: 0,
            packed: &packed,
            limits: *limits,
            failed: false,
        };
        let result = work(&mut source)?;
        io::copy(&mut source, &mut io::sink()).map_err(LayerError::from_read)?;
        let diff_id = Digest(source.hasher.finalize().into());
        Ok((result, Whole { diff_id, bytes: source.bytes }))
    })
}

/// The unpacking thread; it ends when nobody wants more.
fn unpack(archive: impl Read, sender: &SyncSender<Chunk>) {
    let mut plain = match compression::plain(archive) {
        Ok(plain) => plain,
        Err(error) => return drop(sender.send(Err(error))),
    };
    loop {
        let mut chunk = Vec::with_capacity(CHUNK_BYTES);
        let limit = u64::try_from(CHUNK_BYTES).unwrap_or(u64::MAX);
        let chunk = match plain.by_ref().take(limit).read_to_end(&mut chunk) {
            Ok(0) => return,
            Ok(_) => Ok(chunk),
            Err(error) => Err(error),
        };
        let last = chunk.is_err();
        if sender.send(chunk).is_err() || last {
            return;
        }
    }
}

impl Source<'_> {
    /// Bytes that arrived, packed, at least one.
    pub(super) fn packed(&self) -> u64 {
        self.packed.load(Ordering::Relaxed).max(1)
    }

    /// What is left of the current chunk; empty at the end.
    fn fill(&mut self) -> io::Result<&[u8]> {
        if self.at >= self.chunk.len() && !self.failed {
            self.at = 0;
            self.chunk = match self.chunks.recv() {
                Ok(chunk) => chunk.inspect_err(|_| self.failed = true)?,
                Err(_) => Vec::new(),
            };
            self.hasher.update(&self.chunk);
            self.bytes += u64::try_from(self.chunk.len()).unwrap_or(u64::MAX);
            self.check()?;
        }
        Ok(self.chunk.get(self.at..).unwrap_or_default())
    }

    /// What follows the archive's end mark counts as well, and may be a bomb of its own.
    fn check(&self) -> io::Result<()> {
        let refuse = |error: LayerError| Err(io::Error::new(io::ErrorKind::InvalidData, error));
        let limits = &self.limits;
        if self.bytes > limits.unpacked_bytes_max.saturating_mul(2) {
            let max = limits.unpacked_bytes_max;
            return refuse(LayerError::too_much(format!("more than {max} bytes of files")));
        }
        if self.bytes > limits.ratio_bytes_min && self.bytes / self.packed() > limits.ratio_max {
            return refuse(LayerError::too_dense(limits.ratio_max));
        }
        Ok(())
    }
}

impl Read for Source<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let chunk = self.fill()?;
        let length = chunk.len().min(buffer.len());
        let (Some(from), Some(to)) = (chunk.get(..length), buffer.get_mut(..length)) else {
            return Ok(0);
        };
        to.copy_from_slice(from);
        self.at += length;
        Ok(length)
    }
}

impl Skip for &mut Source<'_> {}

struct Counted<'a, R> {
    reader: R,
    bytes: &'a AtomicU64,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.reader.read(buffer)?;
        self.bytes.fetch_add(u64::try_from(length).unwrap_or(u64::MAX), Ordering::Relaxed);
        Ok(length)
    }
}
