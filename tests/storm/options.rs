//! What a run is asked to do.

use clap::Parser;
use std::path::PathBuf;

/// Simulated nodes, controllers and slurmctld against a real bootsrv and its real hooks.
///
/// Everything runs on loopback in namespaces of its own, and ends with the program. Exits with 1 where a
/// promise was broken; the seed repeats the faults, though not their exact order: time is real.
#[derive(Debug, Clone, Parser)]
#[command(version)]
pub(crate) struct Options {
    /// Simulated nodes, up to 10,000.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(4..=10_000))]
    pub(crate) nodes: u32,
    /// Jobs, all submitted at the start.
    #[arg(long, default_value_t = 200)]
    pub(crate) jobs: u32,
    /// Most nodes of a job; most jobs have few.
    #[arg(long, default_value_t = 16)]
    pub(crate) job_nodes: u32,
    /// Every job has so many nodes.
    #[arg(long)]
    pub(crate) equal: bool,
    /// Where random numbers start; the clock decides if absent.
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// Part of all power commands that are answered as done and ignored.
    #[arg(long, default_value_t = 0.1)]
    pub(crate) ignore: f64,
    /// Part of all downloads that break at a random byte.
    #[arg(long, default_value_t = 0.1)]
    pub(crate) cut: f64,
    /// How much else goes wrong: 0 nothing, 1 what a soak needs.
    #[arg(long, default_value_t = 0.0)]
    pub(crate) faults: f64,
    /// No node may be taken out of service at all, not even with a reason.
    #[arg(long)]
    pub(crate) strict: bool,
    /// Seconds between two kills of bootsrv; 0: never.
    #[arg(long, default_value_t = 0)]
    pub(crate) kill_every: u32,
    /// Part of the nodes that stay on after a job, for the next.
    #[arg(long, default_value_t = 0.25)]
    pub(crate) stay_on: f64,
    /// Longest time of the jobs, in minutes; what is left then is a broken promise.
    #[arg(long, default_value_t = 30)]
    pub(crate) minutes: u32,
    /// Print the figures as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// Where bootsrv and the hooks are; beside this program if absent.
    #[arg(long)]
    pub(crate) programs: Option<PathBuf>,
    /// Where the run's files go; a temporary directory, removed after a good run, if absent.
    #[arg(long)]
    pub(crate) dir: Option<PathBuf>,
}
