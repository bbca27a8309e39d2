//! SIF, the format of Singularity and Apptainer: a header, a table of descriptors, and data. Of all
//! that, the primary system partition is used, if it is squashfs.
//!
//! Layout: the SIF specification's `global header` and `data object descriptor`, all little-endian.

use super::section::Section;
use super::{FileImage, Source};
use crate::error::PrepareError;

const HEADER_BYTES: u64 = 128;
const MAGIC: (usize, &[u8]) = (32, b"SIF_MAGIC");
/// Offset and length of the descriptor table's own entries in the header.
const TABLE_ENTRIES: usize = 88;
const TABLE_OFFSET: usize = 96;
const DESCRIPTOR_BYTES: usize = 585;
/// Most descriptors; Apptainer makes 48.
const DESCRIPTORS_MAX: u64 = 4096;
/// Data type of a partition.
const PARTITION: u32 = 0x4004;
/// File system type and partition type.
const SQUASHFS: u32 = 1;
const ENCRYPTED_SQUASHFS: u32 = 5;
const PRIMARY: u32 = 2;
/// Architectures by number, in OCI's words.
const ARCHITECTURES: [(&[u8], &str); 10] = [
    (b"01", "386"),
    (b"02", "amd64"),
    (b"03", "arm"),
    (b"04", "arm64"),
    (b"05", "ppc64"),
    (b"06", "ppc64le"),
    (b"07", "mips"),
    (b"08", "mipsle"),
    (b"11", "s390x"),
    (b"12", "riscv64"),
];

pub(super) fn open(section: &Section) -> Result<FileImage, PrepareError> {
    let header = section.start(HEADER_BYTES)?;
    if !header.get(MAGIC.0..).is_some_and(|rest| rest.starts_with(MAGIC.1)) {
        return Err(PrepareError::user("the file is no SIF image"));
    }
    let damaged = || PrepareError::user("the SIF image is damaged");
    let count = number(&header, TABLE_ENTRIES).ok_or_else(damaged)?;
    let offset = number(&header, TABLE_OFFSET).ok_or_else(damaged)?;
    if count > DESCRIPTORS_MAX {
        return Err(damaged());
    }
    let bytes = count * u64::try_from(DESCRIPTOR_BYTES).unwrap_or(u64::MAX);
    let table = section.part(offset, bytes).ok_or_else(damaged)?.start(bytes)?;
    for descriptor in table.chunks_exact(DESCRIPTOR_BYTES) {
        let Some(partition) = Partition::of(descriptor) else { continue };
        if partition.filesystem == ENCRYPTED_SQUASHFS {
            return Err(PrepareError::user("the SIF image is encrypted, which is not supported"));
        }
        if partition.filesystem != SQUASHFS {
            return Err(PrepareError::user(
                "the SIF image's root is no squashfs file system; build it again with a current \
                 Apptainer",
            ));
        }
        let root = section.part(partition.offset, partition.bytes).ok_or_else(damaged)?;
        let bytes = root.bytes;
        return Ok(FileImage::single(partition.architecture, Source::Squashfs(root), bytes));
    }
    Err(PrepareError::user("the SIF image has no root file system (primary system partition)"))
}

struct Partition {
    offset: u64,
    bytes: u64,
    filesystem: u32,
    architecture: Option<String>,
}

impl Partition {
    /// The primary one; `None`: the descriptor is of something else.
    fn of(descriptor: &[u8]) -> Option<Self> {
        let extra = descriptor.get(201..)?;
        let used = *descriptor.get(4)? != 0;
        if !used || short(descriptor, 0)? != PARTITION || short(extra, 4)? != PRIMARY {
            return None;
        }
        let code = extra.get(8..10)?;
        let known = ARCHITECTURES.iter().find(|(number, _)| *number == code);
        Some(Self {
            offset: number(descriptor, 17)?,
            bytes: number(descriptor, 25)?,
            filesystem: short(extra, 0)?,
            architecture: known.map(|(_, name)| (*name).to_owned()),
        })
    }
}

fn number(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

fn short(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}
