//! What the OCI image specification asks of layers (layer.md), and what archives of real tools have.

use super::archive::{Archive, Item};
use super::{same, same_as_umoci};
use tar::EntryType;

fn base() -> Archive {
    Archive::new()
        .item(&Item::new("./", EntryType::Directory).mode(0o755))
        .dir("etc")
        .file("etc/passwd", "root")
        .file("etc/group", "wheel")
        .file("etc/motd", "hello")
        .item(&Item::new("var", EntryType::Directory).mode(0o1775).owner(7, 8))
        .item(&Item::new("var/lib", EntryType::Directory).mode(0o700).owner(9, 9))
        .file("var/lib/data", "1")
        .dir("run")
        .symlink("var/run", "/run")
        .symlink("lib", "usr/lib")
        .dir("usr")
        .dir("usr/lib")
        .file("usr/lib/libc.so", "c")
}

#[test]
fn one_layer_is_taken_as_it_is() {
    let capability = b"\x01\0\0\x02\0\n\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let long = "d/".repeat(90) + &"n".repeat(200);
    let layer = base()
        .item(&Item::file("bin/su", "x").mode(0o4755).owner(0, 5))
        .item(&Item::file("bin/ping", "x").pax("SCHILY.xattr.security.capability", capability))
        .item(&Item::file("a b\\c*[d]\u{e4}\n-", "x").pax("SCHILY.xattr.user.k", b"v\n=\0\xff"))
        .item(&Item::file("big", "x").owner(3_000_000, 4_000_000_000))
        .item(&Item::new("pipe", EntryType::Fifo))
        .item(&Item::new("dev/null", EntryType::Char))
        .file(&long, "deep")
        .symlink("long", &"x".repeat(3000))
        .hard_link("etc/group2", "etc/group")
        .hard_link("etc/group3", "/etc/group2")
        .item(&Item::file("times", "x").pax("mtime", b"12345.678").pax("uid", b"77"));
    same_as_umoci(&[layer]);
}

#[test]
fn ordinary_layers_need_no_correction() {
    let two = Archive::new().dir("etc").file("etc/.wh.group", "").file("etc/new", "n");
    let three =
        Archive::new().dir("etc").file("etc/passwd", "user").hard_link("etc/p", "etc/passwd");
    assert!(!same_as_umoci(&[base(), two, three]));
}

#[test]
fn whiteouts_hide_what_is_below_and_nothing_else() {
    let two = Archive::new()
        .dir("etc")
        .file("etc/passwd", "new")
        .file("etc/.wh.passwd", "")
        .file("etc/.wh.nothing", "")
        .file("no/where/.wh.x", "")
        .file(".wh.usr", "")
        .file("usr/new", "n");
    same_as_umoci(&[base(), two]);
    let late = Archive::new().file("var/lib/new", "n").file("var/.wh..wh..opq", "");
    same_as_umoci(&[base(), late]);
    let early = Archive::new().file("var/.wh..wh..opq", "").file("var/lib/new", "n");
    same_as_umoci(&[base(), early.clone(), base(), early]);
    let root = Archive::new().file("etc/new", "n").file(".wh..wh..opq", "");
    same_as_umoci(&[base(), root]);
}

#[test]
fn kinds_change_between_layers() {
    let two = Archive::new()
        .file("var", "a file")
        .dir("lib")
        .file("lib/own", "o")
        .symlink("usr", "/etc")
        .dir("etc/motd")
        .file("etc/motd/x", "x");
    same_as_umoci(&[base(), two.clone()]);
    same_as_umoci(&[base(), two, base()]);
}

#[test]
fn a_directory_that_a_layer_only_implies_keeps_its_owner_and_mode() {
    let two = Archive::new().file("var/lib/new", "n");
    assert!(same_as_umoci(&[base(), two]));
}

#[test]
fn links_in_a_path_lead_where_they_lead_inside_the_image() {
    let two = Archive::new()
        .file("var/run/pid", "1")
        .file("lib/libm.so", "m")
        .file("var/run/../up", "u")
        .file("lib/.wh.libc.so", "");
    assert!(same_as_umoci(&[base(), two]));
    let loops = Archive::new().symlink("out", "../../../..").file("out/etc/passwd", "inside");
    assert!(same_as_umoci(&[base(), loops]));
    let within = Archive::new().dir("real").symlink("link", "real").file("link/x", "x");
    assert!(same_as_umoci(&[within]));
}

#[test]
fn hard_links_reach_into_lower_layers() {
    let two = Archive::new()
        .hard_link("etc/passwd2", "etc/passwd")
        .hard_link("lib2.so", "lib/libc.so")
        .hard_link("run2", "var/run");
    let three =
        Archive::new().dir("etc").file("etc/passwd", "new").hard_link("etc/p3", "etc/passwd2");
    assert!(same_as_umoci(&[base(), two.clone()]));
    assert!(same_as_umoci(&[base(), two.clone(), three]));
    let removed = Archive::new().file("etc/.wh.passwd", "");
    assert!(same_as_umoci(&[base(), two, removed]));
}

#[test]
fn the_last_entry_of_a_path_counts() {
    let layer = base()
        .file("etc/passwd", "second")
        .item(&Item::new("etc", EntryType::Directory).mode(0o711).owner(3, 4))
        .hard_link("etc/link", "etc/passwd")
        .file("etc/passwd", "third")
        .dir("run/x")
        .file("run/x/y", "y")
        .file("run/x", "no directory any more")
        .symlink("etc/group", "passwd");
    assert!(same_as_umoci(std::slice::from_ref(&layer)));
    assert!(same_as_umoci(&[base(), layer, base()]));
}

#[test]
fn long_names_of_gnu_tar_are_whole() {
    let path = "g/".repeat(70) + &"n".repeat(150);
    let target = "t".repeat(400);
    let long = |kind: u8, text: &str| {
        let content = [text.as_bytes(), b"\0"].concat();
        Item { content, ..Item::new("././@LongLink", EntryType::new(kind)) }
    };
    let layer = Archive::new().item(&long(b'L', &path)).file("short", "x");
    let layer = layer.item(&long(b'K', &target)).symlink("l", "cut");
    same_as_umoci(&[layer]);
}

#[test]
fn files_with_holes_are_filled() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sparse");
    let file = std::fs::File::create(&path).unwrap();
    for piece in 0..40_u64 {
        std::os::unix::fs::FileExt::write_all_at(&file, b"data", piece * 300_000).unwrap();
    }
    file.set_len(13_000_000).unwrap();
    let tar = |form: &[&str]| {
        let output = std::process::Command::new("tar")
            .args(["--create", "--file=-", "--directory"])
            .arg(directory.path())
            .args(form)
            .arg("sparse")
            .output()
            .unwrap();
        assert!(output.status.success());
        output.stdout
    };
    // umoci itself knows holes in extended headers only.
    let whole = [tar(&["--format=gnu"])];
    for form in [
        &["--sparse", "--format=gnu"][..],
        &["--sparse", "--format=pax", "--sparse-version=0.0"],
        &["--sparse", "--format=pax", "--sparse-version=0.1"],
        &["--sparse", "--format=pax", "--sparse-version=1.0"],
    ] {
        let sparse = tar(form);
        assert!(sparse.len() < 1_000_000);
        same(&[sparse], &whole);
    }
}
