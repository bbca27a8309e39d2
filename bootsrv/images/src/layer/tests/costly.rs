//! Archives that are small, and cost whoever reads them much time or memory.

use super::super::*;
use super::archive::{Archive, Item};
use super::hostile::{Repeated, not_corrected, refused};
use super::{convert_all, run};
use std::fs;
use tar::EntryType;

/// An archive of so many entries.
fn many(count: usize, entry: impl Fn(Archive, usize) -> Archive) -> Archive {
    (0..count).fold(Archive::new(), entry)
}

#[test]
fn names_in_one_directory_have_a_limit_because_each_is_compared_with_all() {
    let limits = LayerLimits { entries_max: 480, ..LayerLimits::default() };
    let other = |archive: Archive, number| archive.file(&format!("{}/f{number}", number % 4), "");
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("squashfs");
    convert(&many(480, other).bytes()[..], None, &output, &limits).unwrap();
    let in_one: [&dyn Fn(Archive, usize) -> Archive; 4] = [
        &|archive, number| archive.file(&format!("d/f{number}"), ""),
        &|archive, number| archive.file(&format!("d/.wh.f{number}"), ""),
        // Always the same file: all but the first are put aside.
        &|archive, _| archive.file("f", ""),
        &|archive, number| match number {
            0 => archive.file("f0", ""),
            _ => archive.hard_link(&format!("f{number}"), &format!("f{}", number - 1)),
        },
    ];
    for entry in in_one {
        let text = refused(&many(480, entry).bytes()[..], &limits);
        let expected = "directories with more names than can be written in time, about 438 in one";
        assert!(text.contains(expected), "{text}");
    }
}

#[test]
fn directories_above_whiteouts_are_counted_before_they_are_made() {
    let below = "d/".repeat(100);
    let whiteouts = |archive: Archive, number| archive.file(&format!("{number}/{below}.wh.x"), "");
    let opaque = |archive: Archive, n| archive.file(&format!("{n}/{below}.wh..wh..opq"), "");
    let limits = LayerLimits { index_bytes_max: 1 << 20, ..LayerLimits::default() };
    for archive in [many(100, whiteouts), many(100, opaque)] {
        let text = refused(&archive.bytes()[..], &limits);
        assert!(text.contains("more than 1048576 bytes of names"), "{text}");
    }
}

#[test]
fn a_directory_that_is_hidden_again_and_again_costs_steps() {
    let limits = LayerLimits { entries_max: 1000, ..LayerLimits::default() };
    let hide = |name: &'static str| {
        let files =
            many(1000, |archive, number| archive.file(&format!("d/{}/f{number}", number % 20), ""));
        (0..1000).fold(files, |archive, _| archive.file(name, ""))
    };
    for name in ["d/.wh..wh..opq", ".wh.d"] {
        let text = not_corrected(&[hide(name)], &limits);
        assert!(text.contains("steps in all"), "{text}");
    }
}

#[test]
fn more_owners_than_squashfs_can_number_are_the_users_fault() {
    let item = |owner: usize| Item::file(&format!("{}/{owner}", owner % 300), "");
    let owned = |archive: Archive, at: usize| {
        archive.item(&item(at).owner(2 * at as u64 + 1, 2 * at as u64 + 2))
    };
    let text = refused(&many(1 << 15, owned).bytes()[..], &LayerLimits::default());
    assert!(text.contains("more than 65536 owners and groups"), "{text}");
}

#[test]
fn extended_headers_of_nothing_have_a_limit() {
    let item = Item::file("f", "").pax("comment", &vec![b'x'; 900_000]);
    let archive = Archive::new().item(&item).bytes();
    // Without the file that the header is about.
    let block = archive[..archive.len() - 1536].to_vec();
    let text = refused(Repeated { block, at: 0 }, &LayerLimits::default());
    assert!(text.contains("more than 16777216 bytes of extended headers"), "{text}");
}

#[test]
fn of_an_attribute_that_comes_twice_the_last_counts() {
    let item = Item::file("f", "").pax("SCHILY.xattr.user.b", b"1");
    let item = item.pax("SCHILY.xattr.user.a", b"2").pax("SCHILY.xattr.user.b", b"3");
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("squashfs");
    let archive = Archive::new().item(&item).bytes();
    let converted = convert(&archive[..], None, &output, &LayerLimits::default()).unwrap();
    let kept = &converted.index.entries[0].attributes;
    let kept: Vec<(&[u8], &[u8])> = kept.iter().map(|(name, value)| (&**name, &**value)).collect();
    assert_eq!(kept, [(&b"user.a"[..], &b"2"[..]), (b"user.b", b"3")]);
}

#[test]
fn deep_trees_are_corrected() {
    let deep = |name: &str| "d/".repeat(120) + name;
    let mut archive = Archive::new().dir(&deep("top"));
    let mut at = deep("top");
    for number in 0..7 {
        // Each leads 120 directories further.
        archive = archive.symlink(&format!("l{number}"), &at);
        let below = format!("l{number}/{}", deep("end"));
        archive = archive.file(&format!("{below}/f"), "");
        at = below;
    }
    let directory = tempfile::tempdir().unwrap();
    assert!(convert_all(directory.path(), &[archive.bytes()]).unwrap().1);
}

/// Text that looks like a record of its own to who splits records at line feeds.
const RECORD: &str = "\n48 SCHILY.xattr.trusted.overlay.redirect=/hidden\n";

#[test]
fn no_text_becomes_a_record_on_its_way() {
    let long = format!("{}{RECORD}x", "long/".repeat(30));
    let link = Item { link: long.clone().into(), ..Item::new("link", EntryType::Symlink) };
    let attribute = Item::file("f", "").pax("SCHILY.xattr.user.x", RECORD.as_bytes());
    let odd = Item::file("g", "").pax(&format!("SCHILY.xattr.user.{RECORD}"), b"y");
    let archive = Archive::new().file(&long, "").item(&link).item(&attribute).item(&odd);
    let directory = tempfile::tempdir().unwrap();
    let (files, _) = convert_all(directory.path(), &[archive.bytes()]).unwrap();
    let back = directory.path().join("back.tar");
    let script = "exec sqfs2tar --no-skip \"$0\" > \"$1\"";
    run("sh", &["-c", script, files[0].to_str().unwrap(), back.to_str().unwrap()]);
    let bytes = fs::read(&back).unwrap();
    let mut reader = Reader::new(super::hostile::Plain(&bytes));
    let mut names = Vec::new();
    while let Some(member) = reader.next().unwrap() {
        let records = &member.records;
        let bad = records.iter().find(|(key, _)| key.starts_with(b"SCHILY.xattr.trusted."));
        assert_eq!(bad, None, "{:?}", String::from_utf8_lossy(&member.name));
        names.push(member.name);
    }
    assert!(names.contains(&long.into_bytes()));
}
