//! The floor of a boot: the least that any system could do to bring a node to slurmctld. The same
//! kernel and the same munged and slurmd as the product's, in an initrd of their own, which QEMU
//! puts into the node's memory; no network boot, no download, no image, no settings, no report.
//!
//! `init` runs on the node; everything else makes and starts it from the host.

mod closure;
pub mod init;
mod netlink;
mod tree;

use crate::cluster::layout::{PROGRAM_DIR, RunDir};
use crate::cluster::{Cluster, Node};
use anyhow::{Context, Result};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What slurmd loads at its start with the cluster's configuration.
const PLUGINS: [&str; 21] = [
    "acct_gather_energy_none",
    "acct_gather_filesystem_none",
    "acct_gather_interconnect_none",
    "acct_gather_profile_none",
    "auth_munge",
    "cgroup_v2",
    "core_spec_none",
    "cred_munge",
    "gpu_generic",
    "hash_k12",
    "job_container_none",
    "jobacct_gather_cgroup",
    "mpi_none",
    "prep_script",
    "proctrack_cgroup",
    "route_default",
    "select_cons_tres",
    "switch_none",
    "task_affinity",
    "task_cgroup",
    "topology_none",
];
const PLUGIN_DIR: &str = "usr/lib/x86_64-linux-gnu/slurm-wlm";
/// The programs of the node image that are kept; slurmd refuses to start without slurmstepd.
const PROGRAMS: [&str; 3] = ["usr/sbin/munged", "usr/sbin/slurmd", "usr/sbin/slurmstepd"];
/// Our program that is the first process.
const INIT: &str = "vcluster-floor";

/// Kernel and initrd of the least possible boot.
#[derive(Debug, Clone)]
pub struct Floor {
    kernel: PathBuf,
    initrd: PathBuf,
    arguments: String,
}

impl Floor {
    /// Makes the initrd from the node image, with a kernel of the hub and the modules that the
    /// product's own initrd for it holds.
    ///
    /// # Errors
    /// When a part is missing or a program fails.
    pub fn build(
        cluster: &Cluster,
        image: &Path,
        kernel: &str,
        program_dir: &Path,
    ) -> Result<Self> {
        let run = RunDir::new(cluster.dir())?;
        let dir = run.join("floor");
        let (tree, whole) = (dir.join("initrd"), dir.join("image"));
        fs::create_dir_all(&tree)?;
        fs::create_dir_all(&whole)?;
        // The initrd holds the munge key.
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o700))?;
        let entry = run.join(format!("state/kernels/{kernel}.json"));
        let text = fs::read(&entry).with_context(|| format!("reading {}", entry.display()))?;
        let shown: Value = serde_json::from_slice(&text)?;
        let artifact = |name: &str| {
            let digest = shown.pointer(&format!("/{name}/sha256")).and_then(Value::as_str);
            digest
                .map(|digest| run.join("state/artifacts").join(digest))
                .with_context(|| format!("kernel {kernel} has no {name}: {shown}"))
        };
        let arguments = arguments(&run)?;
        let kernel_file = artifact("vmlinuz")?;
        tree::modules(&artifact("initrd")?, &dir.join("modules"), &tree)?;
        tree::quiet(Command::new("/usr/bin/tar").arg("-xf").arg(image).arg("-C").arg(&whole))?;
        let plugins = PLUGINS.map(|name| Path::new(PLUGIN_DIR).join(format!("{name}.so")));
        closure::copy(&whole, &tree, PROGRAMS.map(PathBuf::from).into_iter().chain(plugins))?;
        let init = tree.join("init");
        fs::copy(program_dir.join(INIT), &init).with_context(|| format!("copying {INIT}"))?;
        fs::copy(&init, whole.join("init"))?;
        closure::copy(&whole, &tree, [PathBuf::from("init")])?;
        tree::configuration(&run, &tree)?;
        let initrd = dir.join("initrd.cpio");
        tree::pack(&tree, &initrd)?;
        fs::remove_dir_all(&whole)?;
        Ok(Self { kernel: kernel_file, initrd, arguments })
    }

    /// Powers the node on with it. The node's controller sees the machine as its own.
    ///
    /// # Errors
    /// When QEMU does not start.
    pub fn start(&self, cluster: &Cluster, node: Node) -> Result<()> {
        let arguments = format!("{} {} {node} {}", self.arguments, init::SEPARATOR, node.address());
        let (kernel, initrd) = (self.kernel.to_string_lossy(), self.initrd.to_string_lossy());
        chassis(cluster, node, &["direct", &kernel, &initrd, &arguments])
    }

    /// Cuts the node's power.
    ///
    /// # Errors
    /// When QEMU does not end.
    pub fn stop(&self, cluster: &Cluster, node: Node) -> Result<()> {
        chassis(cluster, node, &["set", "power", "0"])
    }
}

/// The kernel arguments that bootsrv gives every kernel of the site, and its reset after a panic.
fn arguments(run: &RunDir) -> Result<String> {
    let path = run.join("etc/bootsrv.toml");
    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let site: toml::Table = text.parse().with_context(|| format!("reading {}", path.display()))?;
    let words = site.get("kernel_arguments").and_then(toml::Value::as_array);
    let words: Vec<&str> =
        words.into_iter().flatten().filter_map(toml::Value::as_str).chain(["panic=1"]).collect();
    Ok(words.join(" "))
}

fn chassis(cluster: &Cluster, node: Node, words: &[&str]) -> Result<()> {
    let program = format!("{PROGRAM_DIR}/vcluster-chassis");
    let (dir, node) = (cluster.dir().display().to_string(), node.to_string());
    let all: Vec<&str> =
        [program.as_str(), &dir, &node].into_iter().chain(words.iter().copied()).collect();
    cluster.check(&all)?;
    Ok(())
}
