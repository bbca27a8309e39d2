//! Assembles the node's root: squashfs files on a tmpfs, under an overlay that can be written.
//!
//! Knows mounts; does not know where the files come from or who will live in the root.

use crate::modules::MODULES_MOUNT;
use crate::sys;
use anyhow::{Context as _, Result};
use protocol::boot::BootPlan;
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

const ARTIFACTS: &str = "/stage/artifacts";
const IMAGE: &str = "/stage/image";
const UPPER: &str = "/stage/upper";
/// The root to be.
pub(crate) const NEW_ROOT: &str = "/stage/root";
/// How much of the memory files written by the node may take.
const UPPER_SIZE: &str = "size=50%,mode=0755";
/// Attempts to get a loop device that another process did not take first.
const LOOP_TRIES: u32 = 8;

/// Makes the tmpfs for the artifacts, just large enough, and the mount points.
pub(crate) fn prepare(plan: &BootPlan) -> Result<()> {
    for directory in [ARTIFACTS, MODULES_MOUNT, IMAGE, UPPER, NEW_ROOT] {
        fs::create_dir_all(directory)?;
    }
    // A page more for each file, because a tmpfs counts in pages.
    let bytes = plan.root.bytes.saturating_add(plan.modules.bytes).saturating_add(64 << 10);
    let options = CString::new(format!("size={bytes},mode=0700"))?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount("tmpfs", ARTIFACTS, "tmpfs", flags, &*options).context("mounting the artifacts' tmpfs")
}

/// Where the modules squashfs is to be written.
pub(crate) fn modules_file() -> PathBuf {
    Path::new(ARTIFACTS).join("modules")
}

/// Where the node image's squashfs is to be written.
pub(crate) fn image_file() -> PathBuf {
    Path::new(ARTIFACTS).join("image")
}

/// Mounts the modules squashfs at [`MODULES_MOUNT`].
pub(crate) fn mount_modules() -> Result<()> {
    mount_squashfs(&modules_file(), MODULES_MOUNT).context("mounting the kernel's module tree")
}

/// Mounts the image, and over it the modules and what the node writes, at [`NEW_ROOT`].
pub(crate) fn mount_root() -> Result<()> {
    mount_squashfs(&image_file(), IMAGE).context("mounting the node image")?;
    let flags = MountFlags::NODEV;
    let options = CString::new(UPPER_SIZE)?;
    mount("tmpfs", UPPER, "tmpfs", flags, &*options).context("mounting the root's tmpfs")?;
    for directory in ["files", "work"] {
        let directory = Path::new(UPPER).join(directory);
        fs::create_dir(&directory)?;
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o755))?;
    }
    let options =
        format!("lowerdir={MODULES_MOUNT}:{IMAGE},upperdir={UPPER}/files,workdir={UPPER}/work");
    mount("root", NEW_ROOT, "overlay", flags, &*CString::new(options)?)
        .context("mounting the overlay")
}

/// Takes the parts of the root out of sight; the overlay holds on to them.
pub(crate) fn hide_parts() -> Result<()> {
    for part in [MODULES_MOUNT, IMAGE, UPPER, ARTIFACTS] {
        unmount(part, UnmountFlags::DETACH).with_context(|| format!("detaching {part}"))?;
    }
    Ok(())
}

fn mount_squashfs(file: &Path, target: &str) -> Result<()> {
    let (path, _device) = attach(file)?;
    let flags = MountFlags::RDONLY | MountFlags::NODEV;
    mount(&path, target, "squashfs", flags, None)
        .with_context(|| format!("mounting {} as squashfs", file.display()))
}

/// Binds a file to a free loop device. The device is handed back open: it would free itself
/// before it is mounted.
fn attach(file: &Path) -> Result<(PathBuf, File)> {
    let image = File::open(file)?;
    let control = File::open("/dev/loop-control").context("opening /dev/loop-control")?;
    for _ in 0..LOOP_TRIES {
        let number = sys::free_loop_device(&control).context("asking for a free loop device")?;
        let path = PathBuf::from(format!("/dev/loop{number}"));
        let device = OpenOptions::new()
            .read(true)
            .open(&path)
            .with_context(|| format!("opening {}", path.display()))?;
        match sys::configure_loop_device(&device, &image) {
            Ok(()) => return Ok((path, device)),
            Err(error) if error.raw_os_error() == Some(Errno::BUSY.raw_os_error()) => {}
            Err(error) => return Err(error).context("configuring the loop device"),
        }
    }
    anyhow::bail!("no loop device stayed free")
}
