//! Images: what jobs enter, what nodes boot, and the files and logins that go with them.

use crate::application::ImageConfig;
use crate::boot::{ArtifactRef, Mount};
use crate::image_reference::ImageReference;
use crate::names::{Digest, ImageName, JobId};
use crate::registry_credentials::Credential;
use serde::{Deserialize, Serialize};

/// What opens a registry: the entry of `~/.docker/config.json` for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegistryCredential {
    /// `host[:port]`, as in [`crate::image_reference::DockerReference::registry`]: it is shown to no
    /// other registry.
    pub registry: String,
    /// What is shown to it.
    pub login: Credential,
}

/// Bytes that a user sent for a reference to a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadView {
    /// Their SHA-256.
    pub sha256: Digest,
    /// How many.
    pub bytes: u64,
}

/// `bmc image pull`: prepare an image before a job asks for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PullRequest {
    /// Which; a file's is pinned, its bytes were sent before.
    pub reference: ImageReference,
    /// As in [`super::CheckRequest::credential`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
}

/// A prepared image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApplicationImageView {
    /// What it is kept by.
    pub digest: Digest,
    /// What it was asked as the last time, pinned.
    pub reference: String,
    /// As the image says it, e.g. `amd64`; none if it does not.
    pub architecture: Option<String>,
    /// Its layers, the lowest first.
    pub layers: Vec<LayerView>,
    /// Bytes of all layers as nodes fetch them.
    pub bytes: u64,
    /// How it is run.
    pub config: ImageConfig,
    /// When it was prepared, nanoseconds since 1970.
    pub prepared_unix_ns: i64,
    /// When it was asked for last, nanoseconds since 1970.
    pub used_unix_ns: i64,
    /// Names of the site's catalog that mean it.
    pub names: Vec<ImageName>,
    /// Jobs that use it now.
    pub used_by: Vec<JobId>,
}

/// A layer of a prepared image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerView {
    /// SHA-256 of the uncompressed archive (OCI: diff id).
    pub diff_id: Digest,
    /// The squashfs file it became.
    pub squashfs: ArtifactRef,
    /// Entries of the archive.
    pub entries: u64,
    /// Bytes of the uncompressed archive.
    pub unpacked_bytes: u64,
}

/// Body of `POST /v1/application-images/gc`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CollectRequest {
    /// Only say what would go.
    pub dry_run: bool,
    /// Images not asked for in so many days; none: the site's rule by age and size.
    pub older_than_days: Option<u32>,
}

/// What went, or would go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Collected {
    /// The images, the longest unused first.
    pub images: Vec<CollectedImage>,
    /// Bytes of disk that are free now.
    pub bytes: u64,
}

/// An image that went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CollectedImage {
    /// What it was kept by.
    pub digest: Digest,
    /// What it was asked as the last time, pinned.
    pub reference: String,
}

/// What an image of the catalog is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImageKind {
    /// Nodes boot it: it has its own init and slurmd.
    #[default]
    Node,
    /// Tasks enter it.
    Application,
}

/// `POST /v1/images/{name}`: gives a prepared image a name of the catalog.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageImport {
    /// The image, pinned and prepared.
    pub reference: ImageReference,
    /// What the name is for; a node image needs an init and slurmd.
    pub kind: ImageKind,
}

/// An image of the catalog.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageView {
    /// What users type.
    pub name: ImageName,
    /// What it is for.
    #[serde(default)]
    pub kind: ImageKind,
    /// Where it came from, pinned; none if it was sent as an archive.
    #[serde(default)]
    pub reference: Option<String>,
    /// As the image says it, e.g. `amd64`; none if it does not.
    #[serde(default)]
    pub architecture: Option<String>,
    /// Its squashfs files, the lowest first.
    pub layers: Vec<ArtifactRef>,
    /// Bytes of all layers.
    pub bytes: u64,
    /// What becomes PID 1; empty for an application image.
    pub init: Vec<String>,
    /// Extra mounts of the image.
    pub mounts: Vec<Mount>,
    /// Jobs that use it now.
    pub used_by: Vec<JobId>,
}
