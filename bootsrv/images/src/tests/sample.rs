//! Small images, made by hand.

use flate2::Compression;
use flate2::write::GzEncoder;
use protocol::names::Digest;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

pub(super) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

pub(super) fn digest(bytes: &[u8]) -> Digest {
    Digest(Sha256::digest(bytes).into())
}

/// An image: its manifest, and all blobs by `sha256:…`.
#[derive(Debug, Clone)]
pub(super) struct Sample {
    pub(super) manifest: Vec<u8>,
    pub(super) blobs: BTreeMap<String, Vec<u8>>,
    /// The packed layers, the lowest first.
    pub(super) layers: Vec<Vec<u8>>,
}

/// A layer with one file of bytes that do not compress.
pub(super) fn layer(name: &str, bytes: usize) -> Vec<u8> {
    let mut state = digest(name.as_bytes());
    let mut content = Vec::new();
    while content.len() < bytes {
        state = digest(&state.0);
        content.extend_from_slice(&state.0);
    }
    content.truncate(bytes);
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_size(bytes as u64);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    archive.append_data(&mut header, name, content.as_slice()).unwrap();
    archive.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

impl Sample {
    /// Of these uncompressed layers.
    pub(super) fn new(archives: &[Vec<u8>]) -> Self {
        let layers: Vec<Vec<u8>> = archives.iter().map(|archive| gzip(archive)).collect();
        let name = |bytes: &[u8]| format!("sha256:{}", digest(bytes));
        let diff_ids: Vec<String> = archives.iter().map(|archive| name(archive)).collect();
        let config = json!({
            "architecture": "amd64", "os": "linux",
            "config": {"Env": ["COLOUR=blue"], "WorkingDir": "/work", "Entrypoint": ["/run.sh"]},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        });
        let config = serde_json::to_vec(&config).unwrap();
        let one = |media_type: &str, bytes: &[u8]| json!({"mediaType": media_type, "digest": name(bytes), "size": bytes.len()});
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST,
            "config": one("application/vnd.oci.image.config.v1+json", &config),
            "layers": layers.iter().map(|layer| one(GZIP, layer)).collect::<Vec<Value>>(),
        });
        let mut blobs: BTreeMap<_, _> =
            layers.iter().map(|layer| (name(layer), layer.clone())).collect();
        blobs.insert(name(&config), config);
        Self { manifest: serde_json::to_vec(&manifest).unwrap(), blobs, layers }
    }

    pub(super) fn one_layer(bytes: usize) -> Self {
        Self::new(&[layer("file", bytes)])
    }

    pub(super) fn digest(&self) -> Digest {
        digest(&self.manifest)
    }

    /// `blobs/sha256:…` of a layer.
    pub(super) fn layer_path(&self, index: usize) -> String {
        format!("blobs/sha256:{}", digest(&self.layers[index]))
    }

    /// The same with one value of the manifest changed.
    pub(super) fn with_manifest(mut self, change: impl FnOnce(&mut Value)) -> Self {
        let mut manifest = serde_json::from_slice(&self.manifest).unwrap();
        change(&mut manifest);
        self.manifest = serde_json::to_vec(&manifest).unwrap();
        self
    }

    /// As an OCI image layout with one tag.
    pub(super) fn save(&self, directory: &Path, tag: &str) {
        let blobs = directory.join("blobs/sha256");
        std::fs::create_dir_all(&blobs).unwrap();
        for (name, bytes) in &self.blobs {
            std::fs::write(blobs.join(name.trim_start_matches("sha256:")), bytes).unwrap();
        }
        std::fs::write(blobs.join(self.digest().to_string()), &self.manifest).unwrap();
        std::fs::write(directory.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        let index = json!({"schemaVersion": 2, "manifests": [{
            "mediaType": MANIFEST, "digest": format!("sha256:{}", self.digest()),
            "size": self.manifest.len(),
            "annotations": {"org.opencontainers.image.ref.name": tag},
        }]});
        std::fs::write(directory.join("index.json"), index.to_string()).unwrap();
    }
}
