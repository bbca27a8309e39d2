//! Node images: a root file system as squashfs, and what becomes its first process.
//!
//! Archives are streamed into `mksquashfs` and never unpacked here: owners and devices stay as they
//! are without any right on this machine, and no path can escape.

mod program_lookup;
mod tar_watch;

pub use tar_watch::TarError;

use crate::compression;
use crate::hub::{Hub, HubError};
use crate::program::ProgramError;
use crate::squashfs;
use crate::store::Store;
use crate::unpack::{Limited, Tee};
pub use program_lookup::{Entries, Node, is_program};
use protocol::api::ImageKind;
use protocol::application::ImageConfig;
use protocol::boot::{ArtifactRef, Mount};
use protocol::image_reference::ImageReference;
use protocol::names::ImageName;
use serde::{Deserialize, Deserializer, Serialize};
use std::io::{self, Read};
use std::path::Path;

/// Tried in this order when the caller names no init.
pub const DEFAULT_INITS: [&str; 2] = ["/usr/lib/bare-metal-container/init", "/sbin/init"];
/// Largest root file system, uncompressed, in bytes.
const ROOT_BYTES_MAX: u64 = 128 << 30;

/// An image of the catalog, as it stands in the hub's file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Image {
    /// What users type.
    pub name: ImageName,
    /// What it is for.
    #[serde(default)]
    pub kind: ImageKind,
    /// The root file system: squashfs files, the lowest first.
    #[serde(alias = "squashfs", deserialize_with = "one_or_more")]
    pub layers: Vec<ArtifactRef>,
    /// Where it came from, pinned; none if it was sent as an archive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<ImageReference>,
    /// As the image says it, e.g. `amd64`; none if it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub architecture: Option<String>,
    /// How an application image is run.
    #[serde(default)]
    pub config: ImageConfig,
    /// Program and arguments that become PID 1 of the node; empty for an application image.
    pub init: Vec<String>,
    /// Extra mounts of the image.
    pub mounts: Vec<Mount>,
}

impl Image {
    /// A node image of one layer without anything special.
    #[must_use]
    pub fn node(name: ImageName, squashfs: ArtifactRef, init: Vec<String>) -> Self {
        Self {
            name,
            kind: ImageKind::Node,
            layers: vec![squashfs],
            reference: None,
            architecture: None,
            config: ImageConfig::default(),
            init,
            mounts: Vec::new(),
        }
    }

    /// Bytes of all layers.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.layers.iter().map(|layer| layer.bytes).sum()
    }
}

/// A list, or the one file that images had before they could have layers.
fn one_or_more<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<ArtifactRef>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMore {
        One(ArtifactRef),
        More(Vec<ArtifactRef>),
    }
    Ok(match OneOrMore::deserialize(from)? {
        OneOrMore::One(one) => vec![one],
        OneOrMore::More(more) => more,
    })
}

/// What the importer decides about an image.
#[derive(Debug, Clone, Default)]
pub struct ImageOptions {
    /// Program and arguments that become PID 1; empty: the first of [`DEFAULT_INITS`] it has.
    pub init: Vec<String>,
    /// Mounted on every node that boots it.
    pub mounts: Vec<Mount>,
}

/// Why an image cannot be imported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// The archive is refused.
    #[error("read image archive")]
    Tar(#[source] TarError),
    /// `mksquashfs` failed.
    #[error("make the squashfs file")]
    Squashfs(#[source] ProgramError),
    /// Nothing could become PID 1.
    #[error("the image has no executable {}", candidates.join(" or "))]
    NoInit {
        /// What was looked for.
        candidates: Vec<String>,
    },
    /// The store or the hub failed.
    #[error("store image {name}")]
    Hub {
        /// The image.
        name: ImageName,
        /// Why.
        source: HubError,
    },
}

/// Imports a root file system from a tar archive: plain, gzip, xz or zstd. An
/// existing image of that name is replaced; what it referred to stays until [`Hub::sweep`].
///
/// # Errors
/// When the archive is damaged, hostile or too large, lacks an init, or something cannot be written.
pub fn import_tar(
    hub: &Hub,
    name: ImageName,
    archive: impl Read,
    options: &ImageOptions,
) -> Result<Image, ImageError> {
    let fail = |source| ImageError::Hub { name: name.clone(), source };
    let scratch = hub.store().scratch().map_err(|source| fail(source.into()))?;
    let file = scratch.join("squashfs");
    let init = convert(archive, &file, options)?;
    let put = || {
        let sealed = Store::seal(&file)?;
        let change = hub.change()?;
        let squashfs = change.publish(sealed)?;
        let mounts = options.mounts.clone();
        let image = Image { mounts, ..Image::node(name.clone(), squashfs, init) };
        change.put(&image)?;
        Ok(image)
    };
    put().map_err(fail)
}

/// Writes the squashfs file and gives what becomes PID 1.
fn convert(
    archive: impl Read,
    output: &Path,
    options: &ImageOptions,
) -> Result<Vec<String>, ImageError> {
    let plain = compression::plain(archive).map_err(|error| ImageError::Tar(error.into()))?;
    let mut running = squashfs::from_tar(output).map_err(ImageError::Squashfs)?;
    let Some(writer) = running.input() else {
        return Err(ImageError::Tar(io::Error::from(io::ErrorKind::BrokenPipe).into()));
    };
    let reader = Limited::new(plain, ROOT_BYTES_MAX);
    let mut tee = Tee { reader, writer, writer_failed: false };
    let watched = tar_watch::watch(&mut tee);
    let writer_failed = tee.writer_failed;
    drop(tee);
    match watched {
        Err(error) if !writer_failed => Err(ImageError::Tar(error)),
        // mksquashfs stopped reading: its own message says why.
        result => {
            running.finish().map_err(ImageError::Squashfs)?;
            choose_init(&result.map_err(ImageError::Tar)?, options)
        }
    }
}

fn choose_init(root: &Entries, options: &ImageOptions) -> Result<Vec<String>, ImageError> {
    let candidates: Vec<String> = match options.init.first() {
        Some(program) => vec![program.clone()],
        None => DEFAULT_INITS.map(str::to_owned).into(),
    };
    let found = candidates.iter().find(|candidate| is_program(root, candidate));
    match found {
        Some(_) if !options.init.is_empty() => Ok(options.init.clone()),
        Some(program) => Ok(vec![program.clone()]),
        None => Err(ImageError::NoInit { candidates }),
    }
}

#[cfg(test)]
mod tests;
