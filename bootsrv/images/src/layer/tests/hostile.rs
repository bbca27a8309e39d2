//! Archives that somebody made to do harm: refused with a sentence, or harmless.

use super::super::*;
use super::archive::{Archive, Item};
use super::{convert_all, digest, same_as_umoci};
use std::io::{self, Read, Write};
use tar::EntryType;

pub(super) fn refused(archive: impl Read + Send, limits: &LayerLimits) -> String {
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("squashfs");
    convert(archive, None, &output, limits).unwrap_err().to_string()
}

fn refused_by_default(archive: &Archive) -> String {
    refused(&archive.bytes()[..], &LayerLimits::default())
}

#[test]
fn no_name_leaves_the_image() {
    let layer = Archive::new()
        .file("../../escape1", "x")
        .file("/escape2", "x")
        .file("a/../../escape3", "x")
        .symlink("up", "../../../../../tmp")
        .file("up/escape4", "x")
        .symlink("absolute", "/tmp")
        .file("absolute/escape5", "x")
        .hard_link("shadow", "../../../../escape1");
    same_as_umoci(&[layer]);
}

#[test]
fn devices_are_refused_but_where_jobs_do_not_see_them() {
    let node = Item::new("home/disk", EntryType::Block);
    let text = refused_by_default(&Archive::new().item(&node));
    assert!(text.contains("'home/disk' is a device node"), "{text}");
    // A device where a lower layer has a file: the file must not come through.
    let below = Archive::new().dir("dev").file("dev/x", "x");
    same_as_umoci(&[below, Archive::new().item(&Item::new("dev/x", EntryType::Char))]);
}

#[test]
fn a_hard_link_to_nothing_and_a_path_below_a_file_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    for (archive, words) in [
        (Archive::new().hard_link("a", "../etc/shadow"), "'etc/shadow', which does not exist"),
        (Archive::new().dir("d").hard_link("a", "d"), "which is a directory"),
        (Archive::new().file("f", "x").file("f/x", "x"), "below something that is no directory"),
        (Archive::new().symlink("l", "l").file("l/x", "x"), "without end"),
    ] {
        let text = convert_all(directory.path(), &[archive.bytes()]).unwrap_err().to_string();
        assert!(text.contains(words), "{text}");
    }
}

#[test]
fn names_that_look_like_something_else_are_names() {
    let odd =
        ["-h", "-da", "a*b", "[c]", "new\nline", " blank ", "back\\slash", "\u{7f}\u{1b}[31m"];
    let below = odd.iter().fold(Archive::new(), |archive, name| archive.file(name, name));
    // Links to files of a lower layer: the correction has them, with their contents read by a program.
    let links = odd.iter().enumerate();
    let links = links.fold(Archive::new(), |archive, (number, name)| {
        archive.hard_link(&format!("link{number}"), name)
    });
    assert!(same_as_umoci(&[below, links]));
}

#[test]
fn attributes_of_impossible_names_are_refused() {
    for name in ["user.", "user.a\0b", &format!("user.{}", "x".repeat(251))] {
        let item = Item::file("f", "").pax(&format!("SCHILY.xattr.{name}"), b"x");
        let text = refused_by_default(&Archive::new().item(&item));
        assert!(text.contains("'f' has an extended attribute whose name"), "{text}");
    }
}

#[test]
fn attributes_that_overlayfs_believes_in_are_not_taken_over() {
    let layer = Archive::new()
        .item(
            &Item::new("d", EntryType::Directory)
                .pax("SCHILY.xattr.trusted.overlay.opaque", b"y")
                .pax("SCHILY.xattr.trusted.overlay.redirect", b"/etc")
                .pax("SCHILY.xattr.security.selinux", b"x")
                .pax("SCHILY.xattr.user.kept", b"y"),
        )
        .bytes();
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("squashfs");
    let converted = convert(&layer[..], None, &output, &LayerLimits::default()).unwrap();
    let names: Vec<_> =
        converted.index.entries[0].attributes.iter().map(|(name, _)| name.to_vec()).collect();
    assert_eq!(names, [b"user.kept".to_vec()]);
}

#[test]
fn other_odd_entries_are_refused() {
    let root = Item { link: b"/etc".to_vec(), ..Item::new("./", EntryType::Symlink) };
    for (archive, words) in [
        (Archive::new().item(&root), "would replace the root directory"),
        (Archive::new().file("a/.wh...", ""), "whiteout that names nothing"),
        (Archive::new().file(".wh.aside/1", ""), "directory whose name begins with .wh."),
        (Archive::new().file(&"x/".repeat(200), ""), "below more than 128 directories"),
        (Archive::new().item(&Item::new("odd", EntryType::new(b'Z'))), "unknown kind"),
        (Archive::new().raw(&[b'x'; 512]), "no tar archive"),
        (
            Archive::new()
                .item(&Item { size: Some(1 << 40), ..Item::new("x", EntryType::XHeader) }),
            "extended header has more than",
        ),
    ] {
        let text = refused_by_default(&archive);
        assert!(text.contains(words), "{text}");
    }
}

#[test]
fn a_layer_that_stops_or_lies_is_refused() {
    let archive = Archive::new().file("a", &"x".repeat(100_000)).bytes();
    let limits = LayerLimits::default();
    for end in [100, 700, 50_000, archive.len() - 1024] {
        let text = refused(&archive[..end], &limits);
        assert!(text.contains("ends in the middle"), "{end}: {text}");
    }
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&archive).unwrap();
    let gzip = gzip.finish().unwrap();
    let text = refused(&gzip[..gzip.len() / 2], &limits);
    assert!(text.contains("ends in the middle"), "{text}");

    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("squashfs");
    let other = digest(b"other");
    let text = convert(&archive[..], Some(&other), &output, &limits).unwrap_err().to_string();
    assert!(text.contains(&format!("but the image says sha256:{other}")), "{text}");
}

/// The start of a member of so many zeros, and the zeros.
fn zeros(bytes: u64) -> impl Read + Send {
    let item = Item { size: Some(bytes), ..Item::new("zeros", EntryType::Regular) };
    let header = Archive::new().item(&item).bytes()[..512].to_vec();
    io::Cursor::new(header).chain(io::repeat(0).take(bytes)).chain(io::repeat(0).take(1024))
}

#[test]
fn bombs_are_refused_at_their_limit() {
    // Small limits, because unoptimised code unpacks slowly; the bomb is refused long before its end.
    let limits = LayerLimits { ratio_bytes_min: 1 << 20, ..LayerLimits::default() };
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    io::copy(&mut zeros(4 << 20), &mut gzip).unwrap();
    let text = refused(&gzip.finish().unwrap()[..], &limits);
    assert!(text.contains("more than 100 times its size, the site's limit"), "{text}");

    let small = LayerLimits { file_bytes_max: 1 << 20, ..limits };
    let text = refused(zeros(1 << 30), &small);
    assert!(text.contains("'zeros' has more than 1048576 bytes"), "{text}");
    let small = LayerLimits { unpacked_bytes_max: 1 << 20, ..limits };
    assert!(refused(zeros(1 << 30), &small).contains("more than 1048576 bytes of files"));

    // Holes take no space in the archive.
    let hole = Item::file("hole", "")
        .pax("GNU.sparse.size", b"10000000000")
        .pax("GNU.sparse.offset", b"10000000000")
        .pax("GNU.sparse.numbytes", b"0");
    let text = refused_by_default(&Archive::new().item(&hole));
    assert!(text.contains("more than 100 times its size, the site's limit"), "{text}");
}

/// The same block again and again.
pub(super) struct Repeated {
    pub(super) block: Vec<u8>,
    pub(super) at: usize,
}

impl Read for Repeated {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let block = &self.block[self.at..];
        let length = block.len().min(buffer.len());
        buffer[..length].copy_from_slice(&block[..length]);
        self.at = (self.at + length) % self.block.len();
        Ok(length)
    }
}

#[test]
fn entries_without_end_are_refused() {
    // The same name each time: only the count matters here.
    let block = Archive::new().file("x", "").bytes()[..512].to_vec();
    let limits = LayerLimits { entries_max: 300, ..LayerLimits::default() };
    let text = refused(Repeated { block, at: 0 }, &limits);
    assert_eq!(text, "the layer has more than 300 entries, the site's limit");
}

#[test]
fn memory_for_names_and_attributes_has_a_limit() {
    let large = Item::file("f", "").pax("SCHILY.xattr.user.x", &vec![b'x'; 70_000]);
    let text = refused_by_default(&Archive::new().item(&large));
    assert!(text.contains("more than 65536 bytes of extended attributes"), "{text}");

    let limits = LayerLimits { index_bytes_max: 100_000, ..LayerLimits::default() };
    let many = |item: &dyn Fn(usize) -> Item| {
        (0..100).fold(Archive::new(), |archive, number| archive.item(&item(number))).bytes()
    };
    let attributes =
        |number| Item::file(&format!("f{number}"), "").pax("SCHILY.xattr.user.x", &[b'x'; 2000]);
    let deep = |number| Item::file(&format!("{number}/{}f", "d/".repeat(100)), "");
    for archive in [many(&attributes), many(&deep)] {
        let text = refused(&archive[..], &limits);
        assert!(text.contains("more than 100000 bytes of names"), "{text}");
    }
}

/// What the correction of these layers says with small limits.
pub(super) fn not_corrected(layers: &[Archive], limits: &LayerLimits) -> String {
    let directory = tempfile::tempdir().unwrap();
    let stacked = layers.iter().enumerate().map(|(number, layer)| {
        let squashfs = directory.path().join(number.to_string());
        let converted = convert(&layer.bytes()[..], None, &squashfs, &LayerLimits::default());
        stack::StackedLayer { index: converted.unwrap().index, squashfs }
    });
    let stacked: Vec<_> = stacked.collect();
    stack::correct(&stacked, &directory.path().join("top"), limits).unwrap_err().to_string()
}

#[test]
fn links_do_not_multiply_what_a_few_entries_cost() {
    let target = |number| format!("{number}/{}", "d/".repeat(500));
    let far = (0..10).fold(Archive::new(), |archive, number| {
        let link = format!("l{number}");
        archive.symlink(&link, &target(number)).file(&format!("{link}/x"), "")
    });
    let layers = [Archive::new().file("a", ""), far];
    let few = LayerLimits { entries_max: 50, ..LayerLimits::default() };
    let text = not_corrected(&layers, &few);
    assert!(text.contains("more than 150 files in all"), "{text}");
    let short = LayerLimits { index_bytes_max: 100_000, ..LayerLimits::default() };
    let text = not_corrected(&layers, &short);
    assert!(text.contains("more than 200000 bytes of names with those below it"), "{text}");

    // Each link is a way of two thousand steps, which lead nowhere.
    let around = (0..100)
        .fold(Archive::new().dir("d").symlink("l", &"d/../".repeat(400)), |a, n| {
            a.file(&format!("l/x{n}"), "")
        });
    let few = LayerLimits { entries_max: 70, ..LayerLimits::default() };
    let text = not_corrected(&[around], &few);
    assert!(text.contains("steps in all"), "{text}");
}

#[test]
fn a_size_beyond_all_files_is_no_overflow() {
    let item = Item { size: Some(u64::MAX), ..Item::new("f", EntryType::Continuous) };
    let bytes = Archive::new().item(&item).bytes();
    let mut reader = Reader::new(Plain(&bytes));
    assert_eq!(reader.next().unwrap().unwrap().bytes, u64::MAX);
    assert!(reader.next().is_err());
}

#[test]
fn random_damage_is_an_error_and_no_panic() {
    let archive = Archive::new().dir("d").file("d/f", "hello").symlink("l", "d").bytes();
    let mut state = 7_u64;
    for _ in 0..300 {
        let mut bytes = archive.clone();
        for _ in 0..4 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let at = (state >> 33) as usize % bytes.len();
            bytes[at] ^= state.to_le_bytes()[2];
        }
        let mut reader = Reader::new(Plain(&bytes));
        while let Ok(Some(mut member)) = reader.next() {
            drop(entry::of(&member, &LayerLimits::default()));
            drop(io::copy(&mut reader.content(&mut member), &mut io::sink()));
        }
    }
}

pub(super) struct Plain<'a>(pub(super) &'a [u8]);

impl Read for Plain<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Skip for Plain<'_> {}
