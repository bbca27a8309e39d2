//! The command line: words, options, and the help that teaches them by example.

mod hub;

use clap::{Args, Parser, Subcommand};
pub(crate) use hub::{
    ImageArg, ImageBuild, ImageImportArgs, ImageVerb, KernelImport, KernelVerb, KindWord,
};
use protocol::names::{ImageName, JobReference, KernelName, NodeName};
use std::path::PathBuf;

/// [bare-metal container] Look after the kernels, images and nodes that jobs boot, and see what a
/// job's boot and energy were.
#[derive(Debug, Parser)]
#[command(
    name = "bmc",
    version,
    propagate_version = true,
    after_help = "\
Examples:
  bmc kernel list                 what --bmc-kernel can be given
  bmc image pull docker://debian  prepare an image before a job asks for it
  bmc status 42 --watch           the nodes of job 42 while they boot, and its image
  bmc energy 42                   what job 42 and its boot consumed
  bmc node power n1 status        ask n1's baseboard controller

The boot server's address is read from /etc/bare-metal-container/client.toml, or from the file
that BMC_CLIENT_CONFIG names.

Exit codes: 0 done, 2 the request is wrong, 3 not now (try again), 4 hardware or the site's
configuration, 70 a bug of ours, 77 not allowed."
)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// The verbs, each in a file of its own below `verbs/`.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Kernels and profiles: what --bmc-kernel can be given
    #[command(subcommand)]
    Kernel(KernelVerb),
    /// Images: what --bmc-image can be given
    #[command(subcommand)]
    Image(ImageVerb),
    /// Jobs and how far their nodes are
    Status(StatusArgs),
    /// The energy of a job, stage by stage
    Energy(EnergyArgs),
    /// Nodes: definition, power, console, maintenance
    #[command(subcommand)]
    Node(NodeVerb),
    /// Print a completion script for a shell
    #[command(after_help = "Example:\n  bmc completions bash > /etc/bash_completion.d/bmc")]
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Write the manual pages into a directory
    #[command(after_help = "Example:\n  bmc man /usr/local/share/man/man1")]
    Man {
        /// An existing directory
        #[arg(value_name = "DIR")]
        directory: PathBuf,
    },
}

/// For verbs that print data.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Json {
    /// Print JSON as the boot server's API has it
    #[arg(long)]
    pub(crate) json: bool,
}

/// `bmc status`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  bmc status                  every job that boots, runs or ends
  bmc status 42               one job with the time line of its boot
  bmc status 42 --watch       the same, redrawn until the job is over
  bmc status 42_7             task 7 of job array 42; 42+1 is a component of a heterogeneous job
  bmc status 42 --json        for programs

Seconds in the first table are the time a node has been in its state; in the time line they count
from the first mark of the job.")]
pub(crate) struct StatusArgs {
    /// Only this job, with its time line
    pub(crate) job: Option<JobReference>,
    /// Show it again each second until the job is over, or until Ctrl-C
    #[arg(long, short, conflicts_with = "json")]
    pub(crate) watch: bool,
    /// Jobs that are over too
    #[arg(long, short, conflicts_with = "job")]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) json: Json,
}

/// `bmc energy`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  bmc energy 42               a job, or all tasks of job array 42
  bmc energy 42_7             task 7 of it; 42+1 is a component of a heterogeneous job
  bmc energy 42 --json | jq '.[].total_millijoules'

A requeued job has one record per try. `unknown` means that no reading was there: it is never zero.
JSON has whole millijoules and nanoseconds; the stages of a node add up to its total exactly.")]
pub(crate) struct EnergyArgs {
    /// The job
    pub(crate) job: JobReference,
    #[command(flatten)]
    pub(crate) json: Json,
}

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
  console_log = "/var/log/console/n1.log"   # optional
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

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn what_does_not_belong_together_is_refused() {
        for line in [
            "bmc status 0",
            "bmc status 1 --watch --json",
            "bmc status 1 --all",
            "bmc energy",
            "bmc kernel show ../x",
            "bmc kernel import k",
            "bmc kernel import k a.deb --vmlinuz v --modules m",
            "bmc kernel import k --vmlinuz v",
            "bmc kernel import k --modules m",
            "bmc image build",
            "bmc image build i --from x.tar --package p",
            "bmc image build i --from x.tar --no-plugin",
            "bmc image build i --plugin p.so --no-plugin",
            "bmc image pull",
            "bmc image import x docker://x --kind container",
            "bmc image gc --older-than x",
            "bmc image show ../x:y:z/..//x y",
            "bmc node maintenance n1",
            "bmc node maintenance n1 --reason x --end",
            "bmc node power n1 cycle",
        ] {
            assert!(Cli::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
        for line in [
            "bmc status",
            "bmc status --all --json",
            "bmc status 1 -w",
            "bmc kernel import k a.deb",
            "bmc kernel import k --vmlinuz v --modules m",
            "bmc image show debian12",
            "bmc image rm docker://debian:12",
            "bmc image import x docker://x --kind node --json",
            "bmc image gc --dry-run --older-than 7",
            "bmc image build i",
            "bmc image build --no-plugin --output x.tar",
            "bmc image build i --from x.tar --plugin p.so --output y.tar",
            "bmc node maintenance n1 --end",
            "bmc node power n1 off --yes",
        ] {
            assert!(Cli::try_parse_from(line.split(' ')).is_ok(), "{line}");
        }
    }
}
