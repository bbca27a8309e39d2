//! What `--bmc-image` and `bmc image` take: a name of the site's catalog, or a reference to an image
//! somewhere else, written as skopeo and Apptainer users know it (`docker://`, `oci:`, `sif:` …).

use crate::names::{Digest, ImageName, InvalidName};
use crate::registry_host::{DEFAULT_REGISTRY, canonical_registry, is_registry};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Longest reference, in bytes: a registry's host name (253), a repository (255 by the OCI
/// distribution specification), a tag (128) and a digest fit.
pub const REFERENCE_BYTES_MAX: usize = 1024;
/// Longest reference without its digest, in bytes: whatever can be read can be pinned, and read again.
const UNPINNED_BYTES_MAX: usize = REFERENCE_BYTES_MAX - 72;

/// The value of `--bmc-image`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ImageChoice {
    /// A name of the site's catalog: a node image or an application image.
    Catalog(ImageName),
    /// An application image from somewhere else.
    Reference(ImageReference),
}

/// An image that is not named in the site's catalog.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ImageReference {
    /// `docker://[registry/]name[:tag|@sha256:…]`.
    Docker(DockerReference),
    /// A file or directory where the command is typed; its bytes are sent to bootsrv.
    File(FileReference),
}

/// An image in a registry.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DockerReference {
    /// `host[:port]` in the one spelling of [`canonical_registry`]; `docker.io` where none is written.
    pub registry: String,
    /// Repository; `library/` is put before a single name at `docker.io`, as Docker does.
    pub repository: String,
    /// Tag; none where only a digest is written.
    pub tag: Option<String>,
    /// Manifest digest; decides over the tag.
    pub digest: Option<Digest>,
}

/// An image in a file or a directory.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FileReference {
    /// What it holds.
    pub format: FileFormat,
    /// Absolute path.
    pub path: String,
    /// Tag inside the archive or the layout; none: its only image.
    pub tag: Option<String>,
    /// SHA-256 of the bytes that were sent to bootsrv; none: not sent yet.
    pub digest: Option<Digest>,
}

/// Formats of [`FileReference`]; a directory is sent as the tar archive of its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FileFormat {
    /// `oci:DIR[:tag]`: an OCI image layout.
    Oci,
    /// `oci-archive:FILE[:tag]`: an OCI image layout in a tar archive.
    OciArchive,
    /// `docker-archive:FILE[:name:tag]`: what `docker save` writes.
    DockerArchive,
    /// `sif:FILE`: Singularity's and Apptainer's format.
    Sif,
    /// `squashfs:FILE`: a root file system.
    Squashfs,
    /// `dir:DIR`: a root file system.
    Dir,
}

impl FileFormat {
    /// All formats.
    pub const ALL: [Self; 6] =
        [Self::OciArchive, Self::Oci, Self::DockerArchive, Self::Sif, Self::Squashfs, Self::Dir];

    /// The word before the colon.
    #[must_use]
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Oci => "oci",
            Self::OciArchive => "oci-archive",
            Self::DockerArchive => "docker-archive",
            Self::Sif => "sif",
            Self::Squashfs => "squashfs",
            Self::Dir => "dir",
        }
    }

    /// Whether the path names a directory.
    #[must_use]
    pub fn is_directory(self) -> bool {
        matches!(self, Self::Oci | Self::Dir)
    }

    fn has_tags(self) -> bool {
        matches!(self, Self::Oci | Self::OciArchive | Self::DockerArchive)
    }
}

impl ImageReference {
    /// The content it is pinned to: a manifest's digest, or that of the bytes sent.
    #[must_use]
    pub fn digest(&self) -> Option<&Digest> {
        match self {
            Self::Docker(docker) => docker.digest.as_ref(),
            Self::File(file) => file.digest.as_ref(),
        }
    }

    /// The same image, pinned to that content.
    #[must_use]
    pub fn pinned(mut self, digest: Digest) -> Self {
        match &mut self {
            Self::Docker(docker) => docker.digest = Some(digest),
            Self::File(file) => file.digest = Some(digest),
        }
        self
    }
}

const DIGEST_MARK: &str = "@sha256:";

fn refuse<T>(text: &str, rule: &'static str) -> Result<T, InvalidName> {
    Err(InvalidName::new("image reference", text, rule))
}

/// Takes `@sha256:…` off the end.
fn split_digest(text: &str) -> Result<(&str, Option<Digest>), InvalidName> {
    if let Some((rest, digest)) = text.rsplit_once(DIGEST_MARK) {
        return Ok((rest, Some(digest.parse()?)));
    }
    let other = text.rsplit_once('@').is_some_and(|(_, digest)| digest.contains(':'));
    if other { refuse(text, "only sha256 digests are supported") } else { Ok((text, None)) }
}

impl FromStr for DockerReference {
    type Err = InvalidName;

    /// What follows `docker://`.
    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let (named, digest) = split_digest(text)?;
        let (path, tag) = match named.rsplit_once(':') {
            // A colon before a slash belongs to the registry's port.
            Some((path, tag)) if !tag.contains('/') => (path, Some(tag)),
            _ => (named, None),
        };
        let (registry, repository) = match path.split_once('/') {
            Some((host, rest)) if is_registry(host) => (host, rest),
            _ => (DEFAULT_REGISTRY, path),
        };
        let Some(registry) = canonical_registry(registry) else {
            return refuse(text, "the registry is a host name, with :port if need be");
        };
        let part = |part: &str| {
            part.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
                && part.ends_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
                && part
                    .chars()
                    .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c))
        };
        // Docker's own, before the length is looked at: it counts, and is read again.
        let single = registry == DEFAULT_REGISTRY && !repository.contains('/');
        let repository =
            if single { format!("library/{repository}") } else { repository.to_owned() };
        if repository.len() > 255 || !repository.split('/').all(part) {
            return refuse(text, "a repository has lower-case letters, digits, '.', '_', '-', '/'");
        }
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return refuse(text, "a tag has 1 to 128 letters, digits, '.', '_' and '-'");
        }
        let tag = tag.map(str::to_owned);
        let tag = if tag.is_none() && digest.is_none() { Some("latest".to_owned()) } else { tag };
        Ok(Self { registry, repository, tag, digest })
    }
}

/// A tag by the OCI distribution specification.
fn is_tag(tag: &str) -> bool {
    (1..=128).contains(&tag.len())
        && tag.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && tag.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
}

fn parse_file(format: FileFormat, text: &str) -> Result<FileReference, InvalidName> {
    let (named, digest) = split_digest(text)?;
    let (path, tag) = match named.split_once(':') {
        Some((path, tag)) if format.has_tags() => (path, Some(tag.to_owned())),
        _ => (named, None),
    };
    if !path.starts_with('/') || path.split('/').any(|part| part == "..") {
        return refuse(text, "the path is absolute and has no '..'");
    }
    Ok(FileReference { format, path: path.to_owned(), tag, digest })
}

impl FromStr for ImageReference {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let unpinned = text.rsplit_once(DIGEST_MARK).map_or(text, |(unpinned, _)| unpinned);
        if text.len() > REFERENCE_BYTES_MAX || unpinned.len() > UNPINNED_BYTES_MAX {
            return refuse(text, "it has at most 952 bytes before its digest");
        }
        if text.chars().any(|c| c.is_control() || c == ',') {
            return refuse(text, "it has no control characters and no comma");
        }
        if let Some(rest) = text.strip_prefix("docker://") {
            return Ok(Self::Docker(rest.parse()?));
        }
        let (prefix, rest) = text.split_once(':').unwrap_or((text, ""));
        match FileFormat::ALL.into_iter().find(|format| format.prefix() == prefix) {
            Some(format) => Ok(Self::File(parse_file(format, rest)?)),
            None => refuse(
                text,
                "it begins with docker://, oci:, oci-archive:, docker-archive:, sif:, squashfs: or dir:",
            ),
        }
    }
}

impl FromStr for ImageChoice {
    type Err = InvalidName;

    /// Anything with a colon, a slash or an `@` is a reference.
    fn from_str(text: &str) -> Result<Self, InvalidName> {
        if text.contains([':', '/', '@']) {
            Ok(Self::Reference(text.parse()?))
        } else {
            Ok(Self::Catalog(text.parse()?))
        }
    }
}

fn write_digest(f: &mut fmt::Formatter<'_>, digest: Option<&Digest>) -> fmt::Result {
    digest.map_or(Ok(()), |digest| write!(f, "{DIGEST_MARK}{digest}"))
}

impl fmt::Display for DockerReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        write_digest(f, self.digest.as_ref())
    }
}

impl fmt::Display for ImageReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Docker(docker) => write!(f, "docker://{docker}"),
            Self::File(file) => {
                write!(f, "{}:{}", file.format.prefix(), file.path)?;
                if let Some(tag) = &file.tag {
                    write!(f, ":{tag}")?;
                }
                write_digest(f, file.digest.as_ref())
            }
        }
    }
}

impl fmt::Display for ImageChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Catalog(name) => name.fmt(f),
            Self::Reference(reference) => reference.fmt(f),
        }
    }
}

macro_rules! text_form {
    ($type:ident) => {
        impl TryFrom<String> for $type {
            type Error = InvalidName;
            fn try_from(text: String) -> Result<Self, InvalidName> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(value: $type) -> Self {
                value.to_string()
            }
        }
    };
}

text_form!(ImageChoice);
text_form!(ImageReference);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_completed_as_docker_completes_them() {
        let digest = "0123456789abcdef".repeat(4);
        for (typed, whole) in [
            ("docker://ubuntu", "docker://docker.io/library/ubuntu:latest".to_owned()),
            ("docker://a/b:1", "docker://docker.io/a/b:1".to_owned()),
            ("docker://localhost/x", "docker://localhost/x:latest".to_owned()),
            ("docker://10.0.0.1:5000/x/y:v1", "docker://10.0.0.1:5000/x/y:v1".to_owned()),
            ("docker://registry:5000/x", "docker://registry:5000/x:latest".to_owned()),
            ("docker://registry:443/x", "docker://registry:443/x:latest".to_owned()),
            ("docker://[::1]:5000/x", "docker://[::1]:5000/x:latest".to_owned()),
            ("docker://[::1]/x", "docker://[::1]/x:latest".to_owned()),
            ("docker://R.IO.:0443/x", "docker://r.io/x:latest".to_owned()),
            ("docker://Index.docker.io/x", "docker://docker.io/library/x:latest".to_owned()),
            (
                &*format!("docker://r.io/x@sha256:{digest}"),
                format!("docker://r.io/x@sha256:{digest}"),
            ),
            ("oci:/a/b:v1", "oci:/a/b:v1".to_owned()),
            ("sif:/a/b:c.sif", "sif:/a/b:c.sif".to_owned()),
        ] {
            let choice: ImageChoice = typed.parse().unwrap();
            assert_eq!(choice.to_string(), whole);
            assert_eq!(whole.parse::<ImageChoice>().unwrap(), choice, "{typed}");
        }
        assert!(matches!("debian12".parse(), Ok(ImageChoice::Catalog(_))));
    }

    #[test]
    fn a_pin_is_part_of_the_text() {
        let digest: Digest = "ab".repeat(32).parse().unwrap();
        for text in ["docker://r.io/x:1", "dir:/a/b"] {
            let pinned = text.parse::<ImageReference>().unwrap().pinned(digest);
            assert_eq!(pinned.to_string(), format!("{text}@sha256:{digest}"));
            assert_eq!(
                pinned.to_string().parse::<ImageReference>().unwrap().digest(),
                Some(&digest)
            );
        }
    }

    #[test]
    fn what_can_be_read_can_be_pinned_and_read_again() {
        let digest: Digest = "ab".repeat(32).parse().unwrap();
        let host = format!("{}io", "abcdefghi.".repeat(25));
        let (repository, tag) = ("a".repeat(255), "t".repeat(128));
        let port = format!("{}5000", "0".repeat(250));
        for longest in [
            format!("docker://{host}:{port}/{repository}:{tag}"),
            format!("docker://{}:{tag}", "a".repeat(247)),
            format!("sif:/{}", "a".repeat(UNPINNED_BYTES_MAX - 5)),
        ] {
            let read: ImageReference = longest.parse().unwrap();
            for image in [read.clone(), read.pinned(digest)] {
                let text = image.to_string();
                assert!(text.len() <= REFERENCE_BYTES_MAX, "{text}");
                assert_eq!(text.parse::<ImageReference>().unwrap(), image);
            }
        }
        for long in [
            format!("sif:/{}", "a".repeat(UNPINNED_BYTES_MAX - 4)),
            format!("docker://r.io:{}1/x", "0".repeat(1000)),
            format!("docker://{}.io/x", host.repeat(2)),
            format!("docker://{}", "a".repeat(248)),
        ] {
            assert!(long.parse::<ImageReference>().is_err(), "{long}");
        }
    }

    #[test]
    fn what_is_not_a_reference_is_refused() {
        let long = format!("docker://{}", "a".repeat(2000));
        for bad in [
            "docker://",
            "docker:///x",
            "docker://X",
            "docker://a/../b",
            "docker://a:b c",
            "a@b",
            "docker://a@sha512:00",
            "docker://r.io:/x",
            "docker://0x7f.1:5000/x",
            "docker://a@sha256:00",
            "sif:relative",
            "dir:/a/../b",
            "http://a/b",
            "docker://r.io/x:\n1",
            "dir:/a,b",
            "",
            &long,
        ] {
            assert!(bad.parse::<ImageChoice>().is_err(), "{bad:?}");
        }
    }
}
