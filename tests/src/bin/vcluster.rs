//! `vcluster`: the virtual cluster for people.

use anyhow::Context;
use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use tests::cluster::layout::DEFAULT_DIR;
use tests::cluster::{Cluster, Fault, Node, Options};
use tests::product::{self, Assets, demo, registry};

/// A virtual cluster: real Slurm, QEMU nodes with baseboard controllers, in namespaces of its own.
#[derive(Debug, Parser)]
struct Arguments {
    /// The run directory; nothing outside it is changed.
    #[arg(long, global = true, default_value = DEFAULT_DIR)]
    dir: PathBuf,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Bring the cluster up, with all nodes off; it stays up when this command ends.
    Up {
        /// How many nodes.
        #[arg(long, default_value_t = 2)]
        nodes: u8,
        /// Memory of each node in MiB.
        #[arg(long, default_value_t = 640)]
        memory: u32,
        /// Where our programs are; where this one is, if not said.
        #[arg(long)]
        programs: Option<PathBuf>,
        /// Remove the whole run directory first.
        #[arg(long)]
        fresh: bool,
        /// Slurm, controllers and nodes only, without our product.
        #[arg(long)]
        bare: bool,
    },
    /// Run jobs with different kernels on a cluster of its own, print what they saw, and remove it.
    Demo {
        /// How many nodes.
        #[arg(long, default_value_t = 2)]
        nodes: u8,
    },
    /// Show what runs.
    Status,
    /// End the cluster; fine if there is none.
    Down,
    /// Run a command on the controller host.
    Run {
        /// As which user: root, slurm, alice or bob.
        #[arg(long, default_value = "root")]
        as_user: String,
        /// The command.
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// Run sbatch as alice.
    Sbatch {
        /// Its arguments.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Print a node's console.
    Console {
        /// The node.
        node: Node,
        /// Go on printing.
        #[arg(long, short)]
        follow: bool,
    },
    /// Talk to a node's baseboard controller as its administrator.
    Ipmitool {
        /// The node.
        node: Node,
        /// Arguments, e.g. `chassis power on`.
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Start a registry, push the test images into it, and print their references.
    Registry,
    /// Start a service that is not there from the start, or again: registry-login, nfs, bootsrv …
    Start {
        /// The service; `status` lists those that run.
        service: String,
    },
    /// Stop a service.
    Stop {
        /// The service.
        service: String,
    },
    /// Give a node a fault: none, ignore-power, no-boot, panic, refuse-power, ignore-off, flaky-power,
    /// says-off, slow-firmware.
    Fault {
        /// The node.
        node: Node,
        /// The fault.
        fault: Fault,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    run(arguments).unwrap_or_else(|error| {
        eprintln!("vcluster: {error:#}");
        ExitCode::FAILURE
    })
}

fn run(Arguments { dir, verb }: Arguments) -> anyhow::Result<ExitCode> {
    match verb {
        Verb::Demo { nodes } => {
            let dir = dir.with_file_name("demo");
            demo::run(Options { dir, nodes, fresh: true, ..Options::default() })?;
        }
        Verb::Up { nodes, memory, programs, fresh, bare } => {
            let default = Options::default();
            let program_dir = programs.unwrap_or_else(|| default.program_dir.clone());
            let options = Options { dir, nodes, memory_mib: memory, program_dir, fresh, ..default };
            let cluster = if bare {
                Cluster::up(options)?
            } else {
                let assets = Assets::beside(&options.program_dir);
                product::up(options, &assets)?
            };
            for note in cluster.notes() {
                println!("{note}");
            }
            println!("up with {nodes} nodes in {}", cluster.dir().display());
            cluster.detach()?;
        }
        Verb::Status => status(&Cluster::attach(&dir)?)?,
        Verb::Down if Cluster::end_in(&dir)? => println!("down"),
        Verb::Down => println!("no cluster was up in {}", dir.display()),
        Verb::Run { as_user, command } => {
            return forward(Cluster::attach(&dir)?.command(&as_user, &words(&command)));
        }
        Verb::Sbatch { arguments } => {
            let command: Vec<&str> =
                std::iter::once("sbatch").chain(arguments.iter().map(String::as_str)).collect();
            return forward(Cluster::attach(&dir)?.command("alice", &command));
        }
        Verb::Console { node, follow } => {
            let cluster = Cluster::attach(&dir)?;
            if follow {
                let mut tail = Command::new("/usr/bin/tail");
                tail.args(["--lines=+1", "--follow=name", "--retry"])
                    .arg(cluster.console_path(node));
                return forward(tail);
            }
            print!("{}", cluster.console(node)?);
        }
        Verb::Ipmitool { node, arguments } => {
            return forward(Cluster::attach(&dir)?.ipmitool_command(node, &words(&arguments)));
        }
        Verb::Registry => {
            let cluster = Cluster::attach(&dir)?;
            let layout = Assets::beside(&Options::default().program_dir).images();
            for image in registry::IMAGES {
                println!("{}", registry::push(&cluster, &layout, image, registry::TAG)?);
            }
        }
        Verb::Start { service } => Cluster::attach(&dir)?.start_service(&service)?,
        Verb::Stop { service } => Cluster::attach(&dir)?.stop_service(&service, "TERM")?,
        Verb::Fault { node, fault } => Cluster::attach(&dir)?.fault(node, fault)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn words(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).collect()
}

/// Runs a command with our own standard input and output, and ends as it does.
fn forward(mut command: Command) -> anyhow::Result<ExitCode> {
    let status = command.status().context("cannot start the command")?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}

fn status(cluster: &Cluster) -> anyhow::Result<()> {
    println!("up in {}", cluster.dir().display());
    for (name, is_running) in cluster.services() {
        println!("{name:<16} {}", if is_running { "runs" } else { "does not run" });
    }
    for node in cluster.nodes() {
        let power = if cluster.is_on(node) { "on" } else { "off" };
        let fault = Fault::read(&cluster.dir().join("nodes").join(node.to_string()));
        let energy = cluster.energy_mj(node)?.millijoules;
        println!("{node:<16} {power}, fault {fault}, {}.{:03} J", energy / 1000, energy % 1000);
    }
    print!("{}", cluster.check(&["sinfo", "--Node", "--long"])?);
    Ok(())
}
