//! What an image's root gets of the node: names, devices, directories, sockets.
//!
//! The image is hostile, see `target`. Account tables are written first: until then there is nothing in
//! the root but the image.

use super::NodeFacts;
use super::blame::EveryNodes;
use super::target::{self, Kind};
use super::tree::{Limits, bind};
use super::user::User;
use crate::console::say;
use crate::files::Root;
use anyhow::{Context as _, Result, anyhow};
use protocol::application::{
    ApplicationPlan, BindMount, NODE_ROOT_DIRECTORY, SLURM_COMMANDS_DIRECTORY,
};
use protocol::boot::SiteFile;
use rustix::fd::{AsRawFd as _, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::Errno;
use rustix::mount::{UnmountFlags, unmount};
use std::fs;
use std::path::Path;

/// Longest file of the node that is copied, and of the image that is read, in bytes. An image's longer
/// file counts as none.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Files of the node that take the place of the image's.
const NODE_FILES: [&str; 3] = ["/etc/resolv.conf", "/etc/hosts", "/etc/hostname"];
/// Where names are looked up, for images that do not say it.
const NAME_SERVICE: (&str, &str) =
    ("/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n");
/// Directories of the node, each only if the node has it. The last two are what a Slurm of the image's
/// own needs to talk to the cluster.
const DIRECTORIES: [&str; 6] = ["/proc", "/sys", "/tmp", "/var/tmp", "/run/munge", "/run/slurm"];
/// A home below one of these is a system account's: the image keeps its own.
const SYSTEM: [&str; 10] =
    ["/bin", "/boot", "/dev", "/etc", "/lib", "/lib64", "/proc", "/sbin", "/sys", "/usr"];

/// Gives the image's root what the job needs of the node. `stage` is the node's path below which this
/// mount namespace has its own mounts.
pub(super) fn dress(
    image: &Root,
    plan: &ApplicationPlan,
    node: &NodeFacts,
    stage: &Path,
) -> Result<()> {
    files(image, node.user.as_ref())
        .and_then(|files| image.write(&files))
        .context(EveryNodes("the image's /etc".into()))?;
    if node.slurm_commands.is_some() {
        let root = open("/")?;
        bind(
            &root,
            target::open(image, NODE_ROOT_DIRECTORY, Kind::Directory)?,
            Limits::ReadOnlyTop,
        )?;
        hide(image, Path::new("/"), NODE_ROOT_DIRECTORY, stage)?;
        one(image, SLURM_COMMANDS_DIRECTORY, SLURM_COMMANDS_DIRECTORY, Limits::ReadOnly)?;
    }
    one(image, "/dev", "/dev", Limits::Devices)?;
    for path in DIRECTORIES.into_iter().chain([node.spool_directory.as_str()]) {
        if Path::new(path).is_dir() {
            one(image, path, path, Limits::NoDevices)?;
        }
    }
    if let Some(user) = &node.user {
        home(image, user)?;
    }
    for mount in &plan.mounts {
        asked(image, mount, node.user.as_ref(), stage)
            .with_context(|| EveryNodes(format!("the mount {mount}")))?;
    }
    Ok(())
}

/// What stands in the image's `/etc` afterwards.
fn files(image: &Root, user: Option<&User>) -> Result<Vec<SiteFile>> {
    let file = |path: &str, content: Vec<u8>| SiteFile {
        path: path.to_owned(),
        mode: 0o644,
        owner: "0".to_owned(),
        group: "0".to_owned(),
        content,
    };
    let mut files: Vec<_> = NODE_FILES
        .into_iter()
        .filter_map(|path| {
            let content = fs::read(path).ok()?;
            (content.len() as u64 <= FILE_BYTES_MAX).then(|| file(path, content))
        })
        .collect();
    let (name_service, text) = NAME_SERVICE;
    if image.read(name_service, FILE_BYTES_MAX)?.is_none() {
        files.push(file(name_service, text.into()));
    }
    if let Some(user) = user {
        let table =
            |path| -> Result<Vec<u8>> { Ok(image.read(path, FILE_BYTES_MAX)?.unwrap_or_default()) };
        let shell = if image.is_program(&user.shell) { &user.shell } else { "/bin/sh" };
        let passwd = user.passwd(&table("/etc/passwd")?, shell);
        files.push(file("/etc/passwd", passwd));
        files.push(file("/etc/group", user.group(&table("/etc/group")?)));
    }
    Ok(files)
}

/// The home directory, at the path of the account and at the one it really has: a job's working
/// directory may be either.
fn home(image: &Root, user: &User) -> Result<()> {
    let path = user.home.trim_end_matches('/');
    let is_systems = |path: &str| {
        path.is_empty() || SYSTEM.iter().any(|system| Path::new(path).starts_with(system))
    };
    if is_systems(path) {
        return Ok(());
    }
    let source = match user.act_as(|| open_of_user(path))? {
        Ok(source) => source,
        Err(error) => {
            say(format_args!("the home directory {path} cannot be shown in the image: {error}"));
            return Ok(());
        }
    };
    let real = fs::read_link(descriptor(&source))?;
    let real = real.to_string_lossy();
    for place in [Some(path), (real != path).then_some(&*real)].into_iter().flatten() {
        if place != "/" && !is_systems(place) {
            bind(&source, target::open(image, place, Kind::Directory)?, Limits::NoDevices)
                .with_context(|| format!("the home directory {path}"))?;
        }
    }
    Ok(())
}

/// A mount of the site or of the user.
fn asked(image: &Root, mount: &BindMount, user: Option<&User>, stage: &Path) -> Result<()> {
    let BindMount { source: path, target: at, read_only } = mount;
    let user = user.context("the node does not know the user who asks for it")?;
    let source = user.act_as(|| open_of_user(path))?.map_err(|error| match error {
        Errno::NOENT => anyhow!("the node has no {path}"),
        Errno::ACCESS | Errno::PERM => anyhow!("the user may not enter {path} on the node"),
        other => anyhow!("{path} of the node cannot be opened: {other}"),
    })?;
    let limits = if *read_only { Limits::ReadOnly } else { Limits::NoDevices };
    bind(&source, target::open(image, at, target::kind_of(&source)?)?, limits)?;
    hide(image, &fs::read_link(descriptor(&source))?, at, stage)
}

fn one(image: &Root, source: &str, at: &str, limits: Limits) -> Result<()> {
    let source = open(source).with_context(|| format!("opening {source} of the node"))?;
    bind(source, target::open(image, at, Kind::Directory)?, limits)
        .with_context(|| format!("showing {at} in the image"))
}

/// Opens a place of the node. As a directory first: that mounts what an automounter has there.
fn open(path: &str) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    match rustix::fs::open(path, flags | OFlags::DIRECTORY, Mode::empty()) {
        Err(Errno::NOTDIR) => rustix::fs::open(path, flags, Mode::empty()),
        other => other,
    }
}

/// As [`open`], for a path of the user's. No link of `/proc/self/fd` and the like: it would open what
/// this process has open.
fn open_of_user(path: &str) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let open = |flags| openat2(CWD, path, flags, Mode::empty(), ResolveFlags::NO_MAGICLINKS);
    match open(flags | OFlags::DIRECTORY) {
        Err(Errno::NOTDIR) => open(flags),
        other => other,
    }
}

/// Where `from` of the node is shown at `at`: takes away what this namespace mounted below `stage`.
fn hide(image: &Root, from: &Path, at: &str, stage: &Path) -> Result<()> {
    let Ok(inside) = stage.strip_prefix(from) else { return Ok(()) };
    let shown = target::open(image, at, Kind::Directory)?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let place = openat(&shown, inside, flags, Mode::empty())?;
    unmount(descriptor(&place), UnmountFlags::DETACH).context("hiding the parts of the image")
}

fn descriptor(place: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", place.as_raw_fd())
}

#[cfg(test)]
mod tests {
    use super::super::blame::spares_node;
    use super::*;

    #[test]
    fn what_the_node_lacks_is_its_fault_and_what_the_image_lacks_is_the_jobs() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("file"), "").unwrap();
        let image = Root::open(root.path()).unwrap();
        let blame = |source, at| {
            let error = one(&image, source, at, Limits::NoDevices).unwrap_err();
            (spares_node(&error), format!("{error:#}"))
        };
        let (spares, text) = blame("/nonexistent", "/x");
        assert!(!spares && text.contains("opening /nonexistent of the node"), "{text}");
        let (spares, text) = blame("/usr", "/file/x");
        assert!(spares && text.contains("the image has no place for /file/x"), "{text}");
    }
}
