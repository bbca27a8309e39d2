//! The chassis of one node, as its baseboard controller commands it: power, reset, soft shutdown,
//! boot device. The node is a QEMU process; its pid file and QEMU's control socket are the truth.
//!
//! It must not know Slurm or the boot server. Every call is short: the controller waits for it.

pub mod control;
mod debugger;
pub mod fault;
pub mod inherited;
pub mod outlet;
pub mod panic;
pub mod qemu;
pub mod qmp;

use crate::cluster::layout::RunDir;
use crate::cluster::node::{Hardware, Node};
use std::io;
use std::path::PathBuf;

/// Why a chassis command failed.
#[derive(Debug, thiserror::Error)]
pub enum ChassisError {
    /// The node is to refuse power commands.
    #[error("power commands are refused")]
    Refused,
    /// The controller asked for something that we do not know.
    #[error("unknown chassis command {0:?}")]
    Unknown(String),
    /// A file of the node.
    #[error("cannot {doing} {}", path.display())]
    File {
        /// What we were doing.
        doing: &'static str,
        /// To which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The node's description cannot be understood.
    #[error("{} does not describe hardware", path.display())]
    Hardware {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: serde_json::Error,
    },
    /// A program could not be started.
    #[error("cannot start {program}")]
    Start {
        /// The program.
        program: &'static str,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// QEMU refused to start.
    #[error("QEMU of {node} did not start; see {}", log.display())]
    NotStarted {
        /// The node.
        node: Node,
        /// What QEMU printed.
        log: PathBuf,
    },
    /// QEMU did not go away.
    #[error("process {0} is still there after it was killed")]
    StillThere(u32),
    /// QEMU's control socket did not work.
    #[error("QEMU's control socket did not accept {command}")]
    Control {
        /// The command.
        command: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// One node's chassis: where its files are and what it is made of.
#[derive(Debug, Clone)]
pub struct Chassis {
    /// The run directory of the cluster.
    pub run: RunDir,
    /// The node.
    pub node: Node,
    /// The node's hardware.
    pub hardware: Hardware,
}

impl Chassis {
    /// Reads the node's description from the run directory.
    ///
    /// # Errors
    /// When there is none.
    pub fn open(run: RunDir, node: Node) -> Result<Self, ChassisError> {
        let path = run.node(node).join("hardware.json");
        let text = std::fs::read_to_string(&path).map_err(|source| ChassisError::File {
            doing: "read",
            path: path.clone(),
            source,
        })?;
        let hardware = serde_json::from_str(&text)
            .map_err(|source| ChassisError::Hardware { path, source })?;
        Ok(Self { run, node, hardware })
    }

    /// A file in the node's directory.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.run.node(self.node).join(name)
    }
}
