//! The files of an archive, by name, without reading them.

use super::section::Section;
use crate::error::PrepareError;
use crate::layer::{LayerError, Reader};
use std::collections::BTreeMap;

/// Most members; an image has a few for each of its layers.
const MEMBERS_MAX: usize = if cfg!(test) { 1000 } else { 100_000 };
/// Longest name in the archive, in bytes, and longest target of a link; images have names of digests.
const NAME_BYTES_MAX: usize = 512;
/// Most bytes of all names and targets, which are held in memory.
const NAMES_BYTES_MAX: usize = if cfg!(test) { 256 << 10 } else { 16 << 20 };
/// Most links one after the other.
const LINKS_MAX: usize = 8;

/// Members by name.
#[derive(Debug)]
pub(super) struct Archive {
    files: BTreeMap<String, Section>,
    /// To what symbolic and hard links lead.
    links: BTreeMap<String, String>,
}

impl Archive {
    pub(super) fn open(section: &Section) -> Result<Self, PrepareError> {
        refuse_compressed(section)?;
        let mut archive = Self { files: BTreeMap::new(), links: BTreeMap::new() };
        let mut reader = Reader::new(section.reader());
        // Not those that are kept: a name may come twice.
        let (mut members, mut names_bytes) = (0, 0);
        while let Some(member) = reader.next().map_err(unreadable)? {
            members += 1;
            if members > MEMBERS_MAX {
                return Err(PrepareError::user(format!(
                    "the image's archive has more than {MEMBERS_MAX} files"
                )));
            }
            names_bytes += member.name.len() + member.link.len();
            if names_bytes > NAMES_BYTES_MAX {
                return Err(PrepareError::user(format!(
                    "the image's archive has more than {NAMES_BYTES_MAX} bytes of names"
                )));
            }
            if member.name.len().max(member.link.len()) > NAME_BYTES_MAX {
                return Err(PrepareError::user(format!(
                    "the image's archive has a name of more than {NAME_BYTES_MAX} bytes"
                )));
            }
            let Ok(name) = std::str::from_utf8(&member.name) else { continue };
            let name = clean(name);
            if member.kind.is_file() {
                let content = section.part(reader.input().position(), member.bytes);
                let content = content
                    .ok_or_else(|| PrepareError::user("the image's archive ends in the middle"))?;
                archive.files.insert(name, content);
                continue;
            }
            let target = String::from_utf8_lossy(&member.link);
            if member.kind.is_symlink() {
                let directory = name.rsplit_once('/').map_or("", |(directory, _)| directory);
                let target = clean(&format!("{directory}/{target}"));
                archive.links.insert(name, target);
            } else if member.kind.is_hard_link() {
                archive.links.insert(name, clean(&target));
            }
        }
        Ok(archive)
    }

    /// A file, or the one a link leads to.
    pub(super) fn file(&self, name: &str) -> Result<&Section, PrepareError> {
        let mut at = clean(name);
        for _ in 0..LINKS_MAX {
            if let Some(file) = self.files.get(&at) {
                return Ok(file);
            }
            match self.links.get(&at) {
                Some(target) => at.clone_from(target),
                None => break,
            }
        }
        Err(PrepareError::user(format!(
            "the image's archive has no file '{}'",
            name.escape_debug()
        )))
    }
}

/// Without `.`, `..` and empty parts.
fn clean(name: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in name.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

fn unreadable(error: LayerError) -> PrepareError {
    if let LayerError::Damaged(why) = error {
        return PrepareError::user(format!("the image's archive is damaged: {why}"));
    }
    error.into()
}

/// Parts of a compressed archive cannot be read in place.
fn refuse_compressed(section: &Section) -> Result<(), PrepareError> {
    let start = section.start(6)?;
    let magics: [(&[u8], &str, &str); 3] = [
        (&[0x1f, 0x8b], "gzip", "gunzip"),
        (&[0x28, 0xb5, 0x2f, 0xfd], "zstd", "zstd -d"),
        (b"\xfd7zXZ\0", "xz", "unxz"),
    ];
    match magics.iter().find(|(magic, ..)| start.starts_with(magic)) {
        Some((_, name, program)) => Err(PrepareError::user(format!(
            "the image's archive is compressed with {name}; unpack it first: {program} FILE"
        ))),
        None => Ok(()),
    }
}
