//! The run directory: where everything of one cluster lies. Nothing outside it is ever changed.
//! Also the small file operations that go with it.

use crate::cluster::error::{ClusterError, Result, file};
use crate::cluster::node::Node;
use std::fs;
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

/// Where a cluster lies when nothing else is said.
pub const DEFAULT_DIR: &str = "/var/tmp/bare-metal-container/cluster";
/// Longest path of a run directory, in bytes: a socket below it must stay under 108.
const DIR_BYTES_MAX: usize = 80;
/// Places that the cluster's own mounts cover inside its namespace.
const COVERED: [&str; 8] =
    ["/run", "/var/run", "/etc", "/usr", "/home", "/var/lib", "/var/log", "/var/spool"];

/// The run directory of one cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunDir(PathBuf);

impl RunDir {
    /// Checks that the path can be a run directory.
    ///
    /// # Errors
    /// When it is relative, too long for a socket's name, has characters that configuration files
    /// would need quoted, or is covered by the cluster's own mounts.
    pub fn new(dir: &Path) -> Result<Self> {
        let refuse = |rule: &str| {
            let what = format!("run directory {}", dir.display());
            Err(ClusterError::BadOption { what, rule: rule.to_owned() })
        };
        let Some(text) = dir.to_str() else { return refuse("its name is not text") };
        if !dir.is_absolute() || text.len() > DIR_BYTES_MAX || text.contains("..") {
            return refuse("it is an absolute path of at most 80 bytes without '..'");
        }
        if !text.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c)) {
            return refuse("it has only letters, digits and '/._-'");
        }
        if dir.parent().is_none() || COVERED.iter().any(|covered| dir.starts_with(covered)) {
            return refuse("the cluster covers that place inside its own mount namespace");
        }
        Ok(Self(dir.to_owned()))
    }

    /// The directory itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// A file or directory directly or further below it.
    #[must_use]
    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.join(name)
    }

    /// The directory of one node: its controller's files, console, power, fault.
    #[must_use]
    pub fn node(&self, node: Node) -> PathBuf {
        self.join("nodes").join(node.to_string())
    }

    /// Our programs, seen inside as [`PROGRAM_DIR`].
    #[must_use]
    pub fn programs(&self) -> PathBuf {
        self.join("bin")
    }

    /// The file that names the processes holding the namespaces.
    #[must_use]
    pub fn holder(&self) -> PathBuf {
        self.join("holder.json")
    }
}

/// Where our programs lie inside the cluster.
pub const PROGRAM_DIR: &str = "/usr/libexec/bare-metal-container";

/// Who owns a file, and who may read it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Access {
    /// User and group id.
    pub(crate) owner: u32,
    /// The permission bits.
    pub(crate) mode: u32,
}

/// Owned by root, readable by all.
pub(crate) const PUBLIC: Access = Access { owner: 0, mode: 0o644 };
/// A directory owned by root, open to all.
pub(crate) const PUBLIC_DIR: Access = Access { owner: 0, mode: 0o755 };

/// Writes a file whole, with its owner and permissions. Secrets are never readable for a moment.
pub(crate) fn write(path: &Path, contents: impl AsRef<[u8]>, access: Access) -> Result<()> {
    let fresh = path.with_extension("new");
    fs::write(&fresh, b"").map_err(file("write", &fresh))?;
    set_access(&fresh, access)?;
    fs::write(&fresh, contents).map_err(file("write", &fresh))?;
    fs::rename(&fresh, path).map_err(file("write", path))
}

/// Makes a directory and its parents; only the last gets the given owner and permissions.
pub(crate) fn make_dir(path: &Path, access: Access) -> Result<()> {
    fs::create_dir_all(path).map_err(file("make", path))?;
    set_access(path, access)
}

pub(crate) fn set_access(path: &Path, access: Access) -> Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(access.mode))
        .map_err(file("set the permissions of", path))?;
    chown(path, Some(access.owner), Some(access.owner)).map_err(file("set the owner of", path))
}

/// Removes a file or a tree; what does not exist is fine.
pub(crate) fn remove(path: &Path) -> Result<()> {
    let Ok(metadata) = fs::symlink_metadata(path) else { return Ok(()) };
    let removed = if metadata.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    removed.map_err(file("remove", path))
}

/// Bytes from the kernel's random generator.
pub(crate) fn random<const N: usize>() -> Result<[u8; N]> {
    let path = "/dev/urandom";
    let mut bytes = [0; N];
    fs::File::open(path)
        .and_then(|mut source| source.read_exact(&mut bytes))
        .map_err(file("read", path))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_places_that_stay_visible_are_run_directories() {
        for dir in ["/var/tmp/a", DEFAULT_DIR, "/tmp/x_y-1.2"] {
            assert!(RunDir::new(Path::new(dir)).is_ok(), "{dir}");
        }
        let long = format!("/var/tmp/{}", "x".repeat(80));
        for dir in ["", "a", "/", "/run/a", "/home/me/a", "/tmp/a b", "/tmp/../etc/a", &long] {
            assert!(RunDir::new(Path::new(dir)).is_err(), "{dir}");
        }
    }

    #[test]
    fn the_longest_socket_name_fits() {
        let dir = RunDir::new(Path::new(&format!("/{}", "x".repeat(79)))).unwrap();
        let node: Node = "n64".parse().unwrap();
        assert!(dir.node(node).join("virtiofs.sock").as_os_str().len() < 108);
    }
}
