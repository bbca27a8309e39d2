//! Files as skopeo and mksquashfs make them, and SIF by hand.

use super::*;
use crate::layer::{LayerLimits, convert};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output();
    let output =
        output.unwrap_or_else(|error| panic!("{program} is needed for this test: {error}"));
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {words}");
}

/// A tree of two files, and an OCI image layout of it that umoci made.
fn samples() -> (tempfile::TempDir, PathBuf, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let tree = directory.path().join("tree");
    fs::create_dir_all(tree.join("etc")).unwrap();
    fs::write(tree.join("etc/hello"), "hello").unwrap();
    let layout = directory.path().join("layout");
    let image = format!("{}:v1", layout.display());
    run("umoci", &["init", "--layout", layout.to_str().unwrap()]);
    run("umoci", &["new", "--image", &image]);
    let source = tree.join("etc");
    run("umoci", &["insert", "--image", &image, source.to_str().unwrap(), "/etc"]);
    run("umoci", &["insert", "--image", &image, source.to_str().unwrap(), "/more"]);
    let arguments = ["config", "--image", &image, "--architecture", "amd64"];
    run("umoci", &[&arguments[..], &["--config.env", "A=b", "--config.workingdir", "/w"]].concat());
    (directory, tree, layout)
}

/// Converts every layer, and gives the paths of all.
fn paths(image: &FileImage) -> Vec<String> {
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("squashfs");
    let mut paths = Vec::new();
    for layer in &image.layers {
        let archive = layer.open().unwrap();
        let limits = LayerLimits::default();
        let converted = convert(archive, layer.diff_id.as_ref(), &output, &limits).unwrap();
        let entries = converted.index.entries.iter();
        paths.extend(entries.map(|entry| String::from_utf8_lossy(&entry.path).into_owned()));
    }
    paths
}

#[test]
fn archives_of_skopeo_are_read_in_place() {
    let (directory, _, layout) = samples();
    let source = format!("oci:{}:v1", layout.display());
    let path = directory.path().join("archive");
    let target = path.display();
    for (format, target) in [
        (FileFormat::OciArchive, format!("oci-archive:{target}:v1")),
        (FileFormat::DockerArchive, format!("docker-archive:{target}:r.io/a/b:v1")),
    ] {
        if path.exists() {
            fs::remove_file(&path).unwrap();
        }
        run("skopeo", &["--insecure-policy", "copy", &source, &target]);
        let tags =
            [None, Some(if format == FileFormat::OciArchive { "v1" } else { "r.io/a/b:v1" })];
        for tag in tags {
            let image = open(format, &path, tag, "amd64").unwrap();
            assert_eq!(image.config.environment.last().unwrap(), "A=b");
            assert_eq!(image.config.working_directory.as_deref(), Some("/w"));
            assert_eq!(image.layers.len(), 2);
            let paths = paths(&image);
            assert!(paths.contains(&"etc/hello".into()) && paths.contains(&"more/hello".into()));
        }
        for (tag, architecture, words) in
            [(Some("v2"), "amd64", "'v2'"), (None, "arm64", "nodes are linux/arm64")]
        {
            let error = open(format, &path, tag, architecture).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
        // A cut file is told from a whole one.
        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..whole.len() / 2]).unwrap();
        let error = open(format, &path, None, "amd64").unwrap_err().to_string();
        assert!(error.contains("ends in the middle"), "{error}");
        run("gzip", &["--force", path.to_str().unwrap()]);
        let error =
            open(format, &path.with_extension("gz"), None, "amd64").unwrap_err().to_string();
        assert!(error.ends_with("compressed with gzip; unpack it first: gunzip FILE"), "{error}");
    }
}

#[test]
fn a_layout_sent_as_a_tar_is_an_archive() {
    let (directory, _, layout) = samples();
    let path = directory.path().join("layout.tar");
    let (layout, archive) = (layout.to_str().unwrap(), path.to_str().unwrap());
    run("tar", &["--create", "--file", archive, "--directory", layout, "."]);
    let image = open(FileFormat::Oci, &path, Some("v1"), "amd64").unwrap();
    assert!(paths(&image).contains(&"etc/hello".into()));
}

#[test]
fn trees_come_as_tar_squashfs_and_sif() {
    let (directory, tree, _) = samples();
    let at = |name: &str| directory.path().join(name);
    let (tree, tar, squashfs) = (tree.to_str().unwrap(), at("tar"), at("squashfs"));
    run("tar", &["--create", "--file", tar.to_str().unwrap(), "--directory", tree, "."]);
    run("mksquashfs", &[tree, squashfs.to_str().unwrap(), "-quiet", "-no-progress"]);
    let sif = at("sif");
    fs::write(&sif, make_sif(&fs::read(&squashfs).unwrap(), 1)).unwrap();
    for (format, path) in
        [(FileFormat::Dir, &tar), (FileFormat::Squashfs, &squashfs), (FileFormat::Sif, &sif)]
    {
        let image = open(format, path, None, "amd64").unwrap();
        let mut paths = paths(&image);
        paths.sort();
        assert_eq!(paths, ["", "etc", "etc/hello"], "{format:?}");
    }
    assert_eq!(open(FileFormat::Sif, &sif, None, "amd64").unwrap().architecture.unwrap(), "amd64");

    fs::write(&sif, make_sif(b"", 5)).unwrap();
    for (format, path, words) in [
        (FileFormat::Sif, &sif, "encrypted"),
        (FileFormat::Sif, &tar, "no SIF image"),
        (FileFormat::Squashfs, &tar, "no squashfs"),
        (FileFormat::OciArchive, &tar, "no OCI image layout"),
        (FileFormat::DockerArchive, &tar, "no Docker archive"),
        (FileFormat::OciArchive, &squashfs, "no tar archive"),
    ] {
        let error = open(format, path, None, "amd64").unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn archives_of_too_much_to_keep_in_memory_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("archive");
    let refused = |count: usize, name: &dyn Fn(usize) -> String| {
        let mut archive = tar::Builder::new(File::create(&path).unwrap());
        for number in 0..count {
            let mut header = tar::Header::new_gnu();
            header.set_size(0);
            archive.append_data(&mut header, name(number), &b""[..]).unwrap();
        }
        archive.finish().unwrap();
        open(FileFormat::OciArchive, &path, None, "amd64").unwrap_err().reason
    };
    let reason = refused(1, &|_| "x/".repeat(300) + "x");
    assert!(reason.contains("name of more than 512 bytes"), "{reason}");
    let reason = refused(1001, &|_| "always the same".into());
    assert!(reason.contains("more than 1000 files"), "{reason}");
    let reason = refused(900, &|number| format!("{}{number}", "x/".repeat(200)));
    assert!(reason.contains("more than 262144 bytes of names"), "{reason}");
}

#[test]
fn a_damaged_squashfs_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("squashfs");
    fs::write(&path, [&b"hsqs"[..], &[7; 500]].concat()).unwrap();
    let image = open(FileFormat::Squashfs, &path, None, "amd64").unwrap();
    let output = directory.path().join("out");
    let archive = image.layers[0].open().unwrap();
    let error = convert(archive, None, &output, &LayerLimits::default()).unwrap_err().to_string();
    assert!(error.contains("sqfs2tar"), "{error}");
}

/// A SIF file with one primary partition.
fn make_sif(squashfs: &[u8], filesystem: u32) -> Vec<u8> {
    let mut file = vec![0; 128 + 2 * 585];
    file[32..42].copy_from_slice(b"SIF_MAGIC\0");
    file[88..96].copy_from_slice(&2_u64.to_le_bytes());
    file[96..104].copy_from_slice(&128_u64.to_le_bytes());
    let at = 128 + 585;
    let offset = file.len() as u64;
    file[at..at + 4].copy_from_slice(&0x4004_u32.to_le_bytes());
    file[at + 4] = 1;
    file[at + 17..at + 25].copy_from_slice(&offset.to_le_bytes());
    file[at + 25..at + 33].copy_from_slice(&(squashfs.len() as u64).to_le_bytes());
    file[at + 201..at + 205].copy_from_slice(&filesystem.to_le_bytes());
    file[at + 205..at + 209].copy_from_slice(&2_u32.to_le_bytes());
    file[at + 209..at + 211].copy_from_slice(b"02");
    [&file[..], squashfs].concat()
}
