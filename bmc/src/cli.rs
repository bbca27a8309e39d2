//! The command line: words, options, and the help that teaches them by example.

mod break_even;
mod hub;
mod node;

pub(crate) use break_even::BreakEvenArgs;
use clap::{Args, Parser, Subcommand};
pub(crate) use hub::{
    ImageArg, ImageBuild, ImageImportArgs, ImageVerb, KernelImport, KernelVerb, KindWord,
};
pub(crate) use node::{ClearArgs, NodeVerb, PowerArgs, PowerWord};
use protocol::names::JobReference;
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
  bmc breakeven --help            from which run length on a kernel pays for its boot
  bmc node power n1 status        ask n1's baseboard controller

The boot server's address is read from /etc/bare-metal-container/client.toml, or from the file
that BMC_CLIENT_CONFIG names.

Exit codes: 0 done, 1 bmc doctor found what needs you, 2 the request is wrong, 3 not now (try
again), 4 hardware or the site's configuration, 70 a bug of ours, 77 not allowed."
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
    /// Does a kernel pay for its boot? Compare the recorded runs of two
    #[command(name = "breakeven")]
    BreakEven(BreakEvenArgs),
    /// Nodes: definition, power, console, maintenance, and what is held against them
    #[command(subcommand)]
    Node(NodeVerb),
    /// Find what does not agree: Slurm's view, the boot server's, the controllers' (administrators)
    #[command(after_help = "\
Examples:
  bmc doctor                  what needs you, what mends itself, and what an admin wants so
  bmc doctor --json | jq '.findings[] | select(.mended_by == \"admin\") | .node'

Nodes are compared each 15 s; ages count from when this run of the boot server first saw it.
Exit code: 1 if something needs an administrator, otherwise 0.")]
    Doctor(Json),
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
  bmc energy 42 --svg power.svg   a picture of the power over time, for a browser
  bmc energy 42 --svg - --try 1 | rsvg-convert > power.png

A requeued job has one record per try. `unknown` means that no reading was there: it is never zero.
JSON has whole millijoules and nanoseconds; the stages of a node add up to its total exactly.
The picture needs the readings themselves, which are kept for three days; of more than 8 nodes it
has the first 8. A file that is there already is replaced.")]
pub(crate) struct EnergyArgs {
    /// The job
    pub(crate) job: JobReference,
    /// Draw the power over time into that file instead; `-` is standard output
    #[arg(long, value_name = "FILE", conflicts_with = "json")]
    pub(crate) svg: Option<PathBuf>,
    /// Which start of a requeued job to draw, from 1 on; without it the last
    #[arg(long = "try", value_name = "N", requires = "svg",
          value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) start: Option<u32>,
    #[command(flatten)]
    pub(crate) json: Json,
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
            "bmc energy 1 --svg x --json",
            "bmc energy 1 --svg",
            "bmc energy 1 --try 1",
            "bmc energy 1 --svg x --try 0",
            "bmc breakeven",
            "bmc breakeven a b",
            "bmc breakeven --kernel ../x --kernel b",
            "bmc breakeven --kernel a --kernel b --job x",
            "bmc breakeven --kernel a --kernel b --since x",
            "bmc breakeven --kernel a --kernel b --idle-watts -1",
            "bmc breakeven --kernel a --kernel b --idle-watts NaN",
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
            "bmc node clear",
            "bmc node clear n[1-",
            "bmc doctor n1",
        ] {
            assert!(Cli::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
        for line in [
            "bmc status",
            "bmc status --all --json",
            "bmc status 1 -w",
            "bmc energy 1_2 --json",
            "bmc energy 1 --svg -",
            "bmc energy 1 --svg x.svg --try 2",
            "bmc breakeven --kernel a --kernel b --job 42,43_1 --job 44 --json",
            "bmc breakeven --kernel a --kernel b --node n1 --since 7d --idle-watts 41.5",
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
            "bmc node clear n[1-4],n7 n9 --dry-run --json",
            "bmc doctor --json",
        ] {
            assert!(Cli::try_parse_from(line.split(' ')).is_ok(), "{line}");
        }
    }
}
