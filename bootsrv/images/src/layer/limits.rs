//! What a layer may be at most: a small file can unpack to more than any disk holds.

/// Limits of a layer; each is the largest value allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LayerLimits {
    /// Entries of the archive. A large scientific image has a third of a million.
    pub entries_max: u64,
    /// Bytes of the files in it, holes included. Nodes hold an image in memory.
    pub unpacked_bytes_max: u64,
    /// Bytes of one file, holes included.
    pub file_bytes_max: u64,
    /// Unpacked bytes for each byte received. Programs and text have 2 to 10, zeros 1000.
    pub ratio_max: u64,
    /// Below so many unpacked bytes no ratio is too high.
    pub ratio_bytes_min: u64,
    /// Bytes of a path or a link's target (Linux: 4096).
    pub path_bytes_max: usize,
    /// Directories above an entry.
    pub depth_max: usize,
    /// Bytes of a layer's index, which is held in memory: paths, links' targets, attributes, 128 for
    /// each entry, and 1024 for each directory, also those that no entry speaks of. Half a million
    /// entries have about 170 MB.
    pub index_bytes_max: u64,
}

/// Longest name of one file, directory or extended attribute, in bytes (Linux's `NAME_MAX` and
/// `XATTR_NAME_MAX`).
pub(crate) const NAME_BYTES_MAX: usize = 255;
/// Most bytes of one entry's extended attributes, names and values; Linux allows 64 KiB for a value.
pub(crate) const ATTRIBUTE_BYTES_MAX: usize = 64 << 10;
/// What an entry of the index costs besides its texts, in bytes.
pub(crate) const ENTRY_BYTES: u64 = 128;
/// The same of a directory, said or only implied: in each tree its names have a node of their own.
pub(crate) const DIRECTORY_BYTES: u64 = 1024;
/// Names that `tar2sqfs` looks at for each entry that a layer may have: it finds a name in a directory
/// by going through all of them. With the default for entries 140,000 in one directory, two minutes.
const NAMES_LOOKED_AT_MAX: u64 = if cfg!(test) { 200 } else { 20_000 };
/// Most different owners and groups together, which a squashfs file numbers with 16 bits.
pub(crate) const OWNERS_MAX: usize = 1 << 16;
/// Longest extension header of one entry, in bytes; it holds the names and extended attributes,
/// of which Linux allows 64 KiB each.
pub(crate) const EXTENSION_BYTES_MAX: u64 = 1 << 20;
/// Extension headers of all entries together, in bytes: 2 KiB for each of half a million. Usual ones have
/// 100 to 500 bytes.
pub(crate) const EXTENSIONS_BYTES_MAX: u64 = if cfg!(test) { 16 << 20 } else { 1 << 30 };

impl LayerLimits {
    /// Index bytes of all layers of an image together.
    pub(crate) fn stack_bytes_max(&self) -> u64 {
        self.index_bytes_max.saturating_mul(2)
    }

    /// Names that may be looked at to write all entries of a layer.
    pub(crate) fn names_looked_at_max(&self) -> u64 {
        self.entries_max.saturating_mul(NAMES_LOOKED_AT_MAX)
    }

    /// Entries of all layers of an image together.
    pub(crate) fn stack_entries_max(&self) -> u64 {
        self.entries_max.saturating_mul(2)
    }
}

impl Default for LayerLimits {
    fn default() -> Self {
        Self {
            entries_max: 500_000,
            unpacked_bytes_max: 64 << 30,
            file_bytes_max: 32 << 30,
            ratio_max: 100,
            ratio_bytes_min: 256 << 20,
            path_bytes_max: 4095,
            depth_max: 128,
            index_bytes_max: 256 << 20,
        }
    }
}
