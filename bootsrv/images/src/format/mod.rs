//! Images in one file: an OCI image layout or `docker save`'s archive, SIF, squashfs, or the tar of a
//! directory. Nothing is unpacked: a layer is read where it stands in the file.

mod archive;
mod docker;
mod oci;
mod section;
mod sif;
#[cfg(test)]
mod tests;
mod tree;

use crate::error::PrepareError;
use protocol::application::ImageConfig;
use protocol::image_reference::FileFormat;
use protocol::names::Digest;
use section::{Section, Uploaded};
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

/// An image found in a file.
#[derive(Debug)]
pub struct FileImage {
    /// As the image says it, e.g. `amd64`.
    pub architecture: Option<String>,
    /// How it is run; the default for formats that do not say it.
    pub config: ImageConfig,
    /// The lowest first.
    pub layers: Vec<FileLayer>,
}

/// A layer of a [`FileImage`].
#[derive(Debug)]
pub struct FileLayer {
    /// Digest of the uncompressed archive; none if the image does not say it.
    pub diff_id: Option<Digest>,
    /// Bytes in the file, packed as they are.
    pub bytes: u64,
    source: Source,
}

#[derive(Debug)]
enum Source {
    /// A tar archive, perhaps compressed.
    Archive(Section),
    /// A squashfs file system.
    Squashfs(Section),
}

impl FileLayer {
    /// Where in the file it begins.
    #[must_use]
    pub fn offset(&self) -> u64 {
        let (Source::Archive(section) | Source::Squashfs(section)) = &self.source;
        section.offset
    }

    /// Its archive from the start, plain or compressed.
    ///
    /// # Errors
    /// When the file or a program cannot be used.
    pub fn open(&self) -> Result<Box<dyn Read + Send>, PrepareError> {
        match &self.source {
            Source::Archive(section) => Ok(Box::new(section.reader())),
            Source::Squashfs(section) => Ok(Box::new(tree::archive_of(section)?)),
        }
    }
}

/// Finds the image in an uploaded file. `tag` names one of several; `architecture`, in OCI's words, is
/// chosen where the file has several.
///
/// # Errors
/// When the file is no such image, or has none of that tag or architecture.
pub fn open(
    format: FileFormat,
    path: &Path,
    tag: Option<&str>,
    architecture: &str,
) -> Result<FileImage, PrepareError> {
    let file = File::open(path)
        .map_err(|error| PrepareError::site(format!("cannot read the uploaded image: {error}")))?;
    let directory = path.parent().unwrap_or_else(|| Path::new("/")).to_owned();
    let section = Section::whole(Arc::new(Uploaded { file, directory }))?;
    match format {
        FileFormat::Oci | FileFormat::OciArchive => oci::open(&section, tag, architecture),
        FileFormat::DockerArchive => docker::open(&section, tag, architecture),
        FileFormat::Sif => sif::open(&section),
        FileFormat::Squashfs => tree::squashfs(&section),
        FileFormat::Dir => tree::directory(&section),
    }
}

impl FileImage {
    /// A root file system without a word about how it is run.
    fn single(architecture: Option<String>, source: Source, bytes: u64) -> Self {
        let layer = FileLayer { diff_id: None, bytes, source };
        Self { architecture, config: ImageConfig::default(), layers: vec![layer] }
    }
}
