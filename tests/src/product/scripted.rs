//! Images that no tool would make, for the registry that follows a script.

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use std::io::Write as _;

/// What is wrong with the only layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Nothing.
    Plain,
    /// What is sent does not have the digest it is asked by.
    Lie,
    /// Ten gigabytes of zeros in ten megabytes.
    Bomb,
    /// A million entries, for the same directory, in some kilobytes.
    Million,
}

/// An image of one layer.
#[derive(Debug, Clone)]
pub struct Fake {
    /// Its manifest.
    pub manifest: Vec<u8>,
    config: Vec<u8>,
    layer: Vec<u8>,
    /// What the manifest says of the layer.
    layer_digest: String,
}

/// What one gzip member of [`Kind::Bomb`] holds, and how many there are.
const ZEROS: (usize, usize) = (16 << 20, 640);
/// The same in entries for [`Kind::Million`].
const ENTRIES: (usize, usize) = (10_000, 100);
/// A tar header, and the unit of everything in an archive, in bytes.
const BLOCK: usize = 512;

impl Fake {
    /// Makes it.
    #[must_use]
    pub fn new(kind: Kind) -> Self {
        let layer = match kind {
            Kind::Plain | Kind::Lie => {
                let mut layer = header(b'0', "file", 64 << 10);
                layer.resize(BLOCK + (64 << 10) + 2 * BLOCK, 0);
                layer
            }
            // Members of a gzip file are read one after the other, so a long one is quickly made.
            Kind::Bomb => {
                let bytes = u64::try_from(ZEROS.0 * ZEROS.1).unwrap_or(u64::MAX);
                [packed(&header(b'0', "zeros", bytes)), packed(&vec![0; ZEROS.0]).repeat(ZEROS.1)]
                    .concat()
            }
            Kind::Million => packed(&header(b'5', "entry", 0).repeat(ENTRIES.0)).repeat(ENTRIES.1),
        };
        let layer_digest = match kind {
            Kind::Lie => digest(b"what is promised"),
            Kind::Plain | Kind::Bomb | Kind::Million => digest(&layer),
        };
        let config = json!({
            "architecture": "amd64",
            "os": "linux",
            // Nobody gets as far as to compare it.
            "rootfs": { "type": "layers", "diff_ids": [layer_digest] },
        });
        let config = config.to_string().into_bytes();
        let part = |media_type: &str, digest: &str, size: usize| {
            let media_type = format!("application/vnd.oci.image.{media_type}");
            json!({ "mediaType": media_type, "digest": digest, "size": size })
        };
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": part("config.v1+json", &digest(&config), config.len()),
            "layers": [part("layer.v1.tar+gzip", &layer_digest, layer.len())],
        });
        Self { manifest: manifest.to_string().into_bytes(), config, layer, layer_digest }
    }

    /// The manifest's digest.
    #[must_use]
    pub fn manifest_digest(&self) -> String {
        digest(&self.manifest)
    }

    /// The configuration or the layer by the digest it is asked for.
    #[must_use]
    pub fn blob(&self, name: &str) -> Option<&[u8]> {
        if name == self.layer_digest {
            return Some(&self.layer);
        }
        (name == digest(&self.config)).then_some(&self.config)
    }
}

fn digest(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// A gzip member.
fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::best());
    // Into memory: there is nothing that can fail.
    packer.write_all(bytes).and_then(|()| packer.finish()).unwrap_or_default()
}

/// A tar header (POSIX ustar) of a kind: a file, `0`, or a directory, `5`.
fn header(kind: u8, name: &str, bytes: u64) -> Vec<u8> {
    let mut header = vec![0; BLOCK];
    let mut put = |at: usize, text: &[u8]| {
        if let Some(place) = header.get_mut(at..at + text.len()) {
            place.copy_from_slice(text);
        }
    };
    put(0, name.as_bytes());
    put(100, b"0000644\x000000000\x000000000\0");
    if bytes < 1 << 33 {
        put(124, format!("{bytes:011o}\0").as_bytes());
    } else {
        // GNU's form for what has no eleven octal digits: big-endian, the highest bit set.
        put(124, &[0x80, 0, 0, 0]);
        put(128, &bytes.to_be_bytes());
    }
    put(136, b"00000000000\0        ");
    put(156, &[kind]);
    put(257, b"ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    let sum = format!("{sum:06o}\0 ");
    if let Some(place) = header.get_mut(148..156) {
        place.copy_from_slice(sum.as_bytes());
    }
    header
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::read::MultiGzDecoder;
    use std::io::Read as _;

    #[test]
    fn a_bomb_is_small_and_begins_like_an_archive() {
        let bomb = Fake::new(Kind::Bomb);
        assert!(bomb.layer.len() < 12 << 20, "{} bytes", bomb.layer.len());
        let mut begin = vec![1; 3 * BLOCK];
        MultiGzDecoder::new(&*bomb.layer).read_exact(&mut begin).unwrap();
        assert_eq!(begin[..BLOCK], *header(b'0', "zeros", 10 << 30));
        assert!(begin[BLOCK..].iter().all(|byte| *byte == 0));
        assert_eq!(begin[124], 0x80);
    }

    #[test]
    fn only_the_liar_sends_another_layer_than_it_names() {
        for (kind, is_right) in [(Kind::Plain, true), (Kind::Lie, false), (Kind::Million, true)] {
            let image = Fake::new(kind);
            let layer = image.blob(&image.layer_digest).unwrap();
            assert_eq!(digest(layer) == image.layer_digest, is_right, "{kind:?}");
            assert!(image.blob("sha256:00").is_none());
        }
    }
}
