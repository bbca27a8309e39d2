//! The `newc` archive format of the kernel's initrd, written so that equal input gives equal bytes.
//!
//! Times are 0, owners root, inode numbers count from 1. The format and the kernel's reading of it
//! are in the kernel's Documentation/driver-api/early-userspace/buffer-format.rst.

use protocol::boot::TOKEN_FILE;
use std::io::{self, Write};

const TYPE_FILE: u32 = 0o100_000;
const TYPE_DIRECTORY: u32 = 0o040_000;
const TYPE_CHARACTER: u32 = 0o020_000;

/// iPXE and the kernel take archives one behind the other at multiples of 4; cpio(1) pads to 512.
const BLOCK_BYTES: u64 = 512;

/// Writes one archive.
#[derive(Debug)]
pub struct Writer<W> {
    output: W,
    written: u64,
    inode: u32,
}

impl<W: Write> Writer<W> {
    /// Starts an archive.
    pub fn new(output: W) -> Self {
        Self { output, written: 0, inode: 0 }
    }

    /// Adds a directory; parents first. Paths have no leading slash.
    ///
    /// # Errors
    /// When the output cannot be written.
    pub fn directory(&mut self, path: &str, mode: u32) -> io::Result<()> {
        self.entry(path, TYPE_DIRECTORY | mode, (0, 0), &[])
    }

    /// Adds a file.
    ///
    /// # Errors
    /// When the output cannot be written or the file has 4 GiB or more.
    pub fn file(&mut self, path: &str, mode: u32, content: &[u8]) -> io::Result<()> {
        self.entry(path, TYPE_FILE | mode, (0, 0), content)
    }

    /// Adds a character device with its major and minor number.
    ///
    /// # Errors
    /// When the output cannot be written.
    pub fn character_device(
        &mut self,
        path: &str,
        mode: u32,
        device: (u32, u32),
    ) -> io::Result<()> {
        self.entry(path, TYPE_CHARACTER | mode, device, &[])
    }

    /// Ends the archive and pads it to a multiple of 512 bytes.
    ///
    /// # Errors
    /// When the output cannot be written.
    pub fn finish(mut self) -> io::Result<W> {
        self.inode = 0;
        self.header("TRAILER!!!", 0, (0, 0), 0, 0)?;
        self.pad(BLOCK_BYTES)?;
        Ok(self.output)
    }

    fn entry(&mut self, path: &str, mode: u32, device: (u32, u32), data: &[u8]) -> io::Result<()> {
        self.inode += 1;
        self.header(path, mode, device, data.len(), self.inode)?;
        self.write(data)?;
        self.pad(4)
    }

    fn header(
        &mut self,
        path: &str,
        mode: u32,
        (major, minor): (u32, u32),
        bytes: usize,
        inode: u32,
    ) -> io::Result<()> {
        let too_long = |_| io::Error::new(io::ErrorKind::InvalidInput, "too long for a cpio file");
        let bytes = u32::try_from(bytes).map_err(too_long)?;
        let name_bytes = u32::try_from(path.len() + 1).map_err(too_long)?;
        let links = if mode & TYPE_DIRECTORY == TYPE_DIRECTORY { 2 } else { 1 };
        let mut header = String::from("070701");
        // In order: inode, mode, user, group, links, time, length, device of the file system (2),
        // device of the node (2), length of the name with its zero, checksum (unused).
        for field in [inode, mode, 0, 0, links, 0, bytes, 0, 0, major, minor, name_bytes, 0] {
            header.push_str(&format!("{field:08X}"));
        }
        self.write(header.as_bytes())?;
        self.write(path.as_bytes())?;
        self.write(&[0])?;
        self.pad(4)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.written += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.output.write_all(bytes)
    }

    fn pad(&mut self, multiple: u64) -> io::Result<()> {
        while !self.written.is_multiple_of(multiple) {
            self.write(&[0])?;
        }
        Ok(())
    }
}

/// The initrd of one file that carries a boot token: [`TOKEN_FILE`], mode 0600, owned by root.
/// Uncompressed and padded: it goes in front of the kernel's own initrd.
#[must_use]
pub fn token_initrd(token: &str) -> Vec<u8> {
    let content = format!("{token}\n");
    let archive = || {
        let mut writer = Writer::new(Vec::new());
        writer.file(TOKEN_FILE.trim_start_matches('/'), 0o600, content.as_bytes())?;
        writer.finish()
    };
    // Only 4 GiB of token could fail; without an archive the boot then fails for want of a token.
    archive().unwrap_or_else(|_: io::Error| Vec::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_exactly_these_bytes() {
        let expected = [
            "07070100000001000081800000000000000000000000010000000000000004",
            "000000000000000000000000000000000000000B00000000boot-token\0\0\0\0",
            "abc\n",
            "070701000000000000000000000000000000000000000100000000000000000000000000000000",
            "00000000000000000000000B00000000TRAILER!!!\0\0\0\0",
        ]
        .concat();
        let archive = token_initrd("abc");
        assert_eq!(
            String::from_utf8_lossy(&archive).trim_end_matches('\0'),
            expected.trim_end_matches('\0')
        );
        assert_eq!(archive.len(), 512);
    }

    #[test]
    fn a_device_has_its_numbers_and_every_part_starts_at_a_multiple_of_four() {
        let mut writer = Writer::new(Vec::new());
        writer.directory("dev", 0o755).unwrap();
        writer.character_device("dev/console", 0o600, (5, 1)).unwrap();
        writer.file("five", 0o644, b"12345").unwrap();
        let archive = writer.finish().unwrap();
        let text = String::from_utf8_lossy(&archive);
        assert!(text.contains(
            "0000218000000000000000000000000100000000000000000000000000000000\
            00000005000000010000000C00000000dev/console\0"
        ));
        for (index, _) in text.match_indices("070701") {
            assert_eq!(index % 4, 0);
        }
        assert!(text.contains("five\0\x0012345\0\0\x00070701"));
    }
}
