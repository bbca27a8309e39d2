//! The system calls that rustix has no safe form of: loop devices, namespaces, attributes of mounts,
//! and ignored signals.
//!
//! The only unsafe code of the agent. Nothing here decides anything.
#![expect(unsafe_code, reason = "ioctl(2), signal(2) and the like are not safe interfaces")]

use rustix::fd::{AsFd, AsRawFd as _};
use rustix::thread::{UnshareFlags, unshare_unsafe};
use std::io;

/// `LOOP_CTL_GET_FREE` of linux/loop.h.
const LOOP_CTL_GET_FREE: libc::c_ulong = 0x4C82;
/// `LOOP_CONFIGURE` of linux/loop.h (Linux 5.8 and later).
const LOOP_CONFIGURE: libc::c_ulong = 0x4C0A;
/// `LO_FLAGS_READ_ONLY | LO_FLAGS_AUTOCLEAR` of linux/loop.h.
const READ_ONLY_AND_AUTOCLEAR: u32 = 1 | 4;

/// `struct loop_config` with the `struct loop_info64` inside it, linux/loop.h.
#[repr(C)]
struct LoopConfig {
    fd: u32,
    block_size: u32,
    /// Device, inode, rdevice, offset, size limit.
    info_places: [u64; 5],
    info_number_and_encryption: [u32; 3],
    info_flags: u32,
    info_names_and_key: [u8; 160],
    info_init: [u64; 2],
    reserved: [u64; 8],
}

const _: () = assert!(size_of::<LoopConfig>() == 304, "as large as the kernel's");

/// The number of a loop device that is free now.
pub(crate) fn free_loop_device(control: impl AsFd) -> io::Result<u32> {
    // SAFETY: the descriptor is open for the whole call, and this request takes no argument.
    let number = unsafe { libc::ioctl(control.as_fd().as_raw_fd(), LOOP_CTL_GET_FREE) };
    u32::try_from(number).map_err(|_| io::Error::last_os_error())
}

/// Makes a loop device show a file, read-only, until nobody has the device open any more.
pub(crate) fn configure_loop_device(device: impl AsFd, file: impl AsFd) -> io::Result<()> {
    let file = u32::try_from(file.as_fd().as_raw_fd()).map_err(io::Error::other)?;
    let config = LoopConfig {
        fd: file,
        block_size: 0,
        info_places: [0; 5],
        info_number_and_encryption: [0; 3],
        info_flags: READ_ONLY_AND_AUTOCLEAR,
        info_names_and_key: [0; 160],
        info_init: [0; 2],
        reserved: [0; 8],
    };
    // SAFETY: both descriptors are open for the whole call; the request reads one `loop_config`,
    // whose layout the type has, and keeps no pointer to it.
    let result =
        unsafe { libc::ioctl(device.as_fd().as_raw_fd(), LOOP_CONFIGURE, &raw const config) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Makes this process ignore the signals by which an init ends all processes (except `SIGKILL`).
pub(crate) fn ignore_end_signals() {
    for signal in [libc::SIGTERM, libc::SIGHUP, libc::SIGINT] {
        // SAFETY: `SIG_IGN` installs no handler, so no code of ours runs in signal context.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
}

/// Gives the calling thread a copy of the mounts of its own, with a working directory of its own.
/// Threads it starts from now on share both with it.
pub(crate) fn own_mounts() -> io::Result<()> {
    // SAFETY: only sharing the table of descriptors matters to other threads, and that stays shared.
    Ok(unsafe { unshare_unsafe(UnshareFlags::NEWNS) }?)
}

/// Moves this process, which must have one thread only, into a user namespace of its own.
pub(crate) fn own_users() -> io::Result<()> {
    // SAFETY: as in `own_mounts`.
    Ok(unsafe { unshare_unsafe(UnshareFlags::NEWUSER) }?)
}

/// `struct mount_attr` of linux/mount.h.
#[repr(C)]
struct MountAttributes {
    set: u64,
    clear: u64,
    propagation: u64,
    userns_fd: u64,
}

/// Adds `MOUNT_ATTR_…` flags (linux/mount.h) to a mount, `recursive`: and to all below it, which then
/// only receive mounts from elsewhere and pass none on. Linux 5.12 and later.
pub(crate) fn add_mount_attributes(
    mount: impl AsFd,
    attributes: u64,
    recursive: bool,
) -> io::Result<()> {
    let propagation = if recursive { libc::MS_SLAVE } else { 0 };
    let request = MountAttributes { set: attributes, clear: 0, propagation, userns_fd: 0 };
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the descriptor is open for the whole call; the kernel reads one `mount_attr`, whose
    // layout and size the type has, and keeps no pointer.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_fd().as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const request,
            size_of::<MountAttributes>(),
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
