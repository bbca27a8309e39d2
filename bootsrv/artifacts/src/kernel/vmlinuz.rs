//! Reads the release out of a kernel file (x86 boot protocol, Documentation/arch/x86/boot.rst).

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// The magic number `HdrS` of the header.
const MAGIC_OFFSET: usize = 0x202;
/// The header's pointer to the version text, counted from 0x200.
const VERSION_OFFSET: usize = 0x20e;
/// The pointer has 16 bits, and the text at most the 65 bytes of `uname`'s field that matter here.
const HEAD_BYTES: u64 = 0x200 + 0x1_0000 + 65;

/// What `uname -r` will say, or `None` when the file is no x86 bzImage.
pub(super) fn release(path: &Path) -> io::Result<Option<String>> {
    let mut head = Vec::new();
    File::open(path)?.take(HEAD_BYTES).read_to_end(&mut head)?;
    Ok(release_in(&head))
}

fn release_in(head: &[u8]) -> Option<String> {
    if head.get(MAGIC_OFFSET..MAGIC_OFFSET + 4)? != b"HdrS" {
        return None;
    }
    let pointer = head.get(VERSION_OFFSET..VERSION_OFFSET + 2)?;
    let offset = usize::from(u16::from_le_bytes(pointer.try_into().ok()?));
    let text = head.get(0x200 + offset..).filter(|_| offset > 0)?;
    let end = text.iter().position(|byte| byte.is_ascii_whitespace() || *byte == 0)?;
    let word = std::str::from_utf8(text.get(..end)?).ok()?;
    super::is_release(word).then(|| word.to_owned())
}

/// The smallest file that passes for a kernel of that release.
#[cfg(test)]
pub(super) fn synthetic(release: &str) -> Vec<u8> {
    let mut file = vec![0; 0x400];
    file[0x202..0x206].copy_from_slice(b"HdrS");
    file[0x20e..0x210].copy_from_slice(&0x100_u16.to_le_bytes());
    let text = format!("{release} (builder) #1 SMP\0");
    file[0x300..0x300 + text.len()].copy_from_slice(text.as_bytes());
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_word_is_the_release() {
        let file = synthetic("6.1.0-56-cloud-amd64");
        assert_eq!(release_in(&file).unwrap(), "6.1.0-56-cloud-amd64");
        assert_eq!(release_in(&synthetic("../x")), None);
        assert_eq!(release_in(&file[..0x20f]), None, "cut");
        assert_eq!(release_in(&file[..0x305]), None, "cut in the text");
        assert_eq!(release_in(b"MZ"), None);
    }
}
