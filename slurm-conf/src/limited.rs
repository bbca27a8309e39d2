//! Files that are read whole, up to a size: what is larger is not what its name says.

use std::fs;
use std::io::{self, Read as _};
use std::path::Path;

/// Reads a text file of at most `bytes_max` bytes.
///
/// # Errors
/// When it cannot be read, is longer, or is not UTF-8.
pub(crate) fn read_limited(path: &Path, bytes_max: u64) -> io::Result<String> {
    let mut text = String::new();
    fs::File::open(path)?.take(bytes_max + 1).read_to_string(&mut text)?;
    if u64::try_from(text.len()).unwrap_or(u64::MAX) > bytes_max {
        return Err(io::Error::other(format!("longer than {bytes_max} bytes")));
    }
    Ok(text)
}
