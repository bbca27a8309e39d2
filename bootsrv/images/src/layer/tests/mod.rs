//! Layers with the real `tar2sqfs`, the real overlayfs and the real umoci: the tree a node shows must
//! be the one that `umoci unpack` makes. They need root, loop devices and the package umoci.

mod archive;
mod costly;
mod hostile;
mod listing;
mod semantics;

use super::stack::{self, StackedLayer};
use super::*;
use archive::Archive;
use protocol::names::Digest;
use sha2::{Digest as _, Sha256};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Layers converted below a directory, the lowest first, and the correction.
fn convert_all(directory: &Path, layers: &[Vec<u8>]) -> Result<(Vec<PathBuf>, bool), LayerError> {
    let limits = LayerLimits::default();
    let mut stacked = Vec::new();
    for (number, archive) in layers.iter().enumerate() {
        let squashfs = directory.join(format!("{number}.squashfs"));
        let converted = convert(&archive[..], Some(&digest(archive)), &squashfs, &limits)?;
        stacked.push(StackedLayer { index: converted.index, squashfs });
    }
    let correction = directory.join("correction.squashfs");
    let corrected = stack::correct(&stacked, &correction, &limits)?;
    let mut files: Vec<PathBuf> = stacked.into_iter().map(|layer| layer.squashfs).collect();
    files.extend(corrected.map(|_| correction));
    Ok((files, corrected.is_some()))
}

fn digest(bytes: &[u8]) -> Digest {
    Digest(Sha256::digest(bytes).into())
}

/// Runs a program of the test's own machine.
fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output();
    let output =
        output.unwrap_or_else(|error| panic!("{program} is needed for this test: {error}"));
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {words}");
}

/// Writes an OCI image layout with one image `t`, and lets umoci unpack it.
fn unpack_with_umoci(directory: &Path, layers: &[Vec<u8>]) -> PathBuf {
    let layout = directory.join("layout");
    fs::create_dir_all(layout.join("blobs/sha256")).unwrap();
    let blob = |content: &[u8]| {
        let digest = digest(content);
        fs::write(layout.join(format!("blobs/sha256/{digest}")), content).unwrap();
        (format!("sha256:{digest}"), content.len())
    };
    let (diff_ids, descriptors): (Vec<_>, Vec<_>) = layers
        .iter()
        .map(|layer| {
            let (digest, size) = blob(layer);
            let media_type = "application/vnd.oci.image.layer.v1.tar";
            let part = serde_json::json!({"mediaType": media_type, "digest": digest, "size": size});
            (digest, part)
        })
        .unzip();
    let config = serde_json::json!({
        "architecture": "amd64", "os": "linux", "config": {},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    });
    let (config, config_size) = blob(config.to_string().as_bytes());
    let manifest = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": config, "size": config_size},
        "layers": descriptors,
    });
    let (manifest, manifest_size) = blob(manifest.to_string().as_bytes());
    let index = serde_json::json!({"schemaVersion": 2, "manifests": [{
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "digest": manifest, "size": manifest_size,
        "annotations": {"org.opencontainers.image.ref.name": "t"},
    }]});
    fs::write(layout.join("index.json"), index.to_string()).unwrap();
    fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    let bundle = directory.join("bundle");
    let image = format!("{}:t", layout.display());
    run("umoci", &["unpack", "--image", &image, &bundle.display().to_string()]);
    bundle.join("rootfs")
}

/// Asserts that overlayfs shows the tree umoci makes; gives whether a correction was needed.
fn same_as_umoci(layers: &[Archive]) -> bool {
    let layers: Vec<Vec<u8>> = layers.iter().map(Archive::bytes).collect();
    same(&layers, &layers)
}

/// The same, where umoci does not understand what we do and gets it said in another way.
fn same(layers: &[Vec<u8>], umocis: &[Vec<u8>]) -> bool {
    assert!(rustix::process::geteuid().is_root(), "this test mounts: run it as root");
    let directory = tempfile::tempdir().unwrap();
    let before = listing::now();
    let (files, corrected) = convert_all(directory.path(), layers).unwrap();
    let wanted = listing::tree(&unpack_with_umoci(directory.path(), umocis), before);
    let shown = listing::mounted(directory.path(), &files, before);
    for (path, wanted) in &wanted {
        let shown = shown.get(path).unwrap_or_else(|| panic!("{path:?} is missing"));
        let (time, rest) = wanted.split_once(' ').unwrap();
        match time {
            listing::NOW => assert_eq!(shown.split_once(' ').unwrap().1, rest, "{path:?}"),
            _ => assert_eq!(shown, wanted, "{path:?}"),
        }
    }
    for path in shown.keys() {
        assert!(wanted.contains_key(path), "{path:?} is not in umoci's tree");
    }
    corrected
}
