//! The figures of a boot, of the ways around it and of an image, measured on a virtual cluster of its own:
//! `vcluster-bench boot`, `deploy` and `image`, which `cargo xtask bench` builds and runs. Ratios compare things measured
//! in the same run.

mod boot;
mod cost;
mod crowd;
mod deploy;
mod enter;
mod figure;
mod formats;
mod hooks;
mod image;
mod least;
mod memory;
mod ours;
mod output;
mod report;
mod watch;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use output::Measured;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;
use tests::cluster::site::{DEFAULT_KERNEL, IMAGE};
use tests::cluster::{Cluster, Options};
use tests::floor::Floor;
use tests::product::{self, Assets, registry};

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
        #[arg(long, default_value = DIR)]
        dir: PathBuf,
    },
    /// How a node comes to a job where nodes stay on: from off, by kexec, as it is
    ///
    /// All ways in each repeat, one after the other on the same node, by two profiles of one kernel.
    ///
    /// sbatch            the command is started; until slurmctld logs that the job's configuration is
    ///                   complete: it launches it then
    /// order → jump      bootsrv asks the running node's agent; the agent is about to leave its kernel:
    ///                   kernel and initrd fetched and checked, everything ended
    /// power on → first  the node's QEMU process starts; the terminal reset of the kernel's start code
    /// instruction
    /// simulated         the machine stands still for 90 s before its own firmware begins; every figure is
    /// firmware          of simulated nodes
    #[command(verbatim_doc_comment)]
    Deploy {
        /// How often each is measured; the median counts.
        #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
        repeats: u32,
        /// How many nodes boot at once while controllers ignore one power command in ten.
        #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u8).range(1..=64))]
        nodes: u8,
        /// Leave the boots with a server's firmware out: they take minutes.
        #[arg(long)]
        quick: bool,
        /// Print one JSON object instead of a table.
        #[arg(long)]
        json: bool,
        /// The run directory; removed at the end.
        #[arg(long, default_value = DIR)]
        dir: PathBuf,
    },
    /// How long it takes from a registry to an image that nodes can have, and what a task pays to enter it
    ///
    /// Images of real packages' files (500 MB, 2 GB, and the first with a layer more) in a registry on the
    /// same machine; ours is `bmc image pull` by a bootsrv that has nothing of it, the others are skopeo
    /// copy, umoci unpack and mksquashfs or mkfs.erofs, one after the other, in turns with ours.
    ///
    /// memory            the resident sizes of a program and of all that it starts, added up, every 20 ms
    /// entering          a step of 64 tasks on one node, inside and outside, divided by 64
    /// inside            the same program, with the same work, in a job inside and one outside
    /// at once           50 `bmc image pull` of the small image, of which bootsrv has nothing
    #[command(verbatim_doc_comment)]
    Image {
        /// How often each is measured; the median counts.
        #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
        repeats: u32,
        /// Which images besides the derived one.
        #[arg(long, value_delimiter = ',', default_values = image::SIZES, value_parser = image::SIZES)]
        sizes: Vec<String>,
        /// Measure what else a layer could be made into, too, with the small image: squashfs and erofs,
        /// to make, in size, and read here and there.
        #[arg(long)]
        formats: bool,
        /// Print one JSON object instead of a table.
        #[arg(long)]
        json: bool,
        /// The run directory; removed at the end.
        #[arg(long, default_value = DIR)]
        dir: PathBuf,
    },
}

const DIR: &str = "/var/tmp/bare-metal-container/bench";

fn main() -> ExitCode {
    let (measured, json) = match Arguments::parse().what {
        What::Boot { repeats, nodes, kernel, hook_runs, json, dir } => {
            (run(&Wanted { repeats, nodes, kernel, hook_runs, dir }), json)
        }
        What::Deploy { repeats, nodes, quick, json, dir } => {
            (run_deploy(repeats, nodes, quick, &dir), json)
        }
        What::Image { repeats, sizes, formats, json, dir } => {
            (run_image(repeats, &sizes, formats, &dir), json)
        }
    };
    match measured {
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
    let options = Options { nodes: most, ..Options::default() };
    on_cluster(&wanted.dir, options, |cluster, assets, say| {
        let programs = Options::default().program_dir;
        measure(cluster, assets, &programs, wanted, say)
    })
}

/// Brings a cluster of its own up, measures, and removes it.
fn on_cluster(
    dir: &Path,
    options: Options,
    measure: impl FnOnce(&Cluster, &Assets, &dyn Fn(&str)) -> Result<Measured>,
) -> Result<Measured> {
    let options = Options { dir: dir.to_owned(), fresh: true, ..options };
    let nodes = options.nodes;
    let assets = Assets::beside(&options.program_dir);
    let before = load();
    let start = Instant::now();
    let say = |what: &str| eprintln!("{:6.1} s  {what}", start.elapsed().as_secs_f64());
    say(&format!("starting a virtual cluster of {nodes} node(s)"));
    let cluster = product::up(options, &assets).context("bringing the cluster up")?;
    let measured = measure(&cluster, &assets, &say);
    cluster.down()?;
    let (mut measured, after) = (measured?, load());
    std::fs::remove_dir_all(dir)?;
    measured.load = format!("load of the host (1 min): {before} before, {after} after");
    Ok(measured)
}

fn run_deploy(repeats: u32, nodes: u8, quick: bool, dir: &Path) -> Result<Measured> {
    let idle_seconds = Some(deploy::IDLE_SECONDS);
    let defaults = Options::default();
    let firmware_seconds =
        if quick { defaults.firmware_seconds } else { deploy::FIRMWARE_SECONDS_MAX };
    let options = Options { nodes, idle_seconds, firmware_seconds, ..defaults };
    on_cluster(dir, options, |cluster, _, say| {
        let mut goals = deploy::one_node(cluster, repeats, say)?;
        if !quick {
            goals.extend(deploy::server_firmware(cluster, repeats, say)?);
        }
        if nodes > 1 {
            goals.extend(deploy::many_nodes(cluster, repeats, say)?);
        }
        Ok(Measured { goals, ..Measured::default() })
    })
}

fn run_image(repeats: u32, sizes: &[String], formats: bool, dir: &Path) -> Result<Measured> {
    on_cluster(dir, Options { nodes: 1, ..Options::default() }, |cluster, assets, say| {
        say("pushing the images");
        let bench = image::Bench::start(cluster, &assets.directory.join("bench"), sizes)?;
        let mut goals = Vec::new();
        for name in sizes.iter().map(String::as_str).chain([image::DERIVED]) {
            let mut measured = Vec::new();
            for repeat in 1..=repeats {
                say(&format!("repeat {repeat}: {name}"));
                measured.push(told(say, bench.measure(name)));
            }
            goals.extend(image::figures(name, &measured));
            if formats && name == image::SIZES[0] {
                say("other formats");
                goals.extend(bench.formats()?);
            }
        }
        say("entering an image");
        let system = registry::push(cluster, &assets.images(), "systemd", registry::TAG)?;
        goals.extend(enter::figures(cluster, &system, repeats.max(5))?);
        say("working inside an image");
        goals.extend(cost::figures(cluster, &system, repeats.max(5))?);
        say("many pulls at once");
        goals.push(crowd::figure(&bench, repeats));
        Ok(Measured { goals, ..Measured::default() })
    })
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

/// A repeat that failed is said at once, and is the reason why its figures are unknown.
fn told<T>(say: &dyn Fn(&str), repeat: Result<T>) -> Result<T, String> {
    repeat.map_err(|error| {
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
