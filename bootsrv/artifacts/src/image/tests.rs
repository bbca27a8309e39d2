//! Imports with the real `mksquashfs`: it is part of every bootsrv's machine.

use super::*;
use crate::program::Program;
use std::fs;
use std::time::Duration;
use tar::{Builder, EntryType, Header};

const INIT: &str = "usr/lib/bare-metal-container/init";

fn hub() -> (tempfile::TempDir, Hub) {
    let directory = tempfile::tempdir().unwrap();
    let hub = Hub::open(directory.path()).unwrap();
    (directory, hub)
}

/// An entry whose path is written as it is, which the tar crate's own functions would refuse.
fn entry(builder: &mut Builder<Vec<u8>>, path: &str, kind: EntryType, mode: u32, content: &[u8]) {
    let mut header = Header::new_gnu();
    let name = &mut header.as_old_mut().name;
    name[..path.len()].copy_from_slice(path.as_bytes());
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(64030);
    header.set_gid(0);
    header.set_mtime(1_700_000_000);
    header.set_size(content.len() as u64);
    if kind == EntryType::Char {
        header.set_device_major(1).unwrap();
        header.set_device_minor(3).unwrap();
    }
    header.set_cksum();
    builder.append(&header, content).unwrap();
}

fn image_tar() -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    // mksquashfs gives a directory that has no entry the time of the day.
    for path in ["./", "./dev", "./usr", "./usr/lib", "./usr/lib/bare-metal-container"] {
        entry(&mut builder, path, EntryType::Directory, 0o755, b"");
    }
    entry(&mut builder, "./dev/null", EntryType::Char, 0o666, b"");
    entry(&mut builder, &format!("./{INIT}"), EntryType::Regular, 0o755, b"#!/bin/sh\n");
    builder.into_inner().unwrap()
}

#[test]
fn a_tar_keeps_owners_and_devices_and_gives_the_same_bytes_in_every_compression() {
    let (directory, hub) = hub();
    let tar = image_tar();
    let zstd = zstd::encode_all(&tar[..], 1).unwrap();
    let options = ImageOptions::default();
    let one = import_tar(&hub, "one".parse().unwrap(), &tar[..], &options).unwrap();
    let two = import_tar(&hub, "two".parse().unwrap(), &zstd[..], &options).unwrap();
    assert_eq!(one.layers, two.layers);
    assert_eq!(one.init, [format!("/{INIT}")]);
    assert_eq!(hub.image(&one.name).unwrap().unwrap(), one);

    let listing = directory.path().join("listing");
    let script =
        format!("unsquashfs -lln {:?} >{listing:?}", hub.store().path(&one.layers[0].sha256));
    Program::find("sh", Duration::from_secs(60)).unwrap().args(["-c", &script]).run().unwrap();
    let listing = fs::read_to_string(listing).unwrap();
    assert!(listing.contains("crw-rw-rw- 64030/0"), "{listing}");
    assert!(listing.contains(INIT) && listing.contains("drwxr-xr-x"), "{listing}");
}

#[test]
fn a_packed_directory_with_links_is_imported() {
    let (directory, hub) = hub();
    let root = directory.path().join("root");
    fs::create_dir_all(root.join("usr/lib/systemd")).unwrap();
    fs::write(root.join("usr/lib/systemd/systemd"), "x").unwrap();
    std::os::unix::fs::symlink("usr/lib", root.join("lib")).unwrap();
    fs::create_dir(root.join("sbin")).unwrap();
    std::os::unix::fs::symlink("/lib/systemd/systemd", root.join("sbin/init")).unwrap();
    let import = || {
        let tar = directory.path().join("root.tar");
        crate::node_image::pack(&root, &tar).unwrap();
        let archive = fs::File::open(tar).unwrap();
        import_tar(&hub, "dir".parse().unwrap(), archive, &ImageOptions::default())
    };
    assert!(matches!(import(), Err(ImageError::NoInit { .. })), "not executable");
    let program: fs::Permissions = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(root.join("usr/lib/systemd/systemd"), program).unwrap();
    let image = import().unwrap();
    assert_eq!(image.init, ["/sbin/init"]);
    assert_eq!(import().unwrap().layers, image.layers, "reproducible");
}

#[test]
fn hostile_and_broken_archives_leave_nothing() {
    let (directory, hub) = hub();
    let import = |tar: &[u8], options: &ImageOptions| {
        import_tar(&hub, "bad".parse().unwrap(), tar, options).unwrap_err()
    };
    for path in ["../escape", "/etc/passwd", "usr/../../escape"] {
        let mut builder = Builder::new(Vec::new());
        entry(&mut builder, path, EntryType::Regular, 0o644, b"x");
        let error = import(&builder.into_inner().unwrap(), &ImageOptions::default());
        let refused = matches!(
            error,
            ImageError::Tar(TarError::Archive(crate::unpack::ArchiveError::Escape { .. }))
        );
        assert!(refused, "{path}: {error:?}");
    }
    let tar = image_tar();
    let options = ImageOptions::default();
    assert!(matches!(import(&tar[..1500], &options), ImageError::Tar(_)), "cut");
    assert!(matches!(import(b"", &options), ImageError::Tar(TarError::NotATar)));
    assert!(matches!(import(&[7; 5000], &options), ImageError::Tar(TarError::NotATar)), "other");
    let init = ImageOptions { init: vec!["/bin/missing".into()], mounts: vec![] };
    assert!(matches!(import(&tar, &init), ImageError::NoInit { .. }));
    assert!(hub.images().unwrap().is_empty());
    assert_eq!(fs::read_dir(directory.path().join("artifacts")).unwrap().count(), 0);
}
