//! Assembles the node's root: the node image's layers and the kernel's modules under an overlay that
//! can be written, all in memory.
//!
//! Knows which parts there are; does not know where their files come from or who will live in the root.

use crate::modules::MODULES_MOUNT;
use crate::stack;
use anyhow::{Context as _, Result};
use protocol::boot::BootPlan;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use std::ffi::CString;
use std::fs;
use std::path::{Path, PathBuf};

const ARTIFACTS: &str = "/stage/artifacts";
const LAYERS: &str = "/stage/layers";
const UPPER: &str = "/stage/upper";
/// The root to be.
pub(crate) const NEW_ROOT: &str = "/stage/root";
/// How much of the memory files written by the node may take.
const UPPER_SIZE: &str = "size=50%,mode=0755";

/// Makes the tmpfs for the artifacts, just large enough, and the mount points.
pub(crate) fn prepare(plan: &BootPlan) -> Result<()> {
    for directory in [ARTIFACTS, MODULES_MOUNT, LAYERS, UPPER, NEW_ROOT] {
        fs::create_dir_all(directory)?;
    }
    // A page more for each file, because a tmpfs counts in pages.
    let bytes = artifact_bytes(plan).saturating_add((plan.root.len() as u64 + 16) << 12);
    let options = CString::new(format!("size={bytes},mode=0700"))?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount("tmpfs", ARTIFACTS, "tmpfs", flags, &*options).context("mounting the artifacts' tmpfs")
}

/// What the root takes of the memory before anything is written.
pub(crate) fn artifact_bytes(plan: &BootPlan) -> u64 {
    plan.root.iter().fold(plan.modules.bytes, |sum, layer| sum.saturating_add(layer.bytes))
}

/// Where the modules squashfs is to be written.
pub(crate) fn modules_file() -> PathBuf {
    Path::new(ARTIFACTS).join("modules")
}

/// Where a layer's squashfs is to be written; 0 is the lowest.
pub(crate) fn layer_file(index: usize) -> PathBuf {
    Path::new(ARTIFACTS).join(format!("layer-{index}"))
}

/// Mounts the modules squashfs at [`MODULES_MOUNT`].
pub(crate) fn mount_modules() -> Result<()> {
    stack::mount_squashfs(&modules_file(), Path::new(MODULES_MOUNT), MountFlags::NODEV)
        .context("mounting the kernel's module tree")
}

/// Mounts the image's `count` layers, and over them the modules and what the node writes, at
/// [`NEW_ROOT`].
pub(crate) fn mount_root(count: usize) -> Result<()> {
    let files: Vec<_> = (0..count).map(layer_file).collect();
    stack::mount_layers(&files, Path::new(LAYERS), MountFlags::NODEV)
        .context("mounting the node image")?;
    stack::mount_overlay(
        (Path::new(LAYERS), count),
        Some(Path::new(MODULES_MOUNT)),
        (Path::new(UPPER), UPPER_SIZE),
        Path::new(NEW_ROOT),
        MountFlags::NODEV,
    )
}

/// Takes the parts of the root out of sight; the overlay holds on to them.
pub(crate) fn hide_parts() -> Result<()> {
    let layers = fs::read_dir(LAYERS)?.flatten().map(|entry| entry.path());
    for part in layers.chain([MODULES_MOUNT, UPPER, ARTIFACTS].map(PathBuf::from)) {
        unmount(&part, UnmountFlags::DETACH)
            .with_context(|| format!("detaching {}", part.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::application::tests::node::{Layer, layer, on_a_node};
    use protocol::boot::ArtifactRef;
    use rustix::mount::mount_bind_recursive;
    use std::os::unix::fs::MetadataExt as _;

    fn boot_plan(root: Vec<ArtifactRef>, modules: ArtifactRef) -> BootPlan {
        let mut plan: BootPlan = serde_json::from_str(
            r#"{"node":"n1","job":null,"kernel_release":"6.1","root":[],"settings":[],"files":[],
                "mounts":[],"init":[],"time_unix_ns":0,"heartbeat_seconds":1,
                "modules":{"bytes":0,"sha256":
                "0000000000000000000000000000000000000000000000000000000000000000"}}"#,
        )
        .unwrap();
        (plan.root, plan.modules) = (root, modules);
        plan
    }

    /// In a directory with the kernel's interfaces, as the initrd's root is.
    #[test]
    fn layers_and_modules_are_one_root() {
        on_a_node(|| {
            let with = |name: &str, files: &[(&str, &str)]| {
                layer(name, |root| {
                    for (path, text) in files {
                        let path = root.join(path);
                        fs::create_dir_all(path.parent().unwrap()).unwrap();
                        fs::write(path, text).unwrap();
                    }
                })
            };
            let below = with("root-below", &[("etc/a", "below"), ("etc/same", "below")]);
            let above = with("root-above", &[("etc/b", "above"), ("etc/same", "above")]);
            let modules = with("root-modules", &[("usr/lib/modules/6.1/x.ko", "")]);
            let artifact = |layer: &Layer| layer.artifact.clone();
            let plan = boot_plan(vec![artifact(&below), artifact(&above)], artifact(&modules));

            let initrd = Path::new("/mnt/initrd");
            for interface in ["/dev", "/proc", "/sys"] {
                let place = initrd.join(interface.trim_start_matches('/'));
                fs::create_dir_all(&place).unwrap();
                mount_bind_recursive(interface, &place).unwrap();
            }
            let files = [&below, &above, &modules].map(|layer| fs::read(&layer.file).unwrap());
            // From inside they could not be removed.
            drop((below, above, modules));
            rustix::process::chroot(initrd).unwrap();
            rustix::process::chdir("/").unwrap();
            prepare(&plan).unwrap();
            for (file, content) in [layer_file(0), layer_file(1), modules_file()].iter().zip(files)
            {
                fs::write(file, content).unwrap();
            }
            mount_modules().unwrap();
            mount_root(2).unwrap();
            hide_parts().unwrap();

            let root = Path::new(NEW_ROOT);
            let read = |path: &str| fs::read_to_string(root.join(path)).unwrap();
            assert_eq!(
                [read("etc/a"), read("etc/b"), read("etc/same")],
                ["below", "above", "above"]
            );
            assert!(root.join("usr/lib/modules/6.1/x.ko").is_file());
            fs::write(root.join("etc/same"), "written").unwrap();
            assert_eq!((read("etc/same").as_str(), root.metadata().unwrap().uid()), ("written", 0));
            assert_eq!(fs::read_dir(ARTIFACTS).unwrap().count(), 0);
        });
    }
}
