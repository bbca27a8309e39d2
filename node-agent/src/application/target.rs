//! Places inside an image for what is mounted there: opened where they are, made where they are not.
//!
//! The image is hostile: the kernel resolves every path inside it, and nothing is ever made or removed
//! in what was mounted before, because that is the node's.

use super::blame::EveryNodes;
use crate::files::{Root, parts};
use anyhow::{Context as _, Result, bail};
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, fstat, mkdirat, openat, unlinkat};
use rustix::io::Errno;

/// What a mount needs to stand on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// For directories.
    Directory,
    /// For everything else.
    File,
}

const PLACE: OFlags = OFlags::PATH.union(OFlags::CLOEXEC);

/// Opens `path` of the image as a place (`O_PATH`). Links on the way are followed inside the image;
/// what stands at the end and is of another kind, a link for example, is replaced. Where that cannot be
/// done, the image makes it so.
pub(super) fn open(image: &Root, path: &str, kind: Kind) -> Result<OwnedFd> {
    open_here(image, path, kind)
        .with_context(|| EveryNodes(format!("the image has no place for {path}")))
}

fn open_here(image: &Root, path: &str, kind: Kind) -> Result<OwnedFd> {
    let own = fstat(image.resolve("/", OFlags::PATH)?)?.st_dev;
    let is_own = |place: &OwnedFd| fstat(place).is_ok_and(|stat| stat.st_dev == own);
    let all = parts(path)?;
    let (name, parents) = all.split_last().context("the image's root cannot be mounted over")?;
    let mut parent = image.resolve("/", OFlags::PATH)?;
    let mut reached = String::new();
    for part in parents {
        reached.push('/');
        reached.push_str(part);
        parent = match image.resolve(&reached, OFlags::PATH | OFlags::DIRECTORY) {
            Err(Errno::NOENT) if is_own(&parent) => {
                mkdirat(&parent, *part, Mode::from_raw_mode(0o755))
                    .with_context(|| format!("making {reached} in the image"))?;
                image.resolve(&reached, OFlags::PATH | OFlags::DIRECTORY)
            }
            other => other,
        }
        .with_context(|| format!("opening {reached} in the image"))?;
    }
    let at_name = || openat(&parent, *name, PLACE | OFlags::NOFOLLOW, Mode::empty());
    match at_name() {
        Ok(found) if fits(&found, kind)? => return Ok(found),
        Ok(_) | Err(Errno::NOENT) if !is_own(&parent) => {
            bail!(
                "{path} is not there, and in a directory of the node nothing is made for a mount"
            );
        }
        Ok(found) => {
            let is_directory = FileType::from_raw_mode(fstat(&found)?.st_mode).is_dir();
            let flags = if is_directory { AtFlags::REMOVEDIR } else { AtFlags::empty() };
            unlinkat(&parent, *name, flags)
                .with_context(|| format!("replacing {path} of the image"))?;
        }
        Err(Errno::NOENT) => {}
        Err(error) => return Err(error).with_context(|| format!("opening {path} in the image")),
    }
    make(&parent, name, kind).with_context(|| format!("making {path} in the image"))?;
    Ok(at_name()?)
}

/// The kind of a mount's source.
pub(super) fn kind_of(source: &OwnedFd) -> Result<Kind> {
    let is_directory = FileType::from_raw_mode(fstat(source)?.st_mode).is_dir();
    Ok(if is_directory { Kind::Directory } else { Kind::File })
}

fn fits(place: &OwnedFd, kind: Kind) -> Result<bool> {
    let found = FileType::from_raw_mode(fstat(place)?.st_mode);
    Ok(match kind {
        Kind::Directory => found.is_dir(),
        Kind::File => found.is_file(),
    })
}

fn make(parent: &OwnedFd, name: &str, kind: Kind) -> rustix::io::Result<()> {
    match kind {
        Kind::Directory => mkdirat(parent, name, Mode::from_raw_mode(0o755)),
        Kind::File => {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
            openat(parent, name, flags | OFlags::CLOEXEC, Mode::from_raw_mode(0o644)).map(drop)
        }
    }
}
