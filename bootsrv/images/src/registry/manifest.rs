//! Manifests, indexes and image configurations: what OCI's image specification and Docker's schema 2
//! say, as far as it is needed to prepare an image. Parses and decides; fetches nothing.

use super::failure::{Failure, one_line};
use protocol::application::ImageConfig;
use protocol::names::Digest;
use serde::Deserialize;

/// Longest manifest or index, in bytes; the distribution specification has registries take 4 MiB.
pub(crate) const MANIFEST_BYTES_MAX: u64 = 4 << 20;
/// Longest image configuration, in bytes.
pub(crate) const CONFIG_BYTES_MAX: u64 = 8 << 20;
/// Most bytes that a configuration may say about how an image is run: environment, entrypoint and
/// working directory. Large ones have a few KiB; every node of a job keeps them in memory, and Linux
/// takes 128 KiB for one variable.
const RUN_BYTES_MAX: usize = 128 << 10;

/// What is asked for: schema 1 is not among it.
pub(crate) const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, \
    application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.docker.distribution.manifest.v2+json";

/// A reference from one document to another, or to a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Descriptor {
    pub(crate) digest: Digest,
    /// Bytes.
    pub(crate) size: u64,
    pub(crate) media_type: String,
}

/// A document a reference leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Document {
    /// Of several architectures: the manifest of the one that is wanted.
    Index(Descriptor),
    /// One image; layers lowest first.
    Image { config: Descriptor, layers: Vec<Descriptor> },
}

/// What an image configuration says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Configuration {
    pub(crate) architecture: Option<String>,
    /// One for each layer, lowest first.
    pub(crate) diff_ids: Vec<Digest>,
    pub(crate) run: ImageConfig,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawDocument {
    schema_version: Option<u32>,
    media_type: Option<String>,
    manifests: Option<Vec<RawDescriptor>>,
    config: Option<RawDescriptor>,
    layers: Option<Vec<RawDescriptor>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawDescriptor {
    media_type: String,
    digest: String,
    size: u64,
    platform: Option<Platform>,
}

#[derive(Deserialize)]
struct Platform {
    architecture: String,
    os: String,
    variant: Option<String>,
}

#[derive(Deserialize)]
struct RawConfiguration {
    architecture: Option<String>,
    os: Option<String>,
    config: Option<RawRun>,
    rootfs: Option<RootFs>,
}

#[derive(Deserialize)]
struct RootFs {
    diff_ids: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawRun {
    env: Option<Vec<String>>,
    working_dir: Option<String>,
    entrypoint: Option<Vec<String>>,
}

impl RawDescriptor {
    fn checked(self) -> Result<Descriptor, Failure> {
        let digest = parse_digest(&self.digest)?;
        Ok(Descriptor { digest, size: self.size, media_type: one_line(&self.media_type) })
    }
}

/// `sha256:…`.
pub(crate) fn parse_digest(text: &str) -> Result<Digest, Failure> {
    let digest = text.strip_prefix("sha256:").and_then(|hex| hex.parse().ok());
    digest.ok_or_else(|| {
        Failure::user(format!("it names content by {:?}; only sha256 is supported", one_line(text)))
    })
}

fn malformed(what: &str, error: &serde_json::Error) -> Failure {
    Failure::user(format!("its {what} is not valid: {}", one_line(&error.to_string())))
}

/// Parses a manifest or an index. `said` is its media type as the registry or the descriptor has
/// it, `architecture` the one that is wanted of an index.
pub(crate) fn parse_document(
    bytes: &[u8],
    said: &str,
    architecture: &str,
) -> Result<Document, Failure> {
    let raw: RawDocument = serde_json::from_slice(bytes).map_err(|e| malformed("manifest", &e))?;
    if raw.schema_version == Some(1) || said.contains("manifest.v1+") && said.contains("docker") {
        return Err(Failure::user(
            "it is of Docker's schema 1, which names no content for its layers; push it again with \
             a tool of this decade",
        ));
    }
    if raw.schema_version != Some(2) {
        return Err(Failure::user("its manifest says no schemaVersion 2"));
    }
    // One document must not be read as two things by two readers.
    match (raw.manifests, raw.config, raw.layers) {
        (Some(manifests), None, None) => choose(manifests, architecture).map(Document::Index),
        (None, Some(config), Some(layers)) => image(config, layers),
        _ => {
            let media_type = raw.media_type.as_deref().unwrap_or(said);
            Err(Failure::user(format!("{:?} is not a container image", one_line(media_type))))
        }
    }
}

/// The manifest of a multi-architecture index for one architecture: the plain variant before others,
/// and the first of equals.
fn choose(manifests: Vec<RawDescriptor>, architecture: &str) -> Result<Descriptor, Failure> {
    let mut there: Vec<String> = Vec::new();
    let mut best: Option<RawDescriptor> = None;
    for manifest in manifests {
        let Some(platform) = &manifest.platform else {
            // An index of one image may leave it out.
            best = best.or(Some(manifest));
            continue;
        };
        there.push(one_line(&format!("{}/{}", platform.os, platform.architecture)));
        if platform.os != "linux" || platform.architecture != architecture {
            continue;
        }
        let rank = |one: &RawDescriptor| {
            one.platform.as_ref().map_or(2, |platform| u8::from(platform.variant.is_some()))
        };
        if best.as_ref().is_none_or(|best| rank(&manifest) < rank(best)) {
            best = Some(manifest);
        }
    }
    // Attestations are listed as architecture "unknown".
    there.retain(|platform| !platform.ends_with("unknown"));
    there.dedup();
    let missing = || {
        let there = one_line(&there.join(", "));
        Failure::user(format!("there is none for linux/{architecture}, only for {there}"))
    };
    best.ok_or_else(missing)?.checked()
}

fn image(config: RawDescriptor, layers: Vec<RawDescriptor>) -> Result<Document, Failure> {
    match config.media_type.as_str() {
        "application/vnd.oci.image.config.v1+json"
        | "application/vnd.docker.container.image.v1+json" => {}
        other => {
            let other = one_line(other);
            return Err(Failure::user(format!(
                "it is not a container image (its configuration is of type {other:?})"
            )));
        }
    }
    let layers = layers.into_iter().map(|layer| {
        check_layer_type(&layer.media_type)?;
        layer.checked()
    });
    Ok(Document::Image {
        layers: layers.collect::<Result<_, Failure>>()?,
        config: config.checked()?,
    })
}

/// Layers are tar archives, plain or packed with gzip or zstd; the bytes themselves say which.
fn check_layer_type(media_type: &str) -> Result<(), Failure> {
    if media_type.contains(".foreign.") || media_type.contains(".nondistributable.") {
        return Err(Failure::user(format!(
            "it has a layer that its registry may not hand out ({:?}, as Windows images have); \
             such layers are not fetched from elsewhere",
            one_line(media_type)
        )));
    }
    match media_type {
        "application/vnd.oci.image.layer.v1.tar"
        | "application/vnd.oci.image.layer.v1.tar+gzip"
        | "application/vnd.oci.image.layer.v1.tar+zstd"
        | "application/vnd.docker.image.rootfs.diff.tar"
        | "application/vnd.docker.image.rootfs.diff.tar.gzip"
        | "application/vnd.docker.image.rootfs.diff.tar.zstd" => Ok(()),
        other => {
            let other = one_line(other);
            Err(Failure::user(format!("it has a layer of the unknown type {other:?}")))
        }
    }
}

/// Parses an image configuration for an image of `layers` layers.
pub(crate) fn parse_configuration(
    bytes: &[u8],
    layers: usize,
    architecture: &str,
) -> Result<Configuration, Failure> {
    let raw: RawConfiguration =
        serde_json::from_slice(bytes).map_err(|error| malformed("configuration", &error))?;
    let named = |text: Option<String>| text.filter(|text| !text.is_empty());
    let (os, built_for) = (named(raw.os), named(raw.architecture));
    let wrong = built_for.as_deref().is_some_and(|one| one != architecture);
    if wrong || os.as_deref().is_some_and(|os| os != "linux") {
        let (os, built_for) = (os.unwrap_or_default(), built_for.unwrap_or_default());
        let built_for = one_line(&format!("{os}/{built_for}"));
        return Err(Failure::user(format!(
            "it is for {built_for}, nodes are linux/{architecture}"
        )));
    }
    let diff_ids = raw.rootfs.map_or_else(Vec::new, |rootfs| rootfs.diff_ids);
    if diff_ids.len() != layers {
        return Err(Failure::user(format!(
            "its configuration speaks of {} layers, its manifest has {layers}",
            diff_ids.len()
        )));
    }
    let diff_ids = diff_ids.iter().map(|text| parse_digest(text)).collect::<Result<_, _>>()?;
    let run = raw.config.map_or_else(ImageConfig::default, |run| ImageConfig {
        environment: run.env.unwrap_or_default(),
        working_directory: named(run.working_dir),
        entrypoint: run.entrypoint.unwrap_or_default(),
    });
    check_run(&run)?;
    Ok(Configuration { architecture: built_for, diff_ids, run })
}

/// What no process could be started with is refused here, where the user is told, and not on the nodes.
fn check_run(run: &ImageConfig) -> Result<(), Failure> {
    let texts = || run.environment.iter().chain(&run.entrypoint).chain(&run.working_directory);
    if texts().any(|text| text.contains('\0')) {
        return Err(Failure::user(
            "its configuration has a NUL byte in its environment, entrypoint or working directory",
        ));
    }
    // Each text costs its end and a pointer as well, as execve(2) counts.
    let bytes: usize = texts().map(|text| text.len() + 1 + size_of::<usize>()).sum();
    if bytes > RUN_BYTES_MAX {
        return Err(Failure::user(format!(
            "its configuration has {bytes} bytes of environment, entrypoint and working directory; \
             at most {RUN_BYTES_MAX} can be used"
        )));
    }
    Ok(())
}
