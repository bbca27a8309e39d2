//! What the caller of a cluster may choose.

use crate::cluster::error::{ClusterError, Result};
use crate::cluster::layout::{DEFAULT_DIR, RunDir};
use crate::cluster::node::{Hardware, NODES_MAX, Node};
use std::path::{Path, PathBuf};

/// Least memory of a node in MiB; below it not even a small initrd unpacks.
const MEMORY_MIB_MIN: u32 = 128;
/// Most memory of a node in MiB.
const MEMORY_MIB_MAX: u32 = 16_384;

/// The choices for [`Cluster::up`](crate::cluster::Cluster::up).
#[derive(Debug, Clone)]
pub struct Options {
    /// The run directory.
    pub dir: PathBuf,
    /// How many nodes, 1 to [`NODES_MAX`].
    pub nodes: u8,
    /// Memory of each node in MiB.
    pub memory_mib: u32,
    /// Where our programs are: the directory with `vcluster-init` and the others.
    pub program_dir: PathBuf,
    /// Arguments for `bootsrv`.
    pub bootsrv_arguments: Vec<String>,
    /// Nodes stay on after their job, for so many seconds without another; `None`: they go off at once.
    pub idle_seconds: Option<u32>,
    /// How long bootsrv and Slurm wait for a node's firmware.
    pub firmware_seconds: u32,
    /// Remove the whole run directory first, also what is otherwise kept (`etc`, `etc-slurm`,
    /// `state`, `home`).
    pub fresh: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            dir: PathBuf::from(DEFAULT_DIR),
            nodes: 2,
            memory_mib: 640,
            program_dir: own_program_dir(),
            bootsrv_arguments: vec![
                "--config".to_owned(),
                "/etc/bare-metal-container/bootsrv.toml".to_owned(),
            ],
            idle_seconds: None,
            firmware_seconds: 30,
            fresh: false,
        }
    }
}

impl Options {
    /// Checks every choice.
    pub(crate) fn check(&self) -> Result<RunDir> {
        let refuse = |what: String, rule: String| Err(ClusterError::BadOption { what, rule });
        if !(1..=NODES_MAX).contains(&self.nodes) {
            return refuse(format!("{} nodes", self.nodes), format!("1 to {NODES_MAX} nodes"));
        }
        if !(MEMORY_MIB_MIN..=MEMORY_MIB_MAX).contains(&self.memory_mib) {
            let rule = format!("a node has {MEMORY_MIB_MIN} to {MEMORY_MIB_MAX} MiB");
            return refuse(format!("{} MiB of memory", self.memory_mib), rule);
        }
        RunDir::new(&self.dir)
    }

    /// The nodes with their hardware.
    pub(crate) fn hardware(&self) -> Vec<(Node, Hardware)> {
        Node::first(self.nodes)
            .map(|node| (node, Hardware::of(node, self.nodes, self.memory_mib)))
            .collect()
    }
}

/// The directory of the running program; for a test, which lies in `deps`, the one above.
fn own_program_dir() -> PathBuf {
    let program = std::env::current_exe().unwrap_or_default();
    let dir = program.parent().unwrap_or_else(|| Path::new("/"));
    if dir.ends_with("deps") { dir.parent().unwrap_or(dir) } else { dir }.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_kept() {
        let check =
            |nodes, memory_mib| Options { nodes, memory_mib, ..Options::default() }.check().is_ok();
        assert!(check(1, 512) && check(NODES_MAX, 512));
        assert!(!check(0, 512) && !check(NODES_MAX + 1, 512) && !check(2, 64));
    }
}
