//! From a layer's archive to the one `tar2sqfs` gets: refuses what is hostile, notes every entry, and
//! turns whiteouts into what overlayfs understands.

use super::entry;
use super::error::LayerError;
use super::index::{Bytes, Entry, Kind, LayerIndex, Metadata};
use super::layout::{Layout, Place, Standing, aside};
use super::limits::LayerLimits;
use super::reader::Reader;
use super::source::Source;
use super::tally::Tally;
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
    let mut tally = Tally::new(limits);
    let reader = Reader::new(source);
    let mut reader = if may_end { reader.may_end() } else { reader };
    while let Some(mut member) = reader.next()? {
        let number = tally.next()?;
        let entry = entry::of(&member, limits)?;
        tally.content(member.bytes, reader.input().packed())?;
        let place = layout.place(number, &entry);
        tally.placed(&entry, &layout)?;
        match place {
            Place::There => tally.find(&layout, &entry.path)?,
            Place::Aside => tally.find(&layout, &aside(number))?,
            Place::Nowhere => {}
        }
        match (&entry.kind, place) {
            (Kind::HardLink(_), Place::There) => {
                // To the file itself: a link to a link to a link would be followed each time.
                let file = first(&layout, &entries, &entry);
                tally.find(&layout, file)?;
                writer.member(&entry.path, Item::HardLink(file), &entry.metadata, &[])?;
            }
            _ => write(&mut writer, &entry, place, number)?,
        }
        if let (Kind::File(size), Place::There | Place::Aside) = (&entry.kind, place) {
            writer.content(&mut *reader.content(&mut member), *size)?;
        }
        entries.push(entry);
    }
    let directories = layout.close(tally.index_bytes_left());
    let directories = directories.ok_or_else(|| tally.too_many_bytes())?;
    for path in directories.iter().map(|(path, _)| path).chain(layout.whiteouts()) {
        tally.find(&layout, path)?;
    }
    finish(&mut writer, &layout, &directories, &entries)?;
    Ok(LayerIndex { entries })
}

/// The path of the file that a hard link is another name of.
fn first<'a>(layout: &Layout, entries: &'a [Entry], link: &'a Entry) -> &'a [u8] {
    match layout.at(&link.path) {
        Some(Standing::Other(number)) => {
            let number = usize::try_from(number).unwrap_or(usize::MAX);
            entries.get(number).map_or(&link.path, |file| &file.path)
        }
        _ => &link.path,
    }
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
        Kind::Fifo => Item::Fifo,
        Kind::HardLink(_) | Kind::Directory | Kind::Device | Kind::Whiteout | Kind::Opaque => {
            return Ok(());
        }
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
    layout: &Layout,
    directories: &[(Bytes, Option<u32>)],
    entries: &[Entry],
) -> Result<(), LayerError> {
    for (path, number) in directories {
        let entry = number.and_then(|number| entries.get(usize::try_from(number).ok()?));
        let (metadata, attributes) = match entry {
            Some(entry) => (entry.metadata, &*entry.attributes),
            None => (Metadata::IMPLIED, &[][..]),
        };
        let item = Item::Directory { opaque: layout.is_opaque(path) };
        writer.member(path, item, &metadata, attributes)?;
    }
    for path in layout.whiteouts() {
        writer.member(path, Item::Whiteout, &Metadata { mode: 0, ..Metadata::IMPLIED }, &[])?;
    }
    writer.finish()
}
