//! Whether what a job asks for can work at all: its kernel with its image, and this server's programs.

use super::Request;
use crate::hub::Hub;
use artifacts::Kernel;
use artifacts::program::Program;
use protocol::application::RootMode;
use protocol::error::{ApiError, ErrorKind};
use std::time::Duration;

/// The first Linux that can give a mount tree other attributes as a whole (`mount_setattr`), by which a
/// node makes an image's root.
const KERNEL_MIN: (u32, u32) = (5, 12);
/// The module that mounts NFS 4.
const NFS_MODULE: &str = "nfsv4";

/// The programs that convert images, as `artifacts::squashfs` runs them.
const TOOLS: [&str; 3] = ["tar2sqfs", "sqfs2tar", "sqfscat"];

/// Refuses a kernel on which no node could enter the image as it is asked for. What is not known of a
/// kernel is left to the node.
///
/// # Errors
/// When the kernel is too old, or cannot mount the image's root.
pub fn check(hub: &Hub, kernel: &Kernel, request: &Request) -> Result<(), ApiError> {
    let (name, release) = (&kernel.name, &kernel.release);
    if version(release).is_some_and(|version| version < KERNEL_MIN) {
        let (major, minor) = KERNEL_MIN;
        let text = format!(
            "kernel {name} is Linux {release}, and an application image needs {major}.{minor} or newer"
        );
        return Err(ApiError::new(ErrorKind::User, text)
            .hint("Choose a newer kernel: --bmc-kernel=help lists them."));
    }
    if request.root == RootMode::Nfs && hub.has_module(kernel, NFS_MODULE) == Some(false) {
        let text = format!(
            "kernel {name} has no module {NFS_MODULE}: it cannot have an image's root on NFS"
        );
        return Err(ApiError::new(ErrorKind::User, text)
            .hint("Use --bmc-root=ram, or choose another kernel: --bmc-kernel=help lists them."));
    }
    Ok(())
}

/// Major and minor number of a release.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// What is missing on this machine for application images, a sentence each.
#[must_use]
pub fn missing_tools() -> Vec<String> {
    let missing = TOOLS.iter().filter_map(|tool| Program::find(tool, Duration::ZERO).err());
    missing.map(|error| format!("application images cannot all be converted: {error}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::application::request::tests::example;
    use crate::config::Config;
    use crate::examples::CONFIG;
    use protocol::boot::ArtifactRef;
    use protocol::names::Digest;
    use std::path::Path;
    use std::process::Command;

    fn kernel(byte: u8, release: &str) -> Kernel {
        let artifact = ArtifactRef { sha256: Digest([byte; 32]), bytes: 1 };
        Kernel {
            name: "k".parse().unwrap(),
            release: release.into(),
            vmlinuz: artifact.clone(),
            initrd: artifact.clone(),
            modules: artifact,
            bytes: 3,
            initrd_inputs: Digest([0; 32]),
            initrd_modules: vec![],
            initrd_builtin: vec![],
            initrd_missing: vec![],
        }
    }

    /// A module tree with these two tables.
    fn tree(directory: &Path, to: &Path, release: &str, dep: &str, builtin: &str) {
        let root = directory.join(format!("root-{release}"));
        let tables = root.join("usr/lib/modules").join(release);
        std::fs::create_dir_all(&tables).unwrap();
        std::fs::write(tables.join("modules.dep"), dep).unwrap();
        std::fs::write(tables.join("modules.builtin"), builtin).unwrap();
        let made = Command::new("mksquashfs").arg(&root).arg(to).arg("-quiet").output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    }

    #[test]
    fn a_kernel_that_cannot_enter_images_is_refused_before_anything_boots() {
        let directory = tempfile::tempdir().unwrap();
        let text = CONFIG.replace("STATE", &directory.path().to_string_lossy());
        let config: Config = toml::from_str(&text).unwrap();
        let hub = Hub::open(&config, "/none".as_ref()).unwrap();
        let nfs = Request { root: RootMode::Nfs, ..example() };
        let said = |kernel: &Kernel, request: &Request| {
            check(&hub, kernel, request).err().map(|error| error.to_string())
        };
        for old in ["5.10.0-30-amd64", "5.11.22", "4.18.0-553.el8.x86_64"] {
            let refused = said(&kernel(9, old), &example()).unwrap();
            assert!(refused.contains("needs 5.12 or newer"), "{refused}");
        }
        for fine in ["5.12.0", "5.14.0-427.el9.x86_64", "6.1.0-25-amd64", "strange"] {
            assert_eq!(said(&kernel(9, fine), &example()), None, "{fine}");
            assert_eq!(said(&kernel(9, fine), &nfs), None, "its tree is not there: not known");
        }
        let other = "kernel/fs/nfs/nfs.ko:\n";
        let module = "kernel/fs/nfs/nfsv4.ko: kernel/fs/nfs/nfs.ko\n";
        for (byte, dep, builtin, has) in [
            (1, module, "", true),
            (2, other, "kernel/fs/nfs/nfsv4.ko\n", true),
            (3, "kernel/x/y.ko: kernel/fs/nfs/nfsv4.ko\n", "kernel/fs/ext4.ko\n", false),
        ] {
            let release = format!("6.1.{byte}");
            let one = kernel(byte, &release);
            tree(directory.path(), &hub.path(&one.modules.sha256), &release, dep, builtin);
            assert_eq!(said(&one, &example()), None);
            let refused = said(&one, &nfs);
            assert_eq!(refused.is_none(), has, "{refused:?}");
            assert!(has || refused.unwrap().contains("Use --bmc-root=ram"));
        }
    }
}
