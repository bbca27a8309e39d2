//! The system calls that rustix has no safe form of: loop devices and ignored signals.
//!
//! The only unsafe code of the agent. Nothing here decides anything.
#![expect(unsafe_code, reason = "ioctl(2) and signal(2) are not safe interfaces")]

use rustix::fd::{AsFd, AsRawFd as _};
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
