//! Copies programs with every library they need out of a root, as the root's own dynamic loader
//! resolves them.

use anyhow::{Context, Result, bail};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The loader's place, fixed by the x86-64 psABI.
const LOADER: &str = "/lib64/ld-linux-x86-64.so.2";

/// Copies files, given relative to the root, with their libraries and the loader.
pub(super) fn copy(
    root: &Path,
    tree: &Path,
    files: impl IntoIterator<Item = PathBuf>,
) -> Result<()> {
    let mut all: BTreeSet<PathBuf> = [PathBuf::from(LOADER.trim_start_matches('/'))].into();
    for file in files {
        all.extend(libraries(root, &file)?);
        all.insert(file);
    }
    for link in ["bin", "lib", "lib64", "sbin"] {
        let (from, to) = (root.join(link), tree.join(link));
        if from.is_symlink() && !to.is_symlink() {
            let target = fs::read_link(from)?;
            fs::create_dir_all(tree.join(&target))?;
            std::os::unix::fs::symlink(target, to)?;
        }
    }
    for file in all {
        let to = tree.join(&file);
        if let Some(parent) = to.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::copy(root.join(&file), &to).with_context(|| format!("copying {}", file.display()))?;
    }
    Ok(())
}

fn libraries(root: &Path, file: &Path) -> Result<Vec<PathBuf>> {
    let output = Command::new("/usr/sbin/chroot")
        .arg(root)
        .args([LOADER, "--list"])
        .arg(Path::new("/").join(file))
        .output()
        .context("starting chroot")?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() || text.contains("not found") {
        let complaint = String::from_utf8_lossy(&output.stderr);
        bail!("{} lacks a library: {text}{}", file.display(), complaint.trim());
    }
    Ok(resolved(&text))
}

/// The paths in the loader's list (`NAME => PATH (ADDRESS)`), relative.
fn resolved(text: &str) -> Vec<PathBuf> {
    let paths = text.lines().filter_map(|line| line.split_once("=> ")?.1.split_whitespace().next());
    paths.map(|path| PathBuf::from(path.trim_start_matches('/'))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_own_and_the_loader_are_no_files_to_copy() {
        let text = "\tlinux-vdso.so.1 (0x00007f)\n\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 \
                    (0x7f)\n\t/lib64/ld-linux-x86-64.so.2 (0x7f)\n";
        assert_eq!(resolved(text), [PathBuf::from("lib/x86_64-linux-gnu/libc.so.6")]);
    }
}
