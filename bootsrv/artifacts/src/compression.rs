//! Undoes gzip, xz and zstd, told apart by their first bytes and not by a file's name.

use std::io::{self, BufReader, Read};

/// Largest memory the xz decoder may take, in bytes; `xz -9` needs 65 MiB.
const XZ_MEMORY_MAX: u64 = 256 << 20;
/// Largest zstd window, as a power of two: 128 MiB, which `zstd --long` writes.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;
/// Length of the longest of the three magic numbers.
const MAGIC_BYTES: u64 = 6;
const BUFFER_BYTES: usize = 256 << 10;

/// Gives the plain data of `reader`; data in none of the three formats passes unchanged.
///
/// # Errors
/// When its first bytes cannot be read.
pub fn plain<'a>(mut reader: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
    let mut start = Vec::new();
    reader.by_ref().take(MAGIC_BYTES).read_to_end(&mut start)?;
    let whole = io::Cursor::new(start.clone()).chain(reader);
    let reader = BufReader::with_capacity(BUFFER_BYTES, whole);
    Ok(if start.starts_with(&[0x1f, 0x8b]) {
        Box::new(flate2::bufread::MultiGzDecoder::new(reader))
    } else if start.starts_with(b"\xfd7zXZ\0") {
        let flags = liblzma::stream::CONCATENATED;
        let stream = liblzma::stream::Stream::new_stream_decoder(XZ_MEMORY_MAX, flags)?;
        Box::new(liblzma::bufread::XzDecoder::new_stream(reader, stream))
    } else if start.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        let mut decoder = zstd::stream::read::Decoder::with_buffer(reader)?;
        decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
        Box::new(decoder)
    } else {
        Box::new(reader)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn all_four_forms_give_the_same_data() {
        let data = b"bare metal ".repeat(1000);
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&data).unwrap();
        let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 1);
        xz.write_all(&data).unwrap();
        let zstd = zstd::encode_all(&data[..], 1).unwrap();
        for form in [data.clone(), gzip.finish().unwrap(), xz.finish().unwrap(), zstd] {
            let mut out = Vec::new();
            plain(&form[..]).unwrap().read_to_end(&mut out).unwrap();
            assert!(out == data);
        }
    }
}
