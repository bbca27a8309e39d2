//! The layers of an image laid over each other, and the layer on top that corrects them.
//!
//! Layers are converted without knowing what lies below them. Where that is not enough (a hard link
//! to a file of a lower layer, a path through a lower layer's symbolic link, a directory that an
//! archive only implies), the image's tree and the overlay's are compared in memory, from the
//! layers' indexes, and the difference becomes one more layer. Most images need none.

use super::convert::LEVEL;
use super::difference::{Fix, difference};
use super::error::LayerError;
use super::index::{Entry, Kind, LayerIndex, Metadata};
use super::layout::{Place, aside};
use super::limits::LayerLimits;
use super::overlay::{Laid, overlay};
use super::replay::replay;
use super::tree::{Layers, Said, Tree};
use super::writer::{Item, Writer};
use artifacts::squashfs;
use protocol::names::Digest;
use sha2::{Digest as _, Sha256};
use std::ffi::OsStr;
use std::io::{BufWriter, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Longest list of files for one run of a program, in bytes (Linux allows 2 MiB with all else).
const ARGUMENTS_BYTES_MAX: usize = 256 << 10;
const WRITE_BYTES: usize = 256 << 10;

/// A converted layer.
#[derive(Debug)]
pub struct StackedLayer {
    /// What its archive said.
    pub index: LayerIndex,
    /// Its file.
    pub squashfs: PathBuf,
}

/// A correction that was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Corrected {
    /// Paths in it.
    pub entries: u64,
    /// Bytes of the files in it.
    pub unpacked_bytes: u64,
}

/// What the correction of layers, the lowest first, is kept by. It is no archive's digest.
#[must_use]
pub fn key(diff_ids: &[Digest]) -> Digest {
    let mut hasher = Sha256::new_with_prefix("correction of layers, version 1\n");
    diff_ids.iter().for_each(|diff_id| hasher.update(diff_id.0));
    Digest(hasher.finalize().into())
}

/// Writes the squashfs file that must lie on top of the layers, the lowest first, to `output`. `None`:
/// none is needed, and nothing is written.
///
/// # Errors
/// When an entry refers to what does not exist, or a file cannot be read or written.
pub fn correct(
    layers: &[StackedLayer],
    output: &Path,
    limits: &LayerLimits,
) -> Result<Option<Corrected>, LayerError> {
    let entries: Vec<&[Entry]> = layers.iter().map(|layer| &*layer.index.entries).collect();
    let count: usize = entries.iter().map(|entries| entries.len()).sum();
    if u64::try_from(count).unwrap_or(u64::MAX) > limits.stack_entries_max() {
        return Err(too_many_entries(limits));
    }
    let laid = lay_out(layers, limits)?;
    let all = Layers(&entries);
    let image = replay(all, limits)?;
    let fixes = difference(&image, &overlay(all, &laid), limits)?;
    if fixes.is_empty() {
        return Ok(None);
    }
    let mut running = squashfs::from_layer(output, LEVEL)?;
    let input = running.input().ok_or_else(broken_pipe)?;
    let mut writer = Writer::new(BufWriter::with_capacity(WRITE_BYTES, input));
    let correction = Correction { layers, laid: &laid, image: &image, all };
    let unpacked_bytes = correction.write(&fixes, &mut writer)?;
    writer.finish()?;
    let flushed = writer.into_inner().flush();
    running.finish()?;
    flushed.map_err(LayerError::Write)?;
    let entries = u64::try_from(fixes.len()).unwrap_or(u64::MAX);
    Ok(Some(Corrected { entries, unpacked_bytes }))
}

/// Each layer's own layout, as long as they are small enough together.
fn lay_out(layers: &[StackedLayer], limits: &LayerLimits) -> Result<Vec<Laid>, LayerError> {
    let mut bytes: u64 = layers.iter().map(|layer| layer.index.bytes()).sum();
    let mut laid = Vec::with_capacity(layers.len());
    for layer in layers {
        let left = limits.stack_bytes_max().saturating_sub(bytes);
        let one = Laid::of(&layer.index.entries, left).ok_or_else(|| too_many_names(limits))?;
        bytes = bytes.saturating_add(one.layout.implied_bytes());
        if bytes > limits.stack_bytes_max() {
            return Err(too_many_names(limits));
        }
        laid.push(one);
    }
    Ok(laid)
}

/// Of all layers together.
pub(crate) fn too_many_entries(limits: &LayerLimits) -> LayerError {
    let max = limits.stack_entries_max();
    LayerError::too_much(format!("more than {max} entries with those below it"))
}

/// Of all layers together.
pub(crate) fn too_many_names(limits: &LayerLimits) -> LayerError {
    let max = limits.stack_bytes_max();
    LayerError::too_much(format!("more than {max} bytes of names with those below it"))
}

struct Correction<'t, 'a> {
    layers: &'t [StackedLayer],
    laid: &'t [Laid],
    image: &'t Tree<'a>,
    all: Layers<'a>,
}

impl<'a> Correction<'_, 'a> {
    /// Files first, layer by layer: their contents are read from the layers' files. Links and
    /// directories may come after.
    fn write(
        &self,
        fixes: &[(Vec<u8>, Fix)],
        writer: &mut Writer<impl Write>,
    ) -> Result<u64, LayerError> {
        let mut files: Vec<(Said, &[u8], u64)> = Vec::new();
        for (path, fix) in fixes {
            if let Fix::Node(inode) = fix
                && let Some(said) = self.image.said(*inode)
            {
                match self.image.kind(*inode) {
                    Some(Kind::File(size)) => files.push((said, path, *size)),
                    _ => self.other(path, fix, writer)?,
                }
            }
        }
        files.sort_unstable();
        for files in files.chunk_by(|(one, ..), (two, ..)| one.0 == two.0) {
            self.files(files, writer)?;
        }
        for (path, fix) in fixes {
            if !matches!(fix, Fix::Node(_)) {
                self.other(path, fix, writer)?;
            }
        }
        Ok(files.iter().map(|(_, _, size)| size).sum())
    }

    /// Files of one layer.
    fn files(
        &self,
        mut files: &[(Said, &[u8], u64)],
        writer: &mut Writer<impl Write>,
    ) -> Result<(), LayerError> {
        while let Some(((layer, _), ..)) = files.first() {
            let Some(layer) = self.layers.get(*layer) else { return Ok(()) };
            let mut paths = Vec::new();
            let mut bytes = 0;
            for (said, ..) in files {
                let path = self.stored(*said);
                bytes += path.len() + size_of::<usize>() + 1;
                if bytes > ARGUMENTS_BYTES_MAX && !paths.is_empty() {
                    break;
                }
                paths.push(path);
            }
            let names = paths.iter().map(|path| OsStr::from_bytes(path));
            let mut running = squashfs::contents(&layer.squashfs, names)?;
            let mut contents = running.output().ok_or_else(broken_pipe)?;
            let (now, later) = files.split_at(paths.len().min(files.len()));
            for (said, path, size) in now {
                let Some(entry) = self.all.entry(*said) else { continue };
                writer.member(path, Item::File(*size), &entry.metadata, &entry.attributes)?;
                writer.content(&mut contents as &mut dyn Read, *size)?;
            }
            drop(contents);
            running.finish()?;
            files = later;
        }
        Ok(())
    }

    /// Where a file's content is in its layer's squashfs file.
    fn stored(&self, (layer, number): Said) -> Vec<u8> {
        let place = self.laid.get(layer).and_then(|laid| laid.places.get(number));
        match (place, u32::try_from(number)) {
            (Some(Place::Aside), Ok(number)) => aside(number),
            _ => {
                self.all.entry((layer, number)).map(|entry| entry.path.to_vec()).unwrap_or_default()
            }
        }
    }

    fn other(
        &self,
        path: &[u8],
        fix: &Fix,
        writer: &mut Writer<impl Write>,
    ) -> Result<(), LayerError> {
        let bare = Metadata { mode: 0, ..Metadata::IMPLIED };
        match fix {
            Fix::Whiteout => writer.member(path, Item::Whiteout, &bare, &[]),
            Fix::Link(first) => writer.member(path, Item::HardLink(first), &bare, &[]),
            Fix::Directory(inode) => {
                let (metadata, attributes) = self.image.metadata(*inode);
                writer.member(path, Item::Directory { opaque: false }, &metadata, attributes)
            }
            Fix::Node(inode) => {
                let (metadata, attributes) = self.image.metadata(*inode);
                let item = match self.image.kind(*inode) {
                    Some(Kind::Symlink(target)) => Item::Symlink(target),
                    _ => Item::Fifo,
                };
                writer.member(path, item, &metadata, attributes)
            }
        }
    }
}

fn broken_pipe() -> LayerError {
    LayerError::Write(std::io::ErrorKind::BrokenPipe.into())
}
