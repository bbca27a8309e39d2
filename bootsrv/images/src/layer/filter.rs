//! From a layer's archive to the one `tar2sqfs` gets: refuses what is hostile, notes every entry, and
//! turns whiteouts into what overlayfs understands.

use super::entry;
use super::error::LayerError;
use super::index::{Entry, Kind, LayerIndex, Metadata};
use super::layout::{Layout, Place, aside};
use super::limits::LayerLimits;
use super::reader::Reader;
use super::source::Source;
use super::writer::{Item, Writer};
use std::io::Write;

/// Reads the archive to its end mark; `may_end`: or to where it ends without one.
pub(super) fn filter(
    source: &mut Source<'_>,
    output: impl Write,
    limits: &LayerLimits,
    may_end: bool,
) -> Result<LayerIndex, LayerError> {
    let mut writer = Writer::new(output);
    let mut layout = Layout::new();
    let mut entries: Vec<Entry> = Vec::new();
    let (mut bytes, mut index_bytes) = (0_u64, 0_u64);
    let reader = Reader::new(source);
    let mut reader = if may_end { reader.may_end() } else { reader };
    while let Some(mut member) = reader.next()? {
        let number = u32::try_from(entries.len()).unwrap_or(u32::MAX);
        if u64::from(number) >= limits.entries_max {
            return Err(LayerError::too_much(format!("more than {} entries", limits.entries_max)));
        }
        let entry = entry::of(&member, limits)?;
        bytes = bytes.saturating_add(member.bytes);
        if bytes > limits.unpacked_bytes_max {
            let max = limits.unpacked_bytes_max;
            return Err(LayerError::too_much(format!("more than {max} bytes of files")));
        }
        if bytes > limits.ratio_bytes_min && bytes / reader.input().packed() > limits.ratio_max {
            return Err(LayerError::too_dense(limits.ratio_max));
        }
        let place = layout.place(number, &entry);
        index_bytes += entry.bytes();
        if index_bytes + layout.implied_bytes() > limits.index_bytes_max {
            let max = limits.index_bytes_max;
            return Err(LayerError::too_much(format!("more than {max} bytes of names")));
        }
        write(&mut writer, &entry, place, number)?;
        if let (Kind::File(size), Place::There | Place::Aside) = (&entry.kind, place) {
            writer.content(&mut *reader.content(&mut member), *size)?;
        }
        entries.push(entry);
    }
    finish(&mut writer, &mut layout, &entries)?;
    Ok(LayerIndex { entries })
}

fn write(
    writer: &mut Writer<impl Write>,
    entry: &Entry,
    place: Place,
    number: u32,
) -> Result<(), LayerError> {
    let item = match &entry.kind {
        Kind::File(size) => Item::File(*size),
        Kind::Symlink(target) => Item::Symlink(target),
        Kind::HardLink(target) => Item::HardLink(target),
        Kind::Fifo => Item::Fifo,
        Kind::Directory | Kind::Device | Kind::Whiteout | Kind::Opaque => return Ok(()),
    };
    match place {
        Place::There => writer.member(&entry.path, item, &entry.metadata, &entry.attributes),
        Place::Aside => writer.member(&aside(number), item, &entry.metadata, &entry.attributes),
        Place::Nowhere => Ok(()),
    }
}

/// Directories come last: only now it is known which of their entries counts, and which are opaque.
fn finish(
    writer: &mut Writer<impl Write>,
    layout: &mut Layout,
    entries: &[Entry],
) -> Result<(), LayerError> {
    for (path, number) in layout.close() {
        let entry = number.and_then(|number| entries.get(usize::try_from(number).ok()?));
        let (metadata, attributes) = match entry {
            Some(entry) => (entry.metadata, &*entry.attributes),
            None => (Metadata::IMPLIED, &[][..]),
        };
        let item = Item::Directory { opaque: layout.is_opaque(&path) };
        writer.member(&path, item, &metadata, attributes)?;
    }
    for path in layout.whiteouts() {
        writer.member(path, Item::Whiteout, &Metadata { mode: 0, ..Metadata::IMPLIED }, &[])?;
    }
    writer.finish()
}
