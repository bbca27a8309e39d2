//! What a layer's archive says, without the contents of files: kept beside the layer's squashfs, so
//! that an image's layers can be laid over each other without being read again.

use super::limits::{DIRECTORY_BYTES, ENTRY_BYTES};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::borrow::Borrow;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;

/// A path, a link's target or an attribute's value: any bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Bytes(pub Arc<[u8]>);

/// Owner, mode and time of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metadata {
    /// Permissions, with set-uid, set-gid and sticky bit.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Seconds since 1970; squashfs has 32 bits for it.
    pub mtime: u32,
}

impl Metadata {
    /// Of a directory that no archive mentions.
    pub const IMPLIED: Self = Self { mode: 0o755, uid: 0, gid: 0, mtime: 0 };
}

/// Name and value.
pub type Attribute = (Bytes, Bytes);

/// An entry of a layer's archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// From the root, without `.` and `..`; empty for the root. Of a whiteout: what it hides.
    pub path: Bytes,
    /// What it is.
    pub kind: Kind,
    /// Means nothing for hard links and whiteouts.
    pub metadata: Metadata,
    /// Extended attributes that are kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attributes: Vec<Attribute>,
}

impl Entry {
    /// What it costs in memory, in bytes, roughly.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let link = match &self.kind {
            Kind::Symlink(target) | Kind::HardLink(target) => target.len(),
            Kind::File(_)
            | Kind::Directory
            | Kind::Fifo
            | Kind::Device
            | Kind::Whiteout
            | Kind::Opaque => 0,
        };
        let attributes: usize =
            self.attributes.iter().map(|(name, value)| 64 + name.len() + value.len()).sum();
        let own = if self.kind == Kind::Directory { DIRECTORY_BYTES } else { ENTRY_BYTES };
        own + u64::try_from(self.path.len() + link + attributes).unwrap_or(u64::MAX)
    }
}

/// Kind of an [`Entry`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A regular file of so many bytes.
    File(u64),
    /// A directory.
    Directory,
    /// A symbolic link to that target.
    Symlink(Bytes),
    /// Another name of that path.
    HardLink(Bytes),
    /// A named pipe.
    Fifo,
    /// A device below `/dev`; left out, because a job has the node's own.
    Device,
    /// Hides this path of the layers below.
    Whiteout,
    /// Hides all that the layers below have in this directory.
    Opaque,
}

/// The entries of a layer, in the archive's order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LayerIndex {
    /// The entries.
    pub entries: Vec<Entry>,
}

const LEVEL: i32 = 3;

impl LayerIndex {
    /// What it costs in memory, in bytes, roughly.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.entries.iter().map(Entry::bytes).sum()
    }

    /// Writes it as compressed lines of JSON and waits until it is on the disk.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        let file = File::create(path)?;
        let mut writer = BufWriter::new(zstd::Encoder::new(file, LEVEL)?);
        for entry in &self.entries {
            serde_json::to_writer(&mut writer, entry)?;
            writer.write_all(b"\n")?;
        }
        let encoder = writer.into_inner().map_err(io::IntoInnerError::into_error)?;
        encoder.finish()?.sync_all()
    }

    /// Reads what [`Self::save`] wrote.
    ///
    /// # Errors
    /// When it cannot be read or is damaged.
    pub fn load(path: &Path) -> io::Result<Self> {
        let mut reader = BufReader::new(zstd::Decoder::new(File::open(path)?)?);
        let mut entries = Vec::new();
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line)? > 0 {
            entries.push(serde_json::from_slice(&line)?);
            line.clear();
        }
        Ok(Self { entries })
    }
}

impl Deref for Bytes {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl Borrow<[u8]> for Bytes {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl From<&[u8]> for Bytes {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }
}

/// Stands before the hexadecimal digits of what is no text; no text begins with it.
const NOT_TEXT: char = '\0';

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(self) {
            Ok(text) if !text.starts_with(NOT_TEXT) => serializer.serialize_str(text),
            _ => {
                let mut text = NOT_TEXT.to_string();
                for byte in self.iter() {
                    write!(text, "{byte:02x}").map_err(serde::ser::Error::custom)?;
                }
                serializer.serialize_str(&text)
            }
        }
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        let Some(digits) = text.strip_prefix(NOT_TEXT) else {
            return Ok(Self::from(text.as_bytes()));
        };
        let digits = digits.as_bytes();
        let pair = |pair: &[u8]| {
            let pair = std::str::from_utf8(pair).map_err(de::Error::custom)?;
            u8::from_str_radix(pair, 16).map_err(de::Error::custom)
        };
        let bytes: Result<Vec<u8>, D::Error> = digits.chunks(2).map(pair).collect();
        Ok(Self(bytes?.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_bytes_survive() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("index");
        let entry = |path: &[u8], kind| Entry {
            path: path.into(),
            kind,
            metadata: Metadata::IMPLIED,
            attributes: vec![(b"user.x"[..].into(), b"\0\xff\n"[..].into())],
        };
        let index = LayerIndex {
            entries: vec![
                entry(b"", Kind::Directory),
                entry(b"a\xffb\n\"", Kind::File(7)),
                entry("ä".as_bytes(), Kind::Symlink(b"/x"[..].into())),
                entry(b"w", Kind::Whiteout),
            ],
        };
        index.save(&path).unwrap();
        assert_eq!(LayerIndex::load(&path).unwrap(), index);
    }
}
