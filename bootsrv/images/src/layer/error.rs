//! Why a layer is refused or cannot be converted: one sentence each, for the user.

use crate::error::PrepareError;
use artifacts::program::ProgramError;
use protocol::names::Digest;
use std::io;

/// Why a layer is not converted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LayerError {
    /// The archive cannot be read to its end.
    #[error("the layer cannot be read: {0}")]
    Read(#[source] io::Error),
    /// It is no tar archive, or damaged.
    #[error("the layer's archive is damaged: {0}")]
    Damaged(String),
    /// It holds something else than it was said to.
    #[error(
        "the layer's content has the digest sha256:{found}, but the image says sha256:{stated}"
    )]
    Digest {
        /// What the image's configuration says.
        stated: Digest,
        /// What the content has.
        found: Digest,
    },
    /// A limit is exceeded.
    #[error("the layer {what}, the site's limit")]
    TooMuch {
        /// E.g. `has more than 500000 entries`.
        what: String,
    },
    /// An entry is refused.
    #[error("the layer's entry '{path}' {why}")]
    Entry {
        /// Its path, shortened and printable.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// The squashfs file cannot be made.
    #[error("the layer's squashfs file cannot be made: {0}")]
    Squashfs(#[from] ProgramError),
    /// A file of ours cannot be written or read.
    #[error("a layer's file cannot be written: {0}")]
    Write(#[source] io::Error),
}

/// Longest part of a path that stands in a message, in bytes.
const SHOWN_BYTES_MAX: usize = 200;

impl LayerError {
    pub(crate) fn entry(path: &[u8], why: impl Into<String>) -> Self {
        let shown = path.get(..path.len().min(SHOWN_BYTES_MAX)).unwrap_or_default();
        let path = String::from_utf8_lossy(shown).escape_debug().to_string();
        Self::Entry { path, why: why.into() }
    }

    pub(crate) fn damaged(why: impl Into<String>) -> Self {
        Self::Damaged(why.into())
    }

    pub(crate) fn too_much(what: impl Into<String>) -> Self {
        Self::TooMuch { what: format!("has {}", what.into()) }
    }

    pub(crate) fn too_dense(ratio_max: u64) -> Self {
        Self::TooMuch { what: format!("unpacks to more than {ratio_max} times its size") }
    }

    /// What stopped a reader; a refusal of our own is inside.
    pub(crate) fn from_read(error: io::Error) -> Self {
        match error.downcast::<Self>() {
            Ok(own) => own,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Self::damaged("it ends in the middle")
            }
            Err(error) => Self::Read(error),
        }
    }
}

impl From<LayerError> for PrepareError {
    fn from(error: LayerError) -> Self {
        let text = error.to_string();
        match error {
            LayerError::Read(source) if is_ours(&source) => Self::site(text),
            LayerError::Squashfs(_) | LayerError::Write(_) => Self::site(text),
            LayerError::Read(_)
            | LayerError::Damaged(_)
            | LayerError::Digest { .. }
            | LayerError::TooMuch { .. }
            | LayerError::Entry { .. } => Self::user(text),
        }
    }
}

/// Whether reading failed for a reason that lies in this machine or the network.
fn is_ours(error: &io::Error) -> bool {
    let damaged =
        [io::ErrorKind::InvalidData, io::ErrorKind::InvalidInput, io::ErrorKind::UnexpectedEof];
    !damaged.contains(&error.kind())
}
