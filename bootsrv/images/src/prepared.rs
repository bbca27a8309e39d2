//! An image that is ready for nodes.

use protocol::application::ImageConfig;
use protocol::boot::ArtifactRef;
use protocol::image_reference::{FileReference, ImageReference};
use protocol::names::Digest;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// What a pinned reference's image is kept by; none: it is not pinned.
#[must_use]
pub fn key(image: &ImageReference) -> Option<Digest> {
    match image {
        ImageReference::File(file) => file_key(file),
        ImageReference::Docker(docker) => docker.digest,
    }
}

/// What the image of a file's bytes is kept by. An archive may hold several images, and the same bytes
/// read in another format are another image: tag and format count too. Not the digest of the bytes
/// itself: they could be the manifest of an image in a registry, and who has that does not have the
/// image.
fn file_key(file: &FileReference) -> Option<Digest> {
    let (format, digest) = (file.format.prefix(), file.digest?);
    let tag = file.tag.as_deref().unwrap_or_default();
    Some(Digest(Sha256::digest(format!("{format} {digest} {tag}")).into()))
}

/// An image as squashfs layers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PreparedImage {
    /// What it is kept by ([`key`]): the digest of its manifest, or one made of that of the bytes a user
    /// sent.
    pub digest: Digest,
    /// What it was asked as the last time, pinned.
    pub reference: String,
    /// As the image says it, e.g. `amd64`; none if it does not.
    pub architecture: Option<String>,
    /// Its layers, the lowest first.
    pub layers: Vec<PreparedLayer>,
    /// How it is run.
    pub config: ImageConfig,
    /// When it was ready, after all its layers, nanoseconds since 1970.
    pub prepared_unix_ns: i64,
    /// When a job or a person asked for it last, nanoseconds since 1970.
    pub used_unix_ns: i64,
}

impl PreparedImage {
    /// Whether it was had by this reference's place the last time: of a registry's image the
    /// repository. Another registry may only claim to have what has that digest.
    #[must_use]
    pub fn is_from(&self, image: &ImageReference) -> bool {
        match (self.reference.parse(), image) {
            (Ok(ImageReference::Docker(own)), ImageReference::Docker(asked)) => {
                own.registry == asked.registry && own.repository == asked.repository
            }
            // The bytes themselves are the proof, wherever they lie.
            (Ok(ImageReference::File(_)), ImageReference::File(_)) => true,
            _ => false,
        }
    }
}

/// A layer as a squashfs file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PreparedLayer {
    /// SHA-256 of the layer's uncompressed tar archive (OCI: diff id); of the layer on top that corrects
    /// the others: what it is kept by, from their diff ids.
    pub diff_id: Digest,
    /// The file.
    pub squashfs: ArtifactRef,
    /// Entries of the archive.
    pub entries: u64,
    /// Bytes of the uncompressed archive.
    pub unpacked_bytes: u64,
}
