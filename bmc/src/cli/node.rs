//! The words of `bmc node`.

use super::Json;
use clap::{Args, Subcommand};
use protocol::names::{ImageName, KernelName, NodeName};
use protocol::node_list::{self, InvalidNodeList};
use std::path::PathBuf;

/// `bmc node`.
#[derive(Debug, Subcommand)]
pub(crate) enum NodeVerb {
    /// Add or change nodes from a file (administrators)
    #[command(after_help = r#"Example:
  bmc node import nodes.toml

nodes.toml:
  [[node]]
  name = "n1"
  mac = "52:54:00:77:00:01"
  address = "10.77.0.11/24"
  gateway = "10.77.0.1"                     # optional
  cpus = 2
  threads_per_core = 1                      # optional
  memory_mib = 60000                        # optional: RealMemory of slurm.conf
  console_log = "/var/log/console/n1.log"   # optional; or: console = "sol", over IPMI
  firmware = "uefi"                         # optional; "bios" if absent
  [node.power]
  method = "ipmi"
  address = "10.77.1.11"
  user = "admin"
  password_file = "n1.password"             # relative to this file; or: password = "…"
  kg_file = "n1.kg"                         # optional: the controller's key; or: kg = "…""#)]
    Import {
        /// `[[node]]` tables
        #[arg(value_name = "FILE.toml")]
        file: PathBuf,
    },
    /// List the nodes
    List(Json),
    /// Show one
    Show {
        /// Node
        name: NodeName,
        #[command(flatten)]
        json: Json,
    },
    /// Switch a node's power, or ask for it (administrators)
    #[command(after_help = "\
Examples:
  bmc node power n1 status
  bmc node power n1 off --yes     although n1 is in use; the boot server has the last word")]
    Power(PowerArgs),
    /// Print the newest part of a node's console (administrators)
    #[command(after_help = "Example:\n  bmc node console n1 --follow")]
    Console {
        /// Node
        name: NodeName,
        /// Go on printing what is added, until Ctrl-C
        #[arg(long, short)]
        follow: bool,
    },
    /// Forget what is held against nodes: an administrator has looked at them
    #[command(after_help = "\
Examples:
  bmc node clear n3
  bmc node clear n[1-4],n7 --dry-run    only say what it would do

Strikes and the last failure are forgotten, and the drain that the boot server made for them ends
in Slurm. An admin's drain stays, and so does a maintenance: both are told. Twice is fine.")]
    Clear(ClearArgs),
    /// Boot a node without a job (administrators)
    #[command(after_help = "Example:\n  bmc node boot n1 --kernel 6.12-cloud")]
    Boot {
        /// Node
        name: NodeName,
        /// Kernel or profile; the partition's default if not given
        #[arg(long)]
        kernel: Option<KernelName>,
        /// Node image; the partition's default if not given
        #[arg(long)]
        image: Option<ImageName>,
    },
    /// Keep a node out of use, or give it back (administrators)
    #[command(after_help = "\
Examples:
  bmc node maintenance n1 --reason \"fan 3 is being replaced\"
  bmc node maintenance n1 --end")]
    Maintenance {
        /// Node
        name: NodeName,
        /// Why it is out of use
        #[arg(long, required_unless_present = "end", conflicts_with = "end")]
        reason: Option<String>,
        /// It may be used again
        #[arg(long)]
        end: bool,
    },
}

/// `bmc node clear`.
#[derive(Debug, Args)]
pub(crate) struct ClearArgs {
    /// Nodes, as Slurm lists them: n1 or n[1-4],n7
    #[arg(required = true, value_name = "NODES")]
    pub(crate) nodes: Vec<NodeList>,
    /// Only say what it would do
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) json: Json,
}

/// A Slurm node-list expression.
#[derive(Debug, Clone)]
pub(crate) struct NodeList(pub(crate) Vec<NodeName>);

impl std::str::FromStr for NodeList {
    type Err = InvalidNodeList;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        node_list::expand(text).map(Self)
    }
}

/// `bmc node power`.
#[derive(Debug, Args)]
pub(crate) struct PowerArgs {
    /// Node
    pub(crate) name: NodeName,
    /// What to do
    pub(crate) action: PowerWord,
    /// Switch off although the node is in use
    #[arg(long)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) json: Json,
}

/// The words of `bmc node power`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum PowerWord {
    /// Switch on
    On,
    /// Switch off, hard
    Off,
    /// Only ask
    Status,
}
