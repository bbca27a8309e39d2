//! The figures of a boot, measured on a virtual cluster of its own: `vcluster-bench boot`, which
//! `cargo xtask bench boot` builds and runs. Ratios compare things measured in the same run.

mod boot;
mod figure;
mod hooks;
mod least;
mod ours;
mod output;
mod report;
mod watch;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use ours::Boot;
use output::Measured;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;
use tests::cluster::site::{DEFAULT_KERNEL, IMAGE};
use tests::cluster::{Cluster, Options};
use tests::floor::Floor;
use tests::product::{self, Assets};

/// Measure the product on a virtual cluster, and print figures with their goals.
#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask bench")]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// How long a boot takes, against the least that any system could do, and what Slurm waits for
    ///
    /// Nodes are QEMU machines in software emulation on one host, so seconds depend on the host and on
    /// what else it does. The load is printed, and what must hold everywhere is a ratio of two things
    /// measured in the same run. Every time is by the host's clock, seen within 2 ms.
    ///
    /// power on          the node's QEMU process starts (to 10 ms)
    /// first instruction the terminal reset on the console that the kernel's start code makes before it
    ///                   leaves real mode; unpacking the kernel comes after it, on both sides
    /// kernel's clock    the moment at which CLOCK_BOOTTIME is 0, after unpacking
    /// registered        slurmctld logs "Node … now responding"
    /// job started       slurmctld logs that the job's configuration is complete; it launches it then
    /// power seen off    bootsrv's mark in `bmc status`
    /// allocatable       slurmctld logs the node as IDLE
    /// the least         the same machine and kernel, started directly by QEMU, with an uncompressed
    ///                   initrd of the network driver, munged, slurmd with its configuration, and a
    ///                   first process that sets the address and starts both; no network boot, no
    ///                   download, no settings; measured in turns with our boots
    #[command(verbatim_doc_comment)]
    Boot {
        /// How often each boot is measured; the median counts.
        #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
        repeats: u32,
        /// How many nodes boot at once, for each measurement one number; 1 is always measured.
        #[arg(long, value_delimiter = ',', default_values_t = [4, 8], value_parser = clap::value_parser!(u8).range(1..=64))]
        nodes: Vec<u8>,
        /// The profile or kernel the jobs ask for.
        #[arg(long, default_value = "thp-off")]
        kernel: String,
        /// How often prolog and epilog are run for a job that is not ours.
        #[arg(long, default_value_t = 200)]
        hook_runs: u32,
        /// Print one JSON object instead of tables.
        #[arg(long)]
        json: bool,
        /// The run directory; removed at the end.
        #[arg(long, default_value = "/var/tmp/bare-metal-container/bench")]
        dir: PathBuf,
    },
}

fn main() -> ExitCode {
    let Arguments { what: What::Boot { repeats, nodes, kernel, hook_runs, json, dir } } =
        Arguments::parse();
    match run(&Wanted { repeats, nodes, kernel, hook_runs, dir }) {
        Ok(measured) => {
            if json {
                println!("{}", measured.json());
            } else {
                measured.print();
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

struct Wanted {
    repeats: u32,
    nodes: Vec<u8>,
    kernel: String,
    hook_runs: u32,
    dir: PathBuf,
}

fn run(wanted: &Wanted) -> Result<Measured> {
    let most = wanted.nodes.iter().copied().max().unwrap_or(1);
    let options =
        Options { dir: wanted.dir.clone(), nodes: most, fresh: true, ..Options::default() };
    let (assets, programs) = (Assets::beside(&options.program_dir), options.program_dir.clone());
    let before = load();
    let start = Instant::now();
    let say = |what: &str| eprintln!("{:6.1} s  {what}", start.elapsed().as_secs_f64());
    say(&format!("starting a virtual cluster of {most} nodes"));
    let cluster = product::up(options, &assets).context("bringing the cluster up")?;
    let measured = measure(&cluster, &assets, &programs, wanted, &say);
    cluster.down()?;
    let (mut measured, after) = (measured?, load());
    std::fs::remove_dir_all(&wanted.dir)?;
    measured.load = format!("load of the host (1 min): {before} before, {after} after");
    Ok(measured)
}

fn measure(
    cluster: &Cluster,
    assets: &Assets,
    programs: &Path,
    wanted: &Wanted,
    say: &dyn Fn(&str),
) -> Result<Measured> {
    say("making the initrd of the least possible boot");
    let image = assets.directory.join(format!("{IMAGE}.tar"));
    let floor = Floor::build(cluster, &image, DEFAULT_KERNEL, programs)?;
    let node = cluster.nodes().next().context("a cluster has nodes")?;
    let (mut least, mut alone) = (Vec::new(), Vec::new());
    for repeat in 1..=wanted.repeats {
        say(&format!("repeat {repeat}: the least boot, then ours, one node"));
        least.push(least::measure(cluster, &floor, node)?);
        alone.push(told(say, ours::measure(cluster, 1, &wanted.kernel)));
    }
    let mut goals = report::waits(&alone);
    goals.extend(report::against_least(&alone, &least));
    goals.extend(report::power_on(1, &alone));
    for count in wanted.nodes.iter().copied().filter(|count| *count > 1) {
        let mut boots = Vec::new();
        for repeat in 1..=wanted.repeats {
            say(&format!("repeat {repeat}: {count} nodes at once"));
            boots.push(told(say, ours::measure(cluster, count, &wanted.kernel)));
        }
        goals.extend(report::power_on(count, &boots));
    }
    say(&format!("prolog and epilog, {} times each", wanted.hook_runs));
    goals.extend(hooks::figures(cluster.dir(), wanted.hook_runs)?);
    let least = least.into_iter().map(|one| one.said).collect();
    let (stages, steps) = (report::stages(&alone), report::steps(&alone));
    Ok(Measured { load: String::new(), goals, stages, steps, least })
}

/// A boot that failed is said at once, and is the reason why its figures are unknown.
fn told(say: &dyn Fn(&str), boot: Result<Boot>) -> Result<Boot, String> {
    boot.map_err(|error| {
        let reason = format!("{error:#}");
        say(&reason);
        reason
    })
}

/// The 1-minute load average, as the kernel prints it.
fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().unwrap_or("unknown").to_owned()
}
