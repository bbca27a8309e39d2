//! Looks at an image's archive on its way into `mksquashfs`: refuses what is hostile, and keeps
//! what is needed to know whether the init is there.

use super::program_lookup::{Entries, Node};
use crate::unpack::{self, ArchiveError};
use std::io::{self, Read};

/// Most entries of an image; a large scientific image has about half a million.
const ENTRIES_MAX: usize = 2_000_000;

/// Why an image's archive is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TarError {
    /// The archive is damaged or hostile.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// There is nothing in it, or it is something else.
    #[error("it is empty or no tar archive")]
    NotATar,
}

impl From<io::Error> for TarError {
    fn from(error: io::Error) -> Self {
        Self::Archive(error.into())
    }
}

/// Reads the archive to the end of its data and returns its links and programs by path.
pub(super) fn watch(mut reader: impl Read) -> Result<Entries, TarError> {
    let mut nodes = Entries::new();
    let mut count = 0;
    let mut archive = tar::Archive::new(&mut reader);
    for entry in archive.entries()? {
        let entry = entry.map_err(|error| match count {
            0 => TarError::NotATar,
            _ => error.into(),
        })?;
        count += 1;
        if count > ENTRIES_MAX {
            return Err(ArchiveError::TooManyEntries { max: ENTRIES_MAX }.into());
        }
        let path = unpack::parts(&entry.path_bytes())?.join("/");
        let header = entry.header();
        let target = || Some(String::from_utf8_lossy(&entry.link_name_bytes()?).into_owned());
        let kind = header.entry_type();
        let node = if kind.is_symlink() {
            target().map(Node::Link)
        } else if kind.is_hard_link() {
            // A hard link's target counts from the root of the archive.
            target().map(|target| Node::Link(format!("/{target}")))
        } else if kind.is_file() || kind.is_contiguous() || kind.is_gnu_sparse() {
            (header.mode()? & 0o111 != 0).then_some(Node::Program)
        } else {
            None
        };
        match node {
            Some(node) => nodes.insert(path, node),
            // A later entry of the same path replaces an earlier one.
            None => nodes.remove(&path),
        };
    }
    if count == 0 {
        return Err(TarError::NotATar);
    }
    // What follows the end mark belongs to nobody, but the sender must get rid of it.
    io::copy(&mut reader, &mut io::sink())?;
    Ok(nodes)
}
