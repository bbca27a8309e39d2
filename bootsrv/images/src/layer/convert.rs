//! One layer: from its packed archive to its squashfs file.

use super::error::LayerError;
use super::filter::filter;
use super::index::LayerIndex;
use super::limits::LayerLimits;
use super::source;
use artifacts::squashfs;
use protocol::names::Digest;
use std::io::{self, BufWriter, Read, Write};
use std::path::Path;

/// Compression of layers: higher levels cost minutes and save a tenth (docs/adr/0013).
pub(super) const LEVEL: u8 = 3;
/// Between our filter and the program: fewer, larger writes.
const WRITE_BYTES: usize = 256 << 10;

/// A layer whose squashfs file is complete.
#[derive(Debug)]
pub struct ConvertedLayer {
    /// SHA-256 of the uncompressed archive.
    pub diff_id: Digest,
    /// What was in it.
    pub index: LayerIndex,
    /// Bytes of the uncompressed archive.
    pub unpacked_bytes: u64,
}

/// Reads a layer's archive (plain, gzip, zstd or xz, told by its first bytes) and writes its squashfs
/// file to `output`, an absolute path. Nothing of the archive is kept in memory or on disk besides; on an error
/// `output` is of no use.
///
/// # Errors
/// When the archive is damaged, hostile, larger than a limit, or another than `expected_diff_id`, or
/// the file cannot be made.
pub fn convert(
    archive: impl Read + Send,
    expected_diff_id: Option<&Digest>,
    output: &Path,
    limits: &LayerLimits,
) -> Result<ConvertedLayer, LayerError> {
    let (index, read) = source::unpacked(archive, limits, |source| {
        let mut running = squashfs::from_layer(output, LEVEL)?;
        let input = running.input().ok_or_else(|| broken_pipe(io::ErrorKind::BrokenPipe.into()))?;
        let mut writer = BufWriter::with_capacity(WRITE_BYTES, input);
        match filter(source, &mut writer, limits, expected_diff_id.is_some()) {
            Ok(index) => {
                let flushed = writer.flush();
                drop(writer);
                running.finish()?;
                flushed.map_err(broken_pipe)?;
                Ok(index)
            }
            // The program stopped reading: its own message says why.
            Err(LayerError::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
                drop(writer.into_parts());
                running.finish()?;
                Err(broken_pipe(error))
            }
            Err(error) => {
                drop(running);
                drop(writer.into_parts());
                Err(error)
            }
        }
    })?;
    match expected_diff_id {
        Some(stated) if *stated != read.diff_id => {
            Err(LayerError::Digest { stated: *stated, found: read.diff_id })
        }
        Some(_) | None => {
            Ok(ConvertedLayer { diff_id: read.diff_id, index, unpacked_bytes: read.bytes })
        }
    }
}

fn broken_pipe(error: io::Error) -> LayerError {
    LayerError::Write(error)
}
