//! The initrd of one file that carries the next boot's token, as bootsrv makes it for iPXE.
//!
//! Pure. The format is `newc`, Documentation/driver-api/early-userspace/buffer-format.rst of the kernel.

use protocol::boot::TOKEN_FILE;
use protocol::names::Secret;
use std::fmt::Write as _;

/// The kernel takes archives one behind the other at multiples of 4; cpio(1) pads to 512.
const BLOCK_BYTES: usize = 512;
/// A file that its owner, root, may read and write.
const MODE: u32 = 0o100_600;

/// [`TOKEN_FILE`] with the token and a line end. Not compressed: it goes in front of the kernel's initrd.
pub(crate) fn token_archive(token: &Secret) -> Vec<u8> {
    let mut archive = Vec::new();
    let content = format!("{}\n", token.expose());
    entry(&mut archive, 1, MODE, TOKEN_FILE.trim_start_matches('/'), &content);
    entry(&mut archive, 0, 0, "TRAILER!!!", "");
    pad(&mut archive, BLOCK_BYTES);
    archive
}

fn entry(archive: &mut Vec<u8>, inode: u32, mode: u32, name: &str, content: &str) {
    let mut header = String::from("070701");
    let (bytes, name_bytes) = (content.len(), name.len() + 1);
    // User and group, links, time; length, devices (4), length of the name with its zero, checksum.
    write!(header, "{inode:08X}{mode:08X}{:016X}{:08X}{:08X}", 0, 1, 0).ok();
    write!(header, "{bytes:08X}{:032X}{name_bytes:08X}{:08X}", 0, 0).ok();
    archive.extend_from_slice(header.as_bytes());
    archive.extend_from_slice(name.as_bytes());
    archive.push(0);
    pad(archive, 4);
    archive.extend_from_slice(content.as_bytes());
    pad(archive, 4);
}

fn pad(archive: &mut Vec<u8>, multiple: usize) {
    archive.resize(archive.len().next_multiple_of(multiple), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_what_bootsrv_makes() {
        for length in 0..70 {
            let token = "t".repeat(length);
            let own = token_archive(&Secret::new(token.clone()));
            assert_eq!(own, artifacts::token_initrd(&token), "{length}");
        }
    }
}
