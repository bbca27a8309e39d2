//! Writes files into the new root, and opens places in it.
//!
//! Every path is resolved by the kernel inside the root (`RESOLVE_IN_ROOT`), so that a link in the
//! image cannot lead outside. Never prints a content.

use crate::accounts;
use anyhow::{Context as _, Result, bail};
use protocol::boot::SiteFile;
use rustix::fd::{AsFd, AsRawFd as _, OwnedFd};
use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Uid, fchmod, fchown, fstat, mkdirat,
    openat, openat2, renameat, unlinkat,
};
use rustix::io::Errno;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::Path;

/// Largest passwd or group file read, in bytes.
const TABLE_BYTES_MAX: u64 = 16 << 20;
/// Most attempts at a path while names and mounts change elsewhere on the node.
const RESOLVE_TRIES: u32 = 1000;
/// The name under which a file is written before it takes its place.
const UNFINISHED: &str = ".node-agent-unfinished";

/// The root to be, held open.
#[derive(Debug)]
pub(crate) struct Root {
    directory: OwnedFd,
}

impl Root {
    /// Opens the directory that the node will see as `/`.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self { directory: rustix::fs::open(path, flags, Mode::empty())? })
    }

    /// Writes all the files, each complete or not at all.
    pub(crate) fn write(&self, files: &[SiteFile]) -> Result<()> {
        if files.is_empty() {
            return Ok(());
        }
        // Numbers need no table: an image's may be as large as it likes.
        let table = |path, is_named: bool| {
            if is_named { self.read_table(path) } else { Ok(String::new()) }
        };
        let is_name = |account: &str| account.parse::<u32>().is_err();
        let users = table("/etc/passwd", files.iter().any(|file| is_name(&file.owner)))?;
        let groups = table("/etc/group", files.iter().any(|file| is_name(&file.group)))?;
        for file in files {
            self.write_one(file, &users, &groups)
                .with_context(|| format!("writing the file {}", file.path))?;
        }
        Ok(())
    }

    /// Opens a directory for use as a place (`O_PATH`), made with its parents if it is not there.
    pub(crate) fn directory(&self, path: &str) -> Result<OwnedFd> {
        let mut reached = String::new();
        let mut parent = self.resolve("/", OFlags::PATH | OFlags::DIRECTORY)?;
        for part in parts(path)? {
            reached.push('/');
            reached.push_str(part);
            let flags = OFlags::PATH | OFlags::DIRECTORY;
            parent = match self.resolve(&reached, flags) {
                Err(Errno::NOENT) => {
                    mkdirat(&parent, part, Mode::from_raw_mode(0o755))
                        .with_context(|| format!("making the directory {reached}"))?;
                    self.resolve(&reached, flags)
                }
                other => other,
            }
            .with_context(|| format!("opening the directory {reached}"))?;
        }
        Ok(parent)
    }

    /// Whether there is a file that may be run.
    pub(crate) fn is_program(&self, path: &str) -> bool {
        self.resolve(path, OFlags::PATH).and_then(fstat).is_ok_and(|stat| {
            FileType::from_raw_mode(stat.st_mode).is_file() && stat.st_mode & 0o111 != 0
        })
    }

    /// Opens what is at a path of the root, links followed inside of it.
    pub(crate) fn resolve(&self, path: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
        let inside = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let open =
            || openat2(&self.directory, path, flags | OFlags::CLOEXEC, Mode::empty(), inside);
        // At each `..` the kernel gives up if anything was renamed or mounted meanwhile, anywhere.
        (1..RESOLVE_TRIES).map(|_| open()).find(|found| !is_again(found)).unwrap_or_else(open)
    }

    /// A regular file's content; none if nothing is there, or no regular file of at most `bytes_max`:
    /// opening a pipe or a device of an image could wait for ever.
    pub(crate) fn read(&self, path: &str, bytes_max: u64) -> Result<Option<Vec<u8>>> {
        let found = match self.resolve(path, OFlags::PATH) {
            Ok(found) => found,
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("reading {path}")),
        };
        let stat = fstat(&found)?;
        let is_regular = FileType::from_raw_mode(stat.st_mode).is_file();
        if !is_regular || u64::try_from(stat.st_size)? > bytes_max {
            return Ok(None);
        }
        let mut content = Vec::new();
        File::open(format!("/proc/self/fd/{}", found.as_raw_fd()))
            .and_then(|file| file.take(bytes_max).read_to_end(&mut content))
            .with_context(|| format!("reading {path}"))?;
        Ok(Some(content))
    }

    /// An account table of the image; empty if it has none.
    fn read_table(&self, path: &str) -> Result<String> {
        let text = self.read(path, TABLE_BYTES_MAX)?.unwrap_or_default();
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    fn write_one(&self, file: &SiteFile, users: &str, groups: &str) -> Result<()> {
        let owner = accounts::number(users, &file.owner)
            .with_context(|| format!("the image has no user {}", file.owner))?;
        let group = accounts::number(groups, &file.group)
            .with_context(|| format!("the image has no group {}", file.group))?;
        let (parent, name) = file.path.rsplit_once('/').context("the path is not absolute")?;
        if parts(&file.path)?.last() != Some(&name) {
            bail!("the path ends with a slash");
        }
        let parent = self.directory(parent)?;
        let ids = (Uid::from_raw(owner), Gid::from_raw(group));
        // Left by a try before, or put there by an image.
        unlinkat(&parent, UNFINISHED, AtFlags::empty()).ok();
        let written = fill(&parent, file, ids)
            // What stood there, link or file, is replaced, not followed.
            .and_then(|()| Ok(renameat(&parent, UNFINISHED, &parent, name)?));
        if written.is_err() {
            unlinkat(&parent, UNFINISHED, AtFlags::empty()).ok();
        }
        written
    }
}

fn is_again(found: &Result<OwnedFd, Errno>) -> bool {
    matches!(found, Err(Errno::AGAIN))
}

fn fill(parent: impl AsFd, file: &SiteFile, (owner, group): (Uid, Gid)) -> Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut target = File::from(openat(parent, UNFINISHED, flags, Mode::from_raw_mode(0o600))?);
    target.write_all(&file.content)?;
    // The owner first: a change of owner takes set-user-id bits away.
    fchown(&target, Some(owner), Some(group))?;
    fchmod(&target, Mode::from_raw_mode(file.mode & 0o7777))?;
    Ok(())
}

/// The parts of an absolute path; `.` and empty ones do not count, `..` is refused.
pub(crate) fn parts(path: &str) -> Result<Vec<&str>> {
    let inside =
        if path.is_empty() { "" } else { path.strip_prefix('/').context("not absolute")? };
    let parts: Vec<_> = inside.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    if parts.contains(&"..") || path.contains('\0') {
        bail!("the path {path:?} holds \"..\"");
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

    fn file(path: &str) -> SiteFile {
        let me = fs::metadata("/proc/self").unwrap();
        SiteFile {
            path: path.into(),
            mode: 0o640,
            owner: me.uid().to_string(),
            group: me.gid().to_string(),
            content: b"new".to_vec(),
        }
    }

    #[test]
    fn files_get_content_mode_and_parents() {
        let base = tempfile::tempdir().unwrap();
        let root = Root::open(base.path()).unwrap();
        root.write(&[file("/etc/munge/munge.key"), file("/etc/munge/munge.key")]).unwrap();
        let written = base.path().join("etc/munge/munge.key");
        assert_eq!(fs::read(&written).unwrap(), b"new");
        assert_eq!(fs::metadata(&written).unwrap().permissions().mode() & 0o7777, 0o640);
        assert!(root.write(&[SiteFile { owner: "nobody-here".into(), ..file("/x") }]).is_err());
    }

    #[test]
    fn paths_are_found_while_the_node_renames() {
        let base = tempfile::tempdir().unwrap();
        fs::create_dir_all(base.path().join("a/b")).unwrap();
        let ups = "/a/b/../..".repeat(5) + "/a";
        let root = Root::open(base.path()).unwrap();
        let (one, other) = (base.path().join("one"), base.path().join("other"));
        fs::create_dir(&one).unwrap();
        let is_over = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
                    fs::rename(&one, &other).unwrap();
                    fs::rename(&other, &one).unwrap();
                }
            });
            let failed = (0..2000).find_map(|_| root.resolve(&ups, OFlags::PATH).err());
            is_over.store(true, std::sync::atomic::Ordering::Relaxed);
            assert_eq!(failed, None);
        });
    }

    #[test]
    fn links_do_not_lead_outside() {
        let base = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        let root_path = base.path().join("root");
        fs::create_dir(&root_path).unwrap();
        symlink(outside.path(), root_path.join("absolute")).unwrap();
        symlink("../../../../../../..", root_path.join("up")).unwrap();
        symlink(outside.path().join("target"), root_path.join("link")).unwrap();
        fs::create_dir(root_path.join("usr")).unwrap();
        symlink("usr", root_path.join("inner")).unwrap();
        let root = Root::open(&root_path).unwrap();

        assert!(root.write(&[file("/absolute/x")]).is_err());
        root.write(&[file("/up/x"), file("/link"), file("/inner/x")]).unwrap();
        assert!(root_path.join("x").is_file(), "up from the root is the root");
        assert!(root_path.join("link").symlink_metadata().unwrap().is_file());
        assert!(root_path.join("usr/x").is_file());
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
        for bad in ["", "x", "/", "/a/../x", "/a/", "../x", "/etc/\0x"] {
            assert!(root.write(&[file(bad)]).is_err(), "{bad:?}");
        }
    }
}
