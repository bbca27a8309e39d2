//! The command line, with help that is enough to use it.

use clap::{Args, Parser, Subcommand};
use slurm_conf::site::SlurmVersion;
use std::path::PathBuf;

/// [bare-metal container] Writes and checks the configuration of partitions whose nodes boot a
/// kernel and an image of the job's choice.
#[derive(Debug, Parser)]
#[command(
    name = "slurm-conf",
    version,
    after_help = "A first site:\n  \
        slurm-conf generate --site site.toml --output generated --dry-run\n  \
        slurm-conf generate --site site.toml --output generated\n  \
        ... then what it prints as left to do, and at the end\n  \
        slurm-conf check"
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Write Slurm's, dnsmasq's and our own configuration from one site file.
    ///
    /// Into the output directory come: bare-metal-container.conf (nodes, partitions, power saving,
    /// hooks, timeouts; to be included by slurm.conf), plugstack.conf, cgroup.conf, dnsmasq.conf,
    /// bootsrv.toml, client.toml and nodes.toml (for `bmc node import`). Nothing else is touched;
    /// afterwards it says what is left to do. The same site file always gives the same files.
    #[command(after_help = SITE_HELP)]
    Generate(Generate),
    /// Name every setting of a live site that would break bare-metal containers.
    ///
    /// Reads slurm.conf (with Include), plugstack.conf and cgroup.conf beside it, bootsrv.toml and
    /// client.toml. Each finding says where, what breaks, and what to write instead. Changes
    /// nothing and asks no daemon: run it before a restart.
    #[command(after_help = "Exit code: 0 no error (there may be warnings), 1 at least one error, \
                            2 the call is wrong or slurm.conf cannot be read.")]
    Check(Check),
}

const SITE_HELP: &str = "\
A site file (seconds and ports have defaults; unknown keys are refused with their line):
  cluster = \"lab\"
  [slurm]
  host = \"head\"               # SlurmctldHost
  address = \"10.77.0.1\"       # where nodes reach it
  user = \"slurm\"
  version = \"22.05\"           # scontrol --version
  [server]
  address = \"10.77.0.1\"       # bootsrv
  [network]
  interface = \"br0\"           # where dnsmasq answers
  provisioning = \"10.77.0.0/24\"
  [[nodes]]
  names = \"n[1-2]\"
  first_address = \"10.77.0.11\"
  macs = [\"52:54:00:77:00:01\", \"52:54:00:77:00:02\"]
  cpus = 2
  memory_mib = 256
  controller = \"10.77.1.11\"   # baseboard controllers: counted up, or \"{node}-ipmi\"
  controller_user = \"admin\"
  password_file = \"/etc/bare-metal-container/secrets/ipmi\"   # for all; or with {node} in it
  [[partition]]
  name = \"bmc\"
  nodes = \"n[1-2]\"
  default_kernel = \"6.1-cloud\"
  default_image = \"debian12\"
More keys: examples/site.toml.
Exit code: 0 written, 2 the site file is wrong or a different file is in the way.";

#[derive(Debug, Args)]
pub(crate) struct Generate {
    /// The site file.
    #[arg(long, value_name = "FILE")]
    pub(crate) site: PathBuf,
    /// Directory for the files; made if it is not there.
    #[arg(long, value_name = "DIR")]
    pub(crate) output: PathBuf,
    /// Also write a complete slurm.conf, for a cluster that has none yet.
    #[arg(long)]
    pub(crate) full: bool,
    /// Print the files instead of writing them.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Overwrite files that are there with other content.
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Check {
    /// Slurm's configuration.
    #[arg(long, value_name = "FILE", default_value = "/etc/slurm/slurm.conf")]
    pub(crate) slurm_conf: PathBuf,
    /// bootsrv's configuration.
    #[arg(long, value_name = "FILE", default_value = "/etc/bare-metal-container/bootsrv.toml")]
    pub(crate) bootsrv: PathBuf,
    /// The configuration of plugin, hooks and command.
    #[arg(long, value_name = "FILE", env = protocol::job_env::CLIENT_CONFIG_PATH,
          default_value = protocol::job_env::CLIENT_CONFIG)]
    pub(crate) client: PathBuf,
    /// Slurm's version, e.g. 24.11; asked of scontrol if absent.
    #[arg(long, value_name = "VERSION")]
    pub(crate) slurm_version: Option<SlurmVersion>,
    /// Print the findings as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}
