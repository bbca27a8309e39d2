//! An image's layers as files this node can read: copied into memory and proved, or on an NFS server.
//!
//! Runs in the job's mount namespace: what is mounted here, the node never sees.

use super::blame::{EveryNodes, within};
use super::node_program;
use crate::download::{Fetch, fetch_all};
use crate::machine::{cpus_possible, memory};
use crate::modules::Modules;
use crate::mounts;
use anyhow::{Context as _, Result, bail};
use protocol::application::{ApplicationPlan, LayerSource};
use protocol::boot::{ArtifactRef, Mount};
use rustix::io::Errno;
use rustix::mount::{MountFlags, mount};
use std::collections::HashSet;
use std::ffi::CString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Memory that must be left beside the layers for the node's own programs, in KiB.
const RESERVE_KIB: u64 = 64 << 10;
/// Memory of the kernel for each mounted layer and each CPU, in KiB: many kernels (Debian's:
/// `SQUASHFS_DECOMP_MULTI_PERCPU`) have for each possible CPU a zstd workspace (740 KiB for our blocks of
/// 256 KiB, measured on Linux 6.18) and one block. No kernel says how it was built: taken as the most.
const CPU_KIB: u64 = 1 << 10;
/// And for each mounted layer whatever the CPUs: caches of blocks and of metadata (832 KiB), in KiB.
const MOUNT_KIB: u64 = 1 << 10;
/// What NFS version 4 is made of; a kernel that has it built in has no such module.
const NFS_MODULE: &str = "nfsv4";
/// How long looking at the layers' files on a server may take.
const LOOK: Duration = Duration::from_secs(60);

/// Brings the layers; gives their files, the lowest first.
pub(super) fn bring(
    plan: &ApplicationPlan,
    directory: &Path,
    fetch: &Fetch<'_>,
) -> Result<Vec<PathBuf>> {
    if plan.layers.is_empty() {
        bail!(EveryNodes("the plan names no layer".into()));
    }
    fs::create_dir_all(directory)?;
    let unpacking_kib = unpacking_kib(plan.layers.len(), cpus_possible());
    let available_kib = memory("MemAvailable");
    let file = |layer: &ArtifactRef| directory.join(layer.sha256.to_string());
    match &plan.source {
        LayerSource::Ram => {
            let layers = each_once(&plan.layers);
            check_memory(&layers, unpacking_kib, available_kib)?;
            mount_tmpfs(&layers, directory)?;
            let files = layers.into_iter().map(|layer| (layer.clone(), file(layer))).collect();
            fetch_all(fetch, files, "image's layers")?;
        }
        LayerSource::Nfs { source, options } => {
            check_memory(&[], unpacking_kib, available_kib)?;
            mount_nfs(source, options, directory).with_context(|| {
                EveryNodes(format!("the images' directory {source} cannot be mounted"))
            })?;
            let files: Vec<_> =
                plan.layers.iter().map(|layer| (layer.clone(), file(layer))).collect();
            within(LOOK, "looking at the layers", move || check_files(&files))
                .with_context(|| EveryNodes(format!("in {source}")))?;
        }
    }
    Ok(plan.layers.iter().map(file).collect())
}

/// An image may have the same layer twice.
fn each_once(layers: &[ArtifactRef]) -> Vec<&ArtifactRef> {
    let mut seen = HashSet::new();
    layers.iter().filter(|layer| seen.insert(layer.sha256)).collect()
}

/// What the kernel needs to unpack so many mounted layers.
fn unpacking_kib(layers: usize, cpus: u32) -> u64 {
    let layers = u64::try_from(layers).unwrap_or(u64::MAX);
    layers.saturating_mul(MOUNT_KIB + CPU_KIB * u64::from(cpus.max(1)))
}

/// Says clearly what would otherwise be a full tmpfs in the middle of a download, or a layer that cannot
/// be mounted. `kept`: the layers that are kept in memory.
fn check_memory(kept: &[&ArtifactRef], unpacking_kib: u64, available_kib: u64) -> Result<()> {
    let kept_kib = kept.iter().fold(0, |sum: u64, layer| sum.saturating_add(layer.bytes)) / 1024;
    let needed_kib = kept_kib.saturating_add(unpacking_kib).saturating_add(RESERVE_KIB);
    if available_kib > 0 && needed_kib > available_kib {
        let instead = match kept {
            [] => "",
            _ => "; --bmc-root=nfs, where the site offers it, keeps its layers out of it",
        };
        bail!(EveryNodes(format!(
            "the application image needs {} MiB of the node's memory, {} of them to unpack its layers \
             (1 for each layer and CPU), only {} MiB are available (an image of fewer layers needs \
             less{instead})",
            needed_kib >> 10,
            unpacking_kib >> 10,
            available_kib >> 10
        )));
    }
    Ok(())
}

/// As large as the layers: what else is written there is a mistake.
fn mount_tmpfs(layers: &[&ArtifactRef], directory: &Path) -> Result<()> {
    let bytes = layers.iter().map(|layer| layer.bytes).sum::<u64>();
    // A page more for each file, because a tmpfs counts in pages.
    let bytes = bytes.saturating_add((layers.len() as u64 + 16) << 12);
    let options = CString::new(format!("size={bytes},mode=0700"))?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount("tmpfs", directory, "tmpfs", flags, &*options).context("mounting the layers' tmpfs")
}

/// Read-only. The server may have a name: the node can ask for its address.
fn mount_nfs(source: &str, options: &str, directory: &Path) -> Result<()> {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    // As a rule the kernel asks for it itself; this serves images without a modprobe.
    Modules::open(Path::new("/"), &release).and_then(|modules| modules.load(NFS_MODULE)).ok();
    let (host, path) = source.split_once(":/").context("it is not SERVER:/PATH")?;
    let address = node_program::address_of(host)?;
    let target = directory.display().to_string();
    let mounted = mounts::mount_at(
        &Mount {
            source: format!("{address}:/{path}"),
            target: target.clone(),
            fstype: "nfs4".into(),
            options: format!("{options},ro,nosuid,nodev,noexec"),
        },
        target,
    );
    mounted.map_err(|error| match error.downcast_ref() {
        Some(&Errno::NODEV) => error.context(format!(
            "the kernel {release} has no NFS version 4 (CONFIG_NFS_V4): --bmc-root=ram needs none"
        )),
        _ => error,
    })
}

fn check_files(files: &[(ArtifactRef, PathBuf)]) -> Result<()> {
    files.iter().enumerate().try_for_each(|(index, (layer, file))| {
        check_file(layer, file).with_context(|| format!("layer {}", index + 1))
    })
}

/// The server is the site's and is believed, but a file that is still being written is not used.
fn check_file(layer: &ArtifactRef, file: &Path) -> Result<()> {
    let found = fs::symlink_metadata(file).with_context(|| layer.sha256.to_string())?;
    if !found.is_file() || found.len() != layer.bytes {
        bail!("{} is no file of {} bytes", layer.sha256, layer.bytes);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::blame::spares_node;
    use super::*;
    use protocol::names::Digest;

    #[test]
    fn too_little_memory_is_said_before_anything_is_fetched() {
        let layer = ArtifactRef { sha256: Digest([0; 32]), bytes: 1 << 30 };
        let twice = [layer.clone(), layer];
        let once = each_once(&twice);
        assert_eq!(once.len(), 1);
        let unpacking = unpacking_kib(twice.len(), 3);
        assert_eq!(unpacking, 8 << 10, "a layer that is there twice is mounted twice");
        check_memory(&once, unpacking, 2 << 20).unwrap();
        check_memory(&once, unpacking, 0).unwrap();
        let error = check_memory(&once, unpacking, 1 << 20).unwrap_err();
        assert!(spares_node(&error));
        assert_eq!(
            error.to_string(),
            "the application image needs 1096 MiB of the node's memory, 8 of them to unpack its \
             layers (1 for each layer and CPU), only 1024 MiB are available (an image of fewer \
             layers needs less; --bmc-root=nfs, where the site offers it, keeps its layers out of it)"
        );
    }

    #[test]
    fn layers_on_a_server_need_memory_for_every_cpu_too() {
        let unpacking = unpacking_kib(128, 256);
        check_memory(&[], unpacking, 64 << 20).unwrap();
        let error = check_memory(&[], unpacking, 32 << 20).unwrap_err();
        assert!(spares_node(&error));
        assert_eq!(
            error.to_string(),
            "the application image needs 32960 MiB of the node's memory, 32896 of them to unpack its \
             layers (1 for each layer and CPU), only 32768 MiB are available (an image of fewer \
             layers needs less)"
        );
    }
}
