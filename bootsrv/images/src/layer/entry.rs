//! What a member of the archive means for an image: which kinds and attributes are kept, and which
//! are refused.

use super::error::LayerError;
use super::index::{Attribute, Bytes, Entry, Kind, Metadata};
use super::limits::{ATTRIBUTE_BYTES_MAX, LayerLimits, NAME_BYTES_MAX};
use super::path::{self, Named};
use super::pax;
use super::reader::{Member, is_blank};
use std::collections::BTreeMap;

/// How attributes are written in extended headers.
const ATTRIBUTE: &[u8] = b"SCHILY.xattr.";
/// The attributes that are kept. `trusted.` is what overlayfs itself believes in; `system.` (ACLs)
/// cannot be stored in squashfs; the other `security.` ones belong to a machine, not to an image.
const USER: &[u8] = b"user.";
const CAPABILITY: &[u8] = b"security.capability";
/// Jobs see the node's own devices here.
const DEVICES: &[u8] = b"dev/";
const MODE_BITS: u32 = 0o7777;

/// The entry a member stands for.
pub(super) fn of(member: &Member, limits: &LayerLimits) -> Result<Entry, LayerError> {
    let refuse = |why: &str| Err(LayerError::entry(&member.name, why));
    let (path, kind) = match path::named(&member.name, limits)? {
        Named::Whiteout(path) => (path, Kind::Whiteout),
        Named::Opaque(path) => (path, Kind::Opaque),
        Named::Path(path) => {
            let kind = kind(member, &path, limits)?;
            (path, kind)
        }
    };
    if path.is_empty() && !matches!(kind, Kind::Directory | Kind::Opaque) {
        return refuse("would replace the root directory by something else");
    }
    let (metadata, attributes) = match kind {
        Kind::Whiteout | Kind::Opaque | Kind::HardLink(_) => (Metadata::IMPLIED, Vec::new()),
        Kind::File(_) | Kind::Directory | Kind::Symlink(_) | Kind::Fifo | Kind::Device => {
            (metadata(member)?, attributes(member)?)
        }
    };
    Ok(Entry { path: Bytes::from(&*path), kind, metadata, attributes })
}

fn kind(member: &Member, path: &[u8], limits: &LayerLimits) -> Result<Kind, LayerError> {
    let refuse = |why: String| Err(LayerError::entry(&member.name, why));
    // By the byte: the tar crate's own list of kinds grows.
    match member.kind.as_byte() {
        b'0' | 0 | b'7' | b'S' => {
            if member.bytes > limits.file_bytes_max {
                let max = limits.file_bytes_max;
                return refuse(format!("has more than {max} bytes, the site's limit for a file"));
            }
            Ok(Kind::File(member.bytes))
        }
        b'5' => Ok(Kind::Directory),
        b'2' => {
            let target = &member.link;
            let longest = limits.path_bytes_max;
            match target.len() {
                0 => refuse("is a symbolic link to nothing".to_owned()),
                _ if target.contains(&0) => refuse("is a link with a NUL byte in it".to_owned()),
                length if length > longest => {
                    refuse(format!("is a link of more than {longest} bytes"))
                }
                _ => Ok(Kind::Symlink(Bytes::from(&**target))),
            }
        }
        b'1' => Ok(Kind::HardLink(Bytes::from(&*path::clean(&member.link, limits)?))),
        b'6' => Ok(Kind::Fifo),
        b'3' | b'4' if path.starts_with(DEVICES) => Ok(Kind::Device),
        b'3' | b'4' => refuse(
            "is a device node; images may have them below /dev only, where jobs see the node's own"
                .to_owned(),
        ),
        other => refuse(format!("is of the unknown kind {:?}", char::from(other))),
    }
}

fn metadata(member: &Member) -> Result<Metadata, LayerError> {
    let bad = |what: &str| LayerError::entry(&member.name, format!("has no valid {what}"));
    let header = &member.header;
    let mode = match is_blank(&header.as_old().mode) {
        true => 0,
        false => header.mode().map_err(|_| bad("mode"))? & MODE_BITS,
    };
    let owner = |key, field: &[u8], id: std::io::Result<u64>| {
        let id = match pax::number(&member.records, key)? {
            Some(id) => u32::try_from(id).ok(),
            None if is_blank(field) => Some(0),
            None => id.ok().and_then(|id| u32::try_from(id).ok()),
        };
        id.ok_or_else(|| bad("owner"))
    };
    let mtime = match pax::number(&member.records, "mtime")? {
        Some(mtime) => mtime,
        // Written as a signed number by GNU tar: what is before 1970 does not fit.
        None => header.mtime().ok().and_then(|mtime| i64::try_from(mtime).ok()).unwrap_or(0),
    };
    Ok(Metadata {
        mode,
        uid: owner("uid", &header.as_old().uid, header.uid())?,
        gid: owner("gid", &header.as_old().gid, header.gid())?,
        mtime: u32::try_from(mtime.clamp(0, u32::MAX.into())).unwrap_or(0),
    })
}

fn attributes(member: &Member) -> Result<Vec<Attribute>, LayerError> {
    // Of one that comes twice, the last counts.
    let mut kept: BTreeMap<&[u8], &[u8]> = BTreeMap::new();
    for (key, value) in &member.records {
        let Some(name) = key.strip_prefix(ATTRIBUTE) else { continue };
        if name.starts_with(USER) || name == CAPABILITY {
            if name == USER || name.len() > NAME_BYTES_MAX || name.contains(&0) {
                let why = "has an extended attribute whose name Linux does not take";
                return Err(LayerError::entry(&member.name, why));
            }
            kept.insert(name, value);
        }
    }
    let bytes: usize = kept.iter().map(|(name, value)| name.len() + value.len()).sum();
    if bytes > ATTRIBUTE_BYTES_MAX {
        let why = format!("has more than {ATTRIBUTE_BYTES_MAX} bytes of extended attributes");
        return Err(LayerError::entry(&member.name, why));
    }
    Ok(kept.into_iter().map(|(name, value)| (Bytes::from(name), Bytes::from(value))).collect())
}
