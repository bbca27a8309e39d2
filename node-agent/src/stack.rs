//! Stacks of layers: squashfs files behind loop devices, under an overlay that can be written.
//!
//! Knows mounts; does not know where the files come from or who will see the stack.

use crate::sys;
use anyhow::{Context as _, Result, bail};
use rustix::io::Errno;
use rustix::mount::{MountFlags, mount};
use std::ffi::CString;
use std::fs::{self, File, OpenOptions, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

/// Most layers, as overlayfs has it (`OVL_MAX_STACK`), with room for the kernel's module tree.
const LAYERS_MAX: usize = 490;
/// Attempts to get a loop device that another process did not take first.
const LOOP_TRIES: u32 = 8;
/// Nothing a layer's attributes say may lead to another file: our layers have none of these.
const FOLLOW_NOTHING: &str = "redirect_dir=nofollow,metacopy=off,index=off";

/// A file cannot be read where it lies, or this kernel does not take it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct NotMountable(pub(crate) String);

/// Mounts a squashfs file, read-only.
pub(crate) fn mount_squashfs(file: &Path, target: &Path, flags: MountFlags) -> Result<()> {
    let failed = |what: &str| NotMountable(format!("{what} {}", file.display()));
    let image = File::open(file).with_context(|| failed("opening"))?;
    let (path, _device) = attach(&image)?;
    mount(&path, target, "squashfs", flags | MountFlags::RDONLY, None)
        .with_context(|| failed("mounting as squashfs:"))
}

/// Mounts the files, the lowest first, at `0`, `1`, … below `directory`, which is made.
pub(crate) fn mount_layers(files: &[PathBuf], directory: &Path, flags: MountFlags) -> Result<()> {
    if files.len() > LAYERS_MAX {
        let count = files.len();
        bail!(NotMountable(format!("it has {count} layers, {LAYERS_MAX} are the limit")));
    }
    for (index, file) in files.iter().enumerate() {
        let target = directory.join(index.to_string());
        fs::create_dir_all(&target)?;
        let which = || format!("layer {} of {}", index + 1, files.len());
        mount_squashfs(file, &target, flags).with_context(which)?;
    }
    Ok(())
}

/// Mounts an overlay at `target`: on top what is written (a tmpfs, `upper_options` say how large), then
/// the directory `over`, then the `count` layers that [`mount_layers`] mounted below `layers`.
///
/// Changes the working directory: 500 absolute paths do not fit into the page that mount(2) takes.
pub(crate) fn mount_overlay(
    (layers, count): (&Path, usize),
    over: Option<&Path>,
    (upper, upper_options): (&Path, &str),
    target: &Path,
    flags: MountFlags,
) -> Result<()> {
    let options = CString::new(upper_options)?;
    mount("tmpfs", upper, "tmpfs", flags, &*options).context("mounting the overlay's tmpfs")?;
    for directory in ["files", "work"] {
        let directory = upper.join(directory);
        fs::create_dir(&directory)?;
        fs::set_permissions(&directory, Permissions::from_mode(0o755))?;
    }
    // A node's own root is root's, whatever the archive its image was made of says.
    if over.is_none()
        && let Some(top) = count.checked_sub(1)
    {
        // What overlayfs shows of the root itself is the upper directory's.
        let root = fs::metadata(layers.join(top.to_string()))?;
        let shown = upper.join("files");
        chown(&shown, Some(root.uid()), Some(root.gid()))?;
        fs::set_permissions(&shown, Permissions::from_mode(root.mode() & 0o7777))?;
    }
    let over = over.map(|path| path.display().to_string());
    let lower: Vec<_> =
        over.into_iter().chain((0..count).rev().map(|index| index.to_string())).collect();
    let options = format!(
        "{FOLLOW_NOTHING},lowerdir={},upperdir={upper}/files,workdir={upper}/work",
        lower.join(":"),
        upper = upper.display()
    );
    rustix::process::chdir(layers)?;
    let mounted = mount("root", target, "overlay", flags, &*CString::new(options)?);
    rustix::process::chdir("/")?;
    mounted.with_context(|| NotMountable("mounting the overlay".into()))
}

/// Binds a file to a free loop device. The device is handed back open: it would free itself
/// before it is mounted.
fn attach(image: &File) -> Result<(PathBuf, File)> {
    let control = File::open("/dev/loop-control").context("opening /dev/loop-control")?;
    for _ in 0..LOOP_TRIES {
        let number = sys::free_loop_device(&control).context("asking for a free loop device")?;
        let path = PathBuf::from(format!("/dev/loop{number}"));
        let device = OpenOptions::new()
            .read(true)
            .open(&path)
            .with_context(|| format!("opening {}", path.display()))?;
        match sys::configure_loop_device(&device, image) {
            Ok(()) => return Ok((path, device)),
            Err(error) if error.raw_os_error() == Some(Errno::BUSY.raw_os_error()) => {}
            Err(error) => return Err(error).context("configuring the loop device"),
        }
    }
    bail!("no loop device stayed free")
}
