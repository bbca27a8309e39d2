//! An OCI image layout in a tar archive (OCI image specification, image-layout.md).

use super::archive::Archive;
use super::section::Section;
use super::{FileImage, FileLayer, Source};
use crate::error::PrepareError;
use crate::registry::manifest::{
    self, CONFIG_BYTES_MAX, Descriptor, Document, MANIFEST_BYTES_MAX, parse_configuration,
    parse_document,
};
use protocol::names::Digest;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;

/// Most indexes that refer to each other.
const INDEXES_MAX: usize = 4;
/// What an entry of the index is called.
const NAME: &str = "org.opencontainers.image.ref.name";
const INDEX_TYPE: &str = "application/vnd.oci.image.index.v1+json";

#[derive(Deserialize)]
struct Index {
    manifests: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    digest: String,
    media_type: String,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

pub(super) fn open(
    section: &Section,
    tag: Option<&str>,
    architecture: &str,
) -> Result<FileImage, PrepareError> {
    let archive = Archive::open(section)?;
    let index = archive
        .file("index.json")
        .map_err(|_| PrepareError::user("the file is no OCI image layout (it has no index.json)"))?
        .read(MANIFEST_BYTES_MAX, "index.json")?;
    let (mut digest, mut media_type) = match choose(&index, tag)? {
        Some(entry) => (digest(&entry.digest)?, entry.media_type),
        // Several without a name: those of several architectures.
        None => match document(&index, INDEX_TYPE, architecture)? {
            Document::Index(descriptor) => (descriptor.digest, descriptor.media_type),
            Document::Image { .. } => return Err(PrepareError::user("its index.json is no index")),
        },
    };
    for _ in 0..INDEXES_MAX {
        let bytes = blob(&archive, &digest, MANIFEST_BYTES_MAX)?;
        match document(&bytes, &media_type, architecture)? {
            Document::Index(descriptor) => {
                (digest, media_type) = (descriptor.digest, descriptor.media_type);
            }
            Document::Image { config, layers } => {
                return image(&archive, &config, &layers, architecture);
            }
        }
    }
    Err(PrepareError::user("the image's indexes refer to each other without end"))
}

fn image(
    archive: &Archive,
    config: &Descriptor,
    layers: &[Descriptor],
    architecture: &str,
) -> Result<FileImage, PrepareError> {
    let config = blob(archive, &config.digest, CONFIG_BYTES_MAX)?;
    let config = parse_configuration(&config, layers.len(), architecture).map_err(user)?;
    let layers = layers.iter().zip(&config.diff_ids).map(|(layer, diff_id)| {
        let section = archive.file(&path(&layer.digest))?.clone();
        let bytes = section.bytes;
        Ok(FileLayer { diff_id: Some(*diff_id), bytes, source: Source::Archive(section) })
    });
    let layers = layers.collect::<Result<_, PrepareError>>()?;
    Ok(FileImage { architecture: config.architecture, config: config.run, layers })
}

/// The entry with that tag, or the only one; `None`: there are several, and none was asked for.
fn choose(index: &[u8], tag: Option<&str>) -> Result<Option<Entry>, PrepareError> {
    let index: Index = serde_json::from_slice(index)
        .map_err(|error| PrepareError::user(format!("its index.json is not valid: {error}")))?;
    let mut entries = index.manifests;
    let name = |entry: &Entry| entry.annotations.get(NAME).cloned();
    let names: Vec<String> = entries.iter().filter_map(name).collect();
    let Some(tag) = tag else {
        return match entries.len() {
            0 => Err(PrepareError::user("the OCI image layout is empty")),
            1 => Ok(entries.pop()),
            _ if names.is_empty() => Ok(None),
            _ => Err(PrepareError::user(format!(
                "it has several images, name one: FILE:TAG with TAG one of {}",
                shown(&names)
            ))),
        };
    };
    // Some tools write the whole reference.
    let is_it = |entry: &Entry| {
        let name = name(entry);
        name.is_some_and(|name| name == tag || name.rsplit(':').next() == Some(tag))
    };
    entries.into_iter().find(is_it).map(Some).ok_or_else(|| match names.is_empty() {
        true => PrepareError::user(format!("it has no tag '{tag}'; it has no tags at all")),
        false => PrepareError::user(format!("it has no tag '{tag}', only {}", shown(&names))),
    })
}

/// Names for a message.
pub(super) fn shown(names: &[String]) -> String {
    let some: Vec<String> =
        names.iter().take(8).map(|name| name.chars().take(100).collect::<String>()).collect();
    let more = if names.len() > some.len() { " …" } else { "" };
    format!("{}{more}", some.join(", ").escape_debug())
}

fn blob(archive: &Archive, digest: &Digest, bytes_max: u64) -> Result<Vec<u8>, PrepareError> {
    let content = archive.file(&path(digest))?.read(bytes_max, "manifest or configuration")?;
    match Digest(Sha256::digest(&content).into()) == *digest {
        true => Ok(content),
        false => Err(PrepareError::user(format!(
            "the image is damaged: its part sha256:{digest} has another content"
        ))),
    }
}

fn path(digest: &Digest) -> String {
    format!("blobs/sha256/{digest}")
}

fn document(bytes: &[u8], said: &str, architecture: &str) -> Result<Document, PrepareError> {
    parse_document(bytes, said, architecture).map_err(user)
}

fn digest(text: &str) -> Result<Digest, PrepareError> {
    manifest::parse_digest(text).map_err(user)
}

pub(super) fn user(failure: crate::registry::failure::Failure) -> PrepareError {
    PrepareError { blame: failure.blame, reason: failure.text }
}
