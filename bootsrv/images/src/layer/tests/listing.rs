//! What stands in a tree, line by line, and the tree that a stack of squashfs files shows.

use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

/// Everything about a path, by the path.
pub(super) type Tree = BTreeMap<String, String>;

const STACK: &str = "IMAGES_TEST_STACK";

pub(super) fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap()
}

/// Stands for a time that no archive says: the directory was made or changed by the unpacking.
pub(super) const NOW: &str = "now";

/// Lists a tree; its mtimes after `before` are [`NOW`]. Devices are left out.
pub(super) fn tree(root: &Path, before: i64) -> Tree {
    let mut tree = Tree::new();
    let mut groups: BTreeMap<(u64, u64), String> = BTreeMap::new();
    let mut waiting = vec![root.to_owned()];
    while let Some(path) = waiting.pop() {
        let name =
            path.strip_prefix(root).unwrap().as_os_str().as_bytes().escape_ascii().to_string();
        let data = fs::symlink_metadata(&path).unwrap();
        let kind = data.file_type();
        if kind.is_char_device() || kind.is_block_device() {
            continue;
        }
        // No layer has to say anything about the root's time.
        let new = data.mtime() >= before || name.is_empty();
        let mtime = if new { NOW.to_owned() } else { data.mtime().to_string() };
        let mut line = format!("{mtime} {:o} {}:{}", data.mode(), data.uid(), data.gid());
        if kind.is_symlink() {
            line += &format!(" -> {:?}", fs::read_link(&path).unwrap());
        } else if kind.is_file() {
            let content = fs::read(&path).unwrap();
            line += &format!(" {} bytes {:x}", content.len(), Sha256::digest(&content));
        } else if kind.is_dir() {
            let mut names: Vec<PathBuf> =
                fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()).collect();
            names.sort();
            waiting.extend(names.into_iter().rev());
        }
        for (name, value) in attributes(&path) {
            line += &format!(" {name}={}", value.escape_ascii());
        }
        if !kind.is_dir() {
            let group = groups.entry((data.dev(), data.ino())).or_insert_with(|| name.clone());
            line += &format!(" is {group}");
        }
        tree.insert(name, line);
    }
    tree
}

fn attributes(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut names = vec![0_u8; 65536];
    // A squashfs file in which nothing has attributes does not know the call.
    let length = match rustix::fs::llistxattr(path, &mut names[..]) {
        Err(rustix::io::Errno::NOTSUP) => 0,
        length => length.unwrap(),
    };
    let names = String::from_utf8(names[..length].to_vec()).unwrap();
    let mut attributes = BTreeMap::new();
    for name in names.split_terminator('\0').filter(|name| !name.starts_with("user.rootless")) {
        let mut value = vec![0_u8; 65536];
        let length = rustix::fs::lgetxattr(path, name, &mut value[..]).unwrap();
        attributes.insert(name.to_owned(), value[..length].to_vec());
    }
    attributes
}

/// Lists what overlayfs shows of squashfs files, the lowest first, in a mount namespace of its own.
pub(super) fn mounted(directory: &Path, files: &[PathBuf], before: i64) -> Tree {
    let output = directory.join("listing.json");
    let stack = serde_json::json!({
        "directory": directory, "files": files, "before": before, "output": output,
    });
    let status = Command::new("unshare")
        .arg("--mount")
        .arg(std::env::current_exe().unwrap())
        .args(["layer::tests::listing::lister", "--exact", "--nocapture"])
        .env(STACK, stack.to_string())
        .output()
        .expect("unshare is needed for this test");
    let words = String::from_utf8_lossy(&status.stdout);
    assert!(status.status.success(), "{words}{}", String::from_utf8_lossy(&status.stderr));
    serde_json::from_slice(&fs::read(output).unwrap()).unwrap()
}

/// Not a test by itself: the child of the function above, alone in its mount namespace.
#[test]
fn lister() {
    let Ok(stack) = std::env::var(STACK) else { return };
    let stack: serde_json::Value = serde_json::from_str(&stack).unwrap();
    let directory = Path::new(stack["directory"].as_str().unwrap());
    // overlayfs wants two lower directories at least.
    let empty = directory.join("empty");
    fs::create_dir_all(&empty).unwrap();
    let mut lower = vec![empty.display().to_string()];
    for (number, file) in stack["files"].as_array().unwrap().iter().enumerate() {
        let at = directory.join(format!("mount{number}")).display().to_string();
        fs::create_dir_all(&at).unwrap();
        let options = "loop,ro,nosuid,nodev";
        super::run("mount", &["-t", "squashfs", "-o", options, file.as_str().unwrap(), &at]);
        lower.insert(0, at);
    }
    let root = directory.join("root");
    fs::create_dir_all(&root).unwrap();
    let options = format!("lowerdir={}", lower.join(":"));
    super::run("mount", &["-t", "overlay", "-o", &options, "overlay", root.to_str().unwrap()]);
    let tree = tree(&root, stack["before"].as_i64().unwrap());
    let text = serde_json::to_vec(&tree).unwrap();
    fs::write(stack["output"].as_str().unwrap(), text).unwrap();
}
