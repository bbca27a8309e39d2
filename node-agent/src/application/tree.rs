//! Trees of mounts on their way from the node into an image: copied, restricted, and only then
//! attached, so that nobody ever sees one without its restrictions.
//!
//! Knows mounts; does not know what is in them.

use crate::sys;
use anyhow::{Context as _, Result};
use rustix::fd::{AsFd, OwnedFd};
use rustix::mount::{MoveMountFlags, OpenTreeFlags, move_mount, open_tree};

/// `MOUNT_ATTR_RDONLY` of linux/mount.h.
const READ_ONLY: u64 = 1;
/// `MOUNT_ATTR_NOSUID`.
const NO_SET_UID: u64 = 2;
/// `MOUNT_ATTR_NODEV`.
const NO_DEVICES: u64 = 4;

/// What a tree does not allow, beside set-user-id programs, which none does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Limits {
    /// Device files are no devices.
    NoDevices,
    /// As [`Limits::NoDevices`], and nothing can be written.
    ReadOnly,
    /// Device files work: for the node's `/dev`.
    Devices,
    /// As [`Limits::Devices`]; the uppermost mount cannot be written, those below it can.
    ReadOnlyTop,
}

/// Attaches a copy of the node's mounts at and below `source` to `target`. The copy receives what the
/// node mounts there later, and passes nothing back.
pub(super) fn bind(source: impl AsFd, target: impl AsFd, limits: Limits) -> Result<()> {
    let tree = copy(source).context("copying the mount")?;
    let attributes = NO_SET_UID
        | match limits {
            Limits::NoDevices => NO_DEVICES,
            Limits::ReadOnly => NO_DEVICES | READ_ONLY,
            Limits::Devices | Limits::ReadOnlyTop => 0,
        };
    sys::add_mount_attributes(&tree, attributes, true)
        .context("restricting the mount (Linux 5.12 or later is needed)")?;
    if limits == Limits::ReadOnlyTop {
        sys::add_mount_attributes(&tree, READ_ONLY, false)?;
    }
    let empty = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(&tree, "", target, "", empty).context("attaching the mount")
}

fn copy(source: impl AsFd) -> rustix::io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE
        | OpenTreeFlags::AT_EMPTY_PATH;
    open_tree(source, "", flags)
}
