//! A directory as lines that two trees can be compared by: path, type, mode, owner, time, length or
//! target, and a checksum of the content.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Prints everything below the directory, sorted.
pub(crate) fn print(directory: &Path) -> io::Result<()> {
    let mut entries: Vec<PathBuf> =
        fs::read_dir(directory)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    entries.sort();
    for path in entries {
        println!("{}", line(&path)?);
        if fs::symlink_metadata(&path)?.is_dir() {
            print(&path)?;
        }
    }
    Ok(())
}

fn line(path: &Path) -> io::Result<String> {
    let metadata = fs::symlink_metadata(path)?;
    let file_type = metadata.file_type();
    let what = if file_type.is_dir() {
        "directory".to_owned()
    } else if file_type.is_symlink() {
        format!("link to {}", fs::read_link(path)?.display())
    } else if file_type.is_fifo() {
        "fifo".to_owned()
    } else if file_type.is_file() {
        // A file that only its owner may read is compared by the rest.
        let content = fs::read(path).map(|bytes| checksum(&bytes));
        let content = content.map_or_else(|error| error.kind().to_string(), |sum| sum.to_string());
        format!("{} bytes, {content}", metadata.len())
    } else {
        "other".to_owned()
    };
    let (mode, owner, group) = (metadata.mode() & 0o7777, metadata.uid(), metadata.gid());
    let name = path.as_os_str().as_bytes().escape_ascii();
    Ok(format!("{name} {mode:04o} {owner}:{group} {} {what}", metadata.mtime()))
}

/// FNV-1a in 64 bits: it finds differences, it proves nothing.
fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| {
        (sum ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    })
}
