//! Disks that are full, or become so.

use super::interrupted::ranges;
use super::sample::{Sample, layer};
use super::scripted::{Scripted, from_sample};
use super::{blob_file, open, open_with, pull};
use crate::layer::LayerLimits;
use crate::prepare_room::AboveFloor;
use crate::settings::RegistrySettings;
use crate::{Blame, Images, Settings, Shelf};
use artifacts::store::Store;
use std::io;
use std::path::Path;
use std::process::Command;

fn may_mount() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        println!("skipped: only root can mount a small file system");
    }
    is_root
}

/// A small file system of its own, gone with the test.
struct SmallDisk<'a>(&'a Path);

impl SmallDisk<'_> {
    fn mount(&self, options: &str) {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(self.0);
        assert!(mount.status().unwrap().success());
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        // A thread may still end what it does there.
        assert!(Command::new("umount").arg("--lazy").arg(self.0).status().unwrap().success());
    }
}

#[tokio::test]
async fn a_full_disk_is_told_and_the_next_try_goes_on() {
    if !may_mount() {
        return;
    }
    let sample = Sample::one_layer(500_000);
    let server = Scripted::serve(sample.clone(), |_| None);
    let directory = tempfile::tempdir().unwrap();
    let blobs_directory = directory.path().join("blobs");
    std::fs::create_dir(&blobs_directory).unwrap();
    let disk = SmallDisk(&blobs_directory);
    disk.mount("size=128k");
    let images = open(directory.path(), &server.name());
    let error = pull(&images, &server.image()).await.unwrap_err();
    assert!(error.reason.contains("No space left on device"), "{error}");
    assert_eq!(error.blame, Blame::Site);
    disk.mount("remount,size=1m");
    pull(&images, &server.image()).await.unwrap();
    assert_eq!(ranges(&server, &sample), [0, 128 << 10]);
}

/// Images on a disk, of which so many bytes stay free.
fn reserving(directory: &Path, server: &Scripted, disk_reserve_bytes: u64) -> Images {
    let insecure = RegistrySettings { insecure: true, ..RegistrySettings::default() };
    let registry = [(server.name(), insecure)].into();
    // One at a time: nothing is converted before it is fetched.
    let one = Settings { parallel_conversions: 1, ..Settings::default() };
    open_with(directory, Settings { registry, disk_reserve_bytes, ..one })
}

#[tokio::test]
async fn what_fills_the_disk_meanwhile_ends_a_pull_before_it_is_full() {
    if !may_mount() {
        return;
    }
    let sample = Sample::one_layer(1_000_000);
    let directory = tempfile::tempdir().unwrap();
    let disk = SmallDisk(directory.path());
    disk.mount("size=8m");
    let (path, copy) = (sample.layer_path(0), sample.clone());
    let other = directory.path().join("other");
    let server = Scripted::serve(sample.clone(), move |request| {
        if request.path.contains(&path) {
            std::fs::write(&other, vec![7; 6 << 20]).unwrap();
        }
        Some(from_sample(&copy, request))
    });
    let images = reserving(directory.path(), &server, 3 << 20);
    let error = pull(&images, &server.image()).await.unwrap_err();
    assert!(error.reason.contains("the boot server's disk is full"), "{error}");
    assert_eq!(error.blame, Blame::Site);
    let fetched = std::fs::metadata(blob_file(directory.path(), &server, &sample)).unwrap().len();
    assert!(fetched < 1_000_000, "{fetched}");
}

#[tokio::test]
async fn a_size_that_is_only_said_takes_no_room_from_others() {
    if !may_mount() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let disk = SmallDisk(directory.path());
    disk.mount("size=8m");
    let sample = Sample::one_layer(1000)
        .with_manifest(|manifest| manifest["layers"][0]["size"] = (1 << 30).into());
    let server = Scripted::serve(sample.clone(), |_| None);
    let images = reserving(directory.path(), &server, 1 << 20);
    let (sender, made) = std::sync::mpsc::channel();
    images.on_full_disk(move |missing| sender.send(missing).unwrap());
    let error = pull(&images, &server.image()).await.unwrap_err();
    assert!(!error.reason.contains("disk is full"), "{error}");
    assert!(made.try_recv().is_err(), "images were removed for nothing");
}

#[test]
fn a_conversion_ends_before_the_disk_is_full() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path().join("artifacts")).unwrap();
    let shelf = Shelf::open(directory.path(), store).unwrap();
    let server = Scripted::serve(Sample::one_layer(1), |_| None);
    let images = reserving(directory.path(), &server, u64::MAX);
    let packed = Sample::new(&[layer("a", 100_000)]).layers.remove(0);
    let archive = AboveFloor { archive: io::Cursor::new(packed), floor: images.disk().floor() };
    let error = shelf.convert_layer(archive, None, &LayerLimits::default()).unwrap_err();
    assert!(error.reason.contains("the boot server's disk is full"), "{error}");
    assert_eq!(error.blame, Blame::Site);
}
