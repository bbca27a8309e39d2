//! The job's mount namespace: the image's layers under an overlay as `/`, with the node's parts in it.
//!
//! It is built by a thread that has the namespace to itself, so nothing of it is ever seen on the node,
//! and whatever goes wrong half way is gone with the thread. Its life is the kernel's reference count:
//! the pin, and every process inside.

use super::blame::within;
use super::{NodeFacts, dress, layers};
use crate::download::Fetch;
use crate::files::Root;
use crate::{stack, sys};
use anyhow::{Context as _, Result, anyhow};
use protocol::application::{
    ApplicationPlan, NODE_DIRECTORY, NODE_FILE, NODE_NAMESPACE, NODE_NO_IMAGE_FILE, NodeApplication,
};
use rustix::fd::{AsRawFd as _, OwnedFd};
use rustix::io::Errno;
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind, mount_change, unmount,
};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::thread;
use std::time::Duration;

/// On the node an empty directory; in the job's namespace, while it is built, the parts of the root.
const STAGE: &str = "/run/bare-metal-container/stage";
/// How much of the memory files written into the image may take.
const UPPER_SIZE: &str = "size=50%,mode=0755";
const SAFE: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV);
/// How long mounting the layers, or showing the node's directories, may take; more than 100 layers are
/// mounted in a second.
const STEP: Duration = Duration::from_secs(60);
/// Most mounts over one another that a tear-down takes away.
const STACKED_MAX: u32 = 64;

/// Builds the namespace. `node` is called when the layers are there, and may wait for the node.
pub(super) fn build(
    plan: &ApplicationPlan,
    fetch: &Fetch<'_>,
    node: impl FnOnce() -> Result<NodeFacts> + Send,
) -> Result<OwnedFd> {
    thread::scope(|scope| {
        let builder = scope.spawn(|| build_here(plan, fetch, node));
        builder.join().map_err(|_| anyhow!("setting the image up ended unexpectedly"))?
    })
}

fn build_here(
    plan: &ApplicationPlan,
    fetch: &Fetch<'_>,
    node: impl FnOnce() -> Result<NodeFacts>,
) -> Result<OwnedFd> {
    fs::create_dir_all(STAGE)?;
    sys::own_mounts().context("making a mount namespace")?;
    let receive = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
    mount_change("/", receive).context("separating the mounts")?;
    mount("tmpfs", STAGE, "tmpfs", SAFE, c"size=4m,mode=0700").context("mounting the stage")?;
    let [artifacts, layers, upper, root] =
        ["artifacts", "layers", "upper", "root"].map(|name| Path::new(STAGE).join(name));
    for directory in [&layers, &upper, &root] {
        fs::create_dir(directory)?;
    }
    let files = layers::bring(plan, &artifacts, fetch)?;
    let at = root.clone();
    within(STEP, "mounting the layers", move || {
        stack::mount_layers(&files, &layers, SAFE)?;
        stack::mount_overlay((&layers, files.len()), None, (&upper, UPPER_SIZE), &at, SAFE)
    })?;
    let (node, plan, at) = (node()?, plan.clone(), root.clone());
    within(STEP, "showing the node's directories in the image", move || {
        dress::dress(&Root::open(&at)?, &plan, &node, Path::new(STAGE))
            .with_context(|| format!("{} cannot be set up", plan.reference))
    })?;
    let namespace = File::open("/proc/thread-self/ns/mnt")?;
    pivot(&root).context("changing the root")?;
    Ok(namespace.into())
}

/// Makes the directory the root of the namespace, and lets go of all else.
fn pivot(root: &Path) -> rustix::io::Result<()> {
    rustix::process::chdir(root)?;
    // Old and new root on one another, see pivot_root(2): the old one is taken from below the new.
    rustix::process::pivot_root(".", ".")?;
    unmount(".", UnmountFlags::DETACH)?;
    rustix::process::chdir("/")
}

/// Leaves the namespace where the plugin finds it; what was there before is gone first.
pub(super) fn pin(namespace: &OwnedFd, application: &NodeApplication) -> Result<()> {
    tear_down()?;
    DirBuilder::new().recursive(true).mode(0o700).create(NODE_DIRECTORY)?;
    let flags = SAFE | MountFlags::NOEXEC;
    mount("tmpfs", NODE_DIRECTORY, "tmpfs", flags, c"size=4m,mode=0700")?;
    // Else the kernel would have to carry the namespace into itself, and refuses.
    mount_change(NODE_DIRECTORY, MountPropagationFlags::PRIVATE)?;
    let directory = Path::new(NODE_DIRECTORY);
    let place = directory.join(NODE_NAMESPACE);
    File::create(&place)?;
    mount_bind(format!("/proc/self/fd/{}", namespace.as_raw_fd()), &place)
        .context("pinning the namespace")?;
    let unfinished = directory.join("unfinished");
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
    file.write_all(&serde_json::to_vec(application)?)?;
    fs::rename(&unfinished, directory.join(NODE_FILE))?;
    Ok(())
}

/// Tells the plugin that in this boot there is nothing to enter: not that nobody has told it yet.
pub(super) fn declare_none() -> Result<()> {
    tear_down()?;
    DirBuilder::new().recursive(true).mode(0o700).create(NODE_DIRECTORY)?;
    File::create(Path::new(NODE_DIRECTORY).join(NODE_NO_IMAGE_FILE))
        .context("noting that there is no application image")?;
    Ok(())
}

/// Lets go of the namespace: no task enters any more, and it ends with the last process inside. May be
/// repeated.
pub(super) fn tear_down() -> Result<()> {
    let directory = Path::new(NODE_DIRECTORY);
    // First, because where it is the rest has to be.
    fs::remove_file(directory.join(NODE_FILE)).ok();
    for path in [directory.join(NODE_NAMESPACE), directory.to_owned()] {
        for _ in 0..STACKED_MAX {
            match unmount(&path, UnmountFlags::DETACH) {
                Ok(()) => {}
                // It is no mount, or not there.
                Err(Errno::INVAL | Errno::NOENT) => break,
                Err(error) => return Err(error).context("letting go of the mount namespace"),
            }
        }
    }
    // On the node's own file system, below the mounts.
    fs::remove_file(directory.join(NODE_NO_IMAGE_FILE)).ok();
    Ok(())
}
