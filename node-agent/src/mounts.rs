//! File systems mounted for the agent itself, and those of the plan inside the new root.
//!
//! How mount(8) options are read is decided in `mount_options`.

use crate::console::say;
use crate::files::Root;
use crate::limit::within;
use crate::mount_options;
use crate::root::NEW_ROOT;
use anyhow::{Context as _, Result, bail};
use protocol::boot::Mount;
use rustix::fd::AsRawFd as _;
use rustix::io::Errno;
use rustix::mount::{MountFlags, mount, mount_move};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};
use std::ffi::{CStr, CString};
use std::fs::{self, OpenOptions};
use std::path::Path;
use std::time::Duration;

/// How long one mount of the plan may take; a server that does not answer must not stop the boot
/// for ever.
const MOUNT_SECONDS: u64 = 60;
const STRICT: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV).union(MountFlags::NOEXEC);
/// Jobs may run what they put into `/tmp`, `/run` and shared memory.
const SHARED: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV);

/// Mounts what the agent needs to see the machine, and opens the console.
pub(crate) fn mount_kernel_interfaces() -> Result<()> {
    make("proc", "/proc", "proc", STRICT, None)?;
    make("sysfs", "/sys", "sysfs", STRICT, None)?;
    make("devtmpfs", "/dev", "devtmpfs", MountFlags::NOSUID, None)?;
    let console = OpenOptions::new().read(true).write(true).open("/dev/console");
    if let Ok(console) = console {
        dup2_stdin(&console)?;
        dup2_stdout(&console)?;
        dup2_stderr(&console)?;
    }
    make(
        "devpts",
        "/dev/pts",
        "devpts",
        MountFlags::NOSUID | MountFlags::NOEXEC,
        Some(c"gid=5,mode=0620,ptmxmode=0666"),
    )?;
    make("tmpfs", "/dev/shm", "tmpfs", SHARED, Some(c"size=50%,mode=1777"))?;
    for (link, target) in [
        ("/dev/fd", "/proc/self/fd"),
        ("/dev/stdin", "/proc/self/fd/0"),
        ("/dev/stdout", "/proc/self/fd/1"),
        ("/dev/stderr", "/proc/self/fd/2"),
    ] {
        std::os::unix::fs::symlink(target, link).ok();
    }
    Ok(())
}

/// `/run` and `/tmp` of the new root; before any file is written there.
pub(crate) fn mount_scratch(root: &Root) -> Result<()> {
    for (name, options) in [("run", c"size=25%,mode=0755"), ("tmp", c"size=50%,mode=1777")] {
        drop(root.directory(&format!("/{name}"))?);
        make("tmpfs", &format!("{NEW_ROOT}/{name}"), "tmpfs", SHARED, Some(options))?;
    }
    Ok(())
}

/// Carries out the mounts of the plan, in order.
pub(crate) fn mount_all(root: &Root, mounts: &[Mount]) -> Result<()> {
    for entry in mounts {
        let Mount { source, target, fstype, .. } = entry;
        mount_one(root, entry)
            .with_context(|| format!("mounting {source} at {target} as {fstype}"))?;
        say(format_args!("mounted {source} at {target}"));
    }
    Ok(())
}

fn mount_one(root: &Root, entry: &Mount) -> Result<()> {
    let place = root.directory(&entry.target)?;
    mount_at(entry, format!("/proc/self/fd/{}", place.as_raw_fd()))
}

/// Mounts something at this path, whatever its `target` says, within [`MOUNT_SECONDS`].
pub(crate) fn mount_at(entry: &Mount, path: String) -> Result<()> {
    let (flags, data) = mount_options::parse(entry);
    let data = CString::new(data)?;
    let (source, fstype) = (entry.source.clone(), entry.fstype.clone());
    let limit = Duration::from_secs(MOUNT_SECONDS);
    match within(limit, move || mount(source, path, fstype, flags, &*data)) {
        Ok(result) => Ok(result?),
        Err(_) => bail!("no answer after {MOUNT_SECONDS} s"),
    }
}

/// Moves what the agent mounted for itself into the new root.
pub(crate) fn move_kernel_interfaces(root: &Root) -> Result<()> {
    // `/proc` last: the descriptors of this process are reached by it.
    for directory in ["/dev", "/sys", "/proc"] {
        drop(root.directory(directory)?);
        mount_move(directory, format!("{NEW_ROOT}{directory}"))
            .with_context(|| format!("moving {directory} into the root"))?;
    }
    Ok(())
}

fn make(
    source: &str,
    target: &str,
    fstype: &str,
    flags: MountFlags,
    options: Option<&CStr>,
) -> Result<()> {
    fs::create_dir_all(Path::new(target))?;
    match mount(source, target, fstype, flags, options) {
        // The kernel may have mounted it already (CONFIG_DEVTMPFS_MOUNT).
        Ok(()) | Err(Errno::BUSY) => Ok(()),
        Err(error) => Err(error).with_context(|| format!("mounting {target}")),
    }
}
