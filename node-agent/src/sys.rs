//! The system calls that rustix has no safe form of: loop devices, namespaces, attributes of mounts,
//! ignored signals, the next kernel, stopped processes, and System V's shared objects.
//!
//! The only unsafe code of the agent. Nothing here decides anything.
#![expect(unsafe_code, reason = "ioctl(2), signal(2) and the like are not safe interfaces")]

use rustix::fd::{AsFd, AsRawFd as _};
use rustix::process::Pid;
use rustix::thread::{UnshareFlags, unshare_unsafe};
use std::ffi::CStr;
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

/// Makes the kernel keep another kernel, a bzImage, and its initrd, for `RebootCommand::Kexec`; both are
/// read to the end of the file, kexec_file_load(2).
pub(crate) fn load_next_kernel(
    kernel: impl AsFd,
    initrd: impl AsFd,
    command_line: &CStr,
) -> io::Result<()> {
    let flags: libc::c_ulong = 0;
    // SAFETY: both descriptors are open for the whole call; the kernel copies the text, whose length with
    // its zero it is told, and keeps no pointer.
    let result = unsafe {
        libc::syscall(
            libc::SYS_kexec_file_load,
            kernel.as_fd().as_raw_fd(),
            initrd.as_fd().as_raw_fd(),
            command_line.to_bytes_with_nul().len(),
            command_line.as_ptr(),
            flags,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// `struct kexec_segment` of linux/kexec.h.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct KexecSegment<'a> {
    content: *const u8,
    content_bytes: usize,
    address: u64,
    bytes: u64,
    of: std::marker::PhantomData<&'a [u8]>,
}

impl<'a> KexecSegment<'a> {
    /// The content, with zeros up to `bytes`, at this physical address; both multiples of 4096.
    pub(crate) fn new(content: &'a [u8], address: u64, bytes: u64) -> Self {
        let of = std::marker::PhantomData;
        Self { content: content.as_ptr(), content_bytes: content.len(), address, bytes, of }
    }
}

/// As [`load_next_kernel`], but as it will lie in memory, entered in 64-bit mode, kexec_load(2).
pub(crate) fn load_next_memory(entry: u64, segments: &[KexecSegment<'_>]) -> io::Result<()> {
    let flags: libc::c_ulong = 0;
    // SAFETY: the kernel reads the segments, whose layout the type has, and their contents, which live as
    // long as the segments; it keeps no pointer.
    let result = unsafe {
        libc::syscall(libc::SYS_kexec_load, entry, segments.len(), segments.as_ptr(), flags)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Stops a process, even the first, until the calling thread ends; takes effect a moment later.
pub(crate) fn stop_process(pid: Pid) -> io::Result<()> {
    for request in [libc::PTRACE_SEIZE, libc::PTRACE_INTERRUPT] {
        let none = std::ptr::null_mut::<libc::c_void>();
        // SAFETY: neither request reads or writes memory of either process, ptrace(2).
        if unsafe { libc::ptrace(request, pid.as_raw_pid(), none, none) } == -1 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// The kinds of shared objects that outlive their processes, sysvipc(7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ipc {
    Memory,
    Semaphores,
    Messages,
}

/// Removes a shared object, whoever uses it.
pub(crate) fn remove_ipc(kind: Ipc, id: i32) -> io::Result<()> {
    // SAFETY: `IPC_RMID` reads and writes no memory of this process.
    let result = unsafe {
        match kind {
            Ipc::Memory => libc::shmctl(id, libc::IPC_RMID, std::ptr::null_mut()),
            Ipc::Semaphores => libc::semctl(id, 0, libc::IPC_RMID),
            Ipc::Messages => libc::msgctl(id, libc::IPC_RMID, std::ptr::null_mut()),
        }
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
