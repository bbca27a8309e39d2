//! The task runner: `cargo xtask VERB`. It starts programs and knows paths, nothing of the product.

mod assets;
mod bench;
mod build;
mod demo;
mod mutants;
mod proofs;
mod run;
mod setup;
mod soak;
mod test;
mod tidy;

use anyhow::Result;
use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Everything a developer does, one verb each.
#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run jobs with several kernels on a virtual cluster of real Slurm and QEMU nodes, print what
    /// they saw, and stop clean.
    Demo,
    /// Everything that proves the product; --fast: what takes seconds.
    Test {
        /// Unit tests, lints and tidy only: the inner loop.
        #[arg(long)]
        fast: bool,
        /// Run only cluster cases whose name contains this; may be given more than once.
        #[arg(long, conflicts_with = "fast")]
        only: Vec<String>,
        /// Run those so often in a row on one cluster: for what fails rarely.
        #[arg(long, requires = "only", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
        times: u16,
    },
    /// The virtual cluster by hand: up, status, sbatch, run, console, ipmitool, fault, down.
    Cluster {
        /// Passed to `vcluster`; see `cargo xtask cluster --help`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        arguments: Vec<String>,
    },
    /// Measure, and print figures with their goals: `bench boot`, `bench image`; `--help` says how.
    #[command(disable_help_flag = true)]
    Bench {
        /// Passed to `vcluster-bench`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// The failure matrix three times in a row on the virtual cluster, and then a thousand simulated nodes
    /// with random faults against the real bootsrv; --quick: a minute's worth of the latter.
    Soak {
        /// The sample that `test` has too.
        #[arg(long)]
        quick: bool,
        /// Repeats a run's faults; each run prints its seed.
        #[arg(long)]
        seed: Option<u64>,
    },
    /// Make the classic mistakes of energy accounting on purpose: each must make a test fail.
    Mutants,
    /// Install the packages that building and testing need (Debian 12, as root).
    Setup,
    /// Build the programs and fetch kernels and the node image for the virtual cluster.
    Build,
    /// The repository's own rules.
    Tidy,
}

fn main() -> ExitCode {
    match run(Arguments::parse().verb) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(verb: Verb) -> Result<()> {
    match verb {
        Verb::Demo => demo::run(),
        Verb::Test { fast: true, .. } => test::fast(),
        Verb::Test { fast: false, only, times } => test::all(only, times),
        Verb::Cluster { arguments } => demo::cluster(&arguments),
        Verb::Bench { arguments } => bench::run(&arguments),
        Verb::Soak { quick, seed } => soak::run(quick, seed),
        Verb::Mutants => mutants::run(),
        Verb::Setup => setup::run(),
        Verb::Build => demo::prepare(),
        Verb::Tidy => tidy::run(),
    }
}
