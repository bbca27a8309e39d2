//! `site.toml`: everything a site says about itself, once. Parsed and checked here; what is made of
//! it is `generate`'s affair.

mod defaults;
mod error;
mod expand;
mod validate;
mod version;

pub use error::{Problem, SiteError};
pub use expand::{Node, nodes};
pub use version::SlurmVersion;

use crate::network::Network;
use protocol::api::{ConsoleSource, Firmware};
use protocol::application::RootMode;
use protocol::boot::Mount;
use protocol::energy_settings::EnergySettings;
use protocol::names::{ImageName, KernelName, MacAddress};
use serde::Deserialize;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

/// Longest site file, in bytes: 10,000 nodes need about 1 MiB.
pub const SITE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// The whole file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Site {
    /// ClusterName.
    pub cluster: String,
    /// The Slurm it is for.
    pub slurm: Slurm,
    /// bootsrv.
    pub server: Server,
    /// The networks.
    pub network: Networks,
    /// Ranges of equal nodes.
    pub nodes: Vec<NodeRange>,
    /// Partitions whose nodes are booted for each job.
    #[serde(rename = "partition")]
    pub partitions: Vec<Partition>,
    /// How long things may take.
    #[serde(default)]
    pub timeouts: Timeouts,
    /// Where the programs are installed.
    #[serde(default)]
    pub programs: Programs,
    /// Files every node gets.
    #[serde(default, rename = "site_file")]
    pub site_files: Vec<SiteFile>,
    /// Mounts every node gets.
    #[serde(default, rename = "mount")]
    pub mounts: Vec<Mount>,
    /// `[energy]` of bootsrv.toml.
    #[serde(default)]
    pub energy: EnergySettings,
    /// `[application_images]` of bootsrv.toml but `prepare_seconds`, word for word.
    #[serde(default)]
    pub application_images: toml::Table,
}

/// The Slurm side.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slurm {
    /// SlurmctldHost, a short host name.
    pub host: String,
    /// Where nodes reach slurmctld.
    pub address: Ipv4Addr,
    /// slurmctld's port.
    #[serde(default = "defaults::slurmctld_port")]
    pub port: u16,
    /// SlurmUser; bootsrv's user too.
    pub user: String,
    /// Major version, e.g. `24.11`.
    pub version: SlurmVersion,
    /// Where slurm.conf is in use.
    #[serde(default = "defaults::slurm_conf")]
    pub conf: PathBuf,
    /// StateSaveLocation, for `--full`.
    #[serde(default = "defaults::slurm_state")]
    pub state_dir: PathBuf,
    /// Directory of the daemons' logs, for `--full`.
    #[serde(default = "defaults::slurm_log")]
    pub log_dir: PathBuf,
}

/// bootsrv.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// Where it listens, on the provisioning network.
    pub address: Ipv4Addr,
    /// For iPXE and the API.
    #[serde(default = "defaults::http_port")]
    pub http_port: u16,
    /// For node agents.
    #[serde(default = "defaults::https_port")]
    pub https_port: u16,
    /// Store, artifacts, certificate.
    #[serde(default = "defaults::state_dir")]
    pub state_dir: PathBuf,
    /// Kernel profiles.
    #[serde(default = "defaults::profiles_dir")]
    pub profiles_dir: PathBuf,
    /// Words every kernel gets.
    #[serde(default)]
    pub kernel_arguments: Vec<String>,
    /// Modules of the initrds; bootsrv's own list if absent.
    pub initrd_modules: Option<Vec<String>>,
    /// Directories of module trees that no node needs; bootsrv's own list if absent.
    pub initrd_left_out: Option<Vec<String>>,
    /// Most power-ons a second in the whole site (inrush current).
    #[serde(default = "defaults::power_on_per_second")]
    pub power_on_per_second: u32,
    /// Whether jobs prefer nodes that stayed on and run what they ask for; yes if absent.
    pub prefer_warm: Option<bool>,
}

/// The networks.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Networks {
    /// Where dnsmasq answers.
    pub interface: String,
    /// The network the nodes boot from.
    pub provisioning: Network,
    /// The default gateway of the nodes.
    pub gateway: Option<Ipv4Addr>,
    /// The network of the baseboard controllers.
    pub management: Option<Network>,
    /// Directory with `ipxe.efi` and `undionly.kpxe`, for firmware that is not iPXE; without it
    /// every card must hold iPXE itself.
    pub tftp_root: Option<PathBuf>,
}

/// Equal nodes.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeRange {
    /// As a Slurm node list, e.g. `n[01-16]`.
    pub names: String,
    /// Address of the first; the others follow.
    pub first_address: Ipv4Addr,
    /// The card each boots from, in the order of the names.
    pub macs: Vec<MacAddress>,
    /// CPUs (hardware threads) each has.
    pub cpus: u32,
    /// Hardware threads a core has.
    #[serde(default = "defaults::one")]
    pub threads_per_core: u32,
    /// Sockets each has.
    #[serde(default = "defaults::one")]
    pub sockets: u32,
    /// RealMemory, MiB: below what the node's kernel shows.
    pub memory_mib: u64,
    /// Features, e.g. `["skylake"]`.
    #[serde(default)]
    pub features: Vec<String>,
    /// What switches their power.
    #[serde(default)]
    pub power: PowerMethod,
    /// Address of the first baseboard controller; or a host name with `{node}` in it.
    pub controller: Option<String>,
    /// User on the controllers.
    pub controller_user: Option<String>,
    /// A file whose first line is that user's password, or the cards' SecureOn password; `{node}`
    /// stands for the name.
    pub password_file: Option<String>,
    /// IPMI cipher suite, 17 or 3; the strongest accepted if absent.
    pub cipher_suite: Option<u8>,
    /// A file whose first line is the controllers' own key K_G; `{node}` stands for the name.
    pub kg_file: Option<String>,
    /// A file on bootsrv's host with the certificate of the authority that the controllers' own
    /// are signed by, PEM; the host's authorities if absent.
    pub controller_ca_file: Option<String>,
    /// The site's program that switches power: docs/admin.md has the contract.
    pub power_program: Option<String>,
    /// Words before `on`, `off` or `status`.
    #[serde(default)]
    pub power_arguments: Vec<String>,
    /// Interface that magic packets leave by; the routing table decides if absent.
    pub wake_interface: Option<String>,
    /// How the controllers are asked for a boot from the network; `bios` if absent.
    #[serde(default)]
    pub firmware: Firmware,
    /// Where the serial console is logged; `{node}` stands for the name.
    pub console_log: Option<String>,
    /// Where bootsrv itself gets the serial consoles from; not beside `console_log`.
    pub console: Option<ConsoleSource>,
}

/// What switches the power of a range's nodes. The others that bootsrv knows stand in a nodes.toml
/// written by hand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PowerMethod {
    /// IPMI 2.0.
    #[default]
    Ipmi,
    /// Redfish over HTTPS.
    Redfish,
    /// A program of the site's own.
    Exec,
    /// Magic packets to the provisioning network's broadcast address.
    WakeOnLan,
}

/// A partition of bare-metal containers.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Partition {
    /// PartitionName.
    pub name: String,
    /// Its nodes, as a Slurm node list.
    pub nodes: String,
    /// Whether jobs that name no partition go there.
    #[serde(default)]
    pub default: bool,
    /// MaxTime as slurm.conf has it.
    #[serde(default = "defaults::max_time")]
    pub max_time: String,
    /// The kernel of jobs that name none.
    pub default_kernel: KernelName,
    /// The node image of jobs that name none.
    pub default_image: ImageName,
    /// How its nodes get at application images; the site's `application_images.root` if absent.
    pub root: Option<RootMode>,
    /// What a node does when its job ends.
    #[serde(default)]
    pub after_job: AfterJob,
    /// With `stay_on`: how long a node waits for its next job before it is powered off, in seconds;
    /// [`IDLE_SECONDS`] if absent.
    pub idle_seconds: Option<u32>,
    /// With `stay_on`: who may get a node as another user left it.
    pub share_with: Option<ShareWith>,
    /// With `stay_on`: whether a node may start another kernel without its firmware; yes if absent.
    pub kexec: Option<bool>,
    /// With `stay_on`: whether nodes are booted ahead for jobs that are known to start soon; no if
    /// absent.
    pub preboot: Option<bool>,
    /// A new default kernel tried on some of its nodes first.
    pub canary: Option<Canary>,
}

/// Nodes that get another default kernel.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Canary {
    /// Their default kernel.
    pub kernel: KernelName,
    /// The nodes, as a Slurm node list.
    pub nodes: String,
}

/// What a node does when its job ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AfterJob {
    /// Powers off.
    #[default]
    Off,
    /// Stays on for the next job.
    StayOn,
}

/// How long a node that stays on waits for its next job, in seconds: a pause between two jobs of one
/// user, and less energy than the boot it may save (a server boots for minutes).
pub const IDLE_SECONDS: u32 = 600;

/// The trust domain of a node that stays on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShareWith {
    /// The same user only: bootsrv's default.
    User,
    /// Users of the same Slurm account.
    Account,
    /// Everybody.
    Anybody,
}

/// How long things may take, in seconds.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Timeouts {
    /// From power-on to the boot script.
    pub firmware_seconds: u32,
    /// From the boot script to the agent's first report.
    pub boot_seconds: u32,
    /// From there to slurmd's registration.
    pub register_seconds: u32,
    /// For a power command to show its effect.
    pub power_seconds: u32,
    /// For an application image to be pulled and converted, beside the boot.
    pub prepare_seconds: u32,
    /// Without a byte of the image on a registered node, or from the last one to its being set up.
    pub image_seconds: u32,
    /// Starts of a job on faulty nodes before it is held.
    pub tries_max: u32,
}

/// Where the programs are installed.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Programs {
    /// Directory of prolog, epilog, resume, suspend, resume-fail and node-agent.
    pub libexec: PathBuf,
    /// The plugin: a name is looked for in Slurm's PluginDir, here and on the nodes.
    pub plugin: String,
    /// Slurm's scontrol.
    pub scontrol: PathBuf,
    /// The site's own PrologSlurmctld, run before ours.
    pub site_prolog: Option<PathBuf>,
    /// The site's own EpilogSlurmctld, run after ours.
    pub site_epilog: Option<PathBuf>,
}

/// A file for every node.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SiteFile {
    /// Where on the node.
    pub path: String,
    /// Where bootsrv reads it.
    pub source: PathBuf,
    /// Octal permission bits.
    #[serde(default = "defaults::mode")]
    pub mode: String,
    /// Owner on the node.
    #[serde(default = "defaults::root")]
    pub owner: String,
    /// Group on the node.
    #[serde(default = "defaults::root")]
    pub group: String,
    /// Handed out once, with the boot token.
    #[serde(default)]
    pub secret: bool,
}

impl Site {
    /// Reads and checks a site file.
    ///
    /// # Errors
    /// When it cannot be read, has an unknown key, or values that cannot work.
    pub fn read(path: &Path) -> Result<Self, SiteError> {
        let text = crate::limited::read_limited(path, SITE_BYTES_MAX)
            .map_err(|source| SiteError::Read { path: path.to_owned(), source })?;
        Self::parse(&text, path)
    }

    /// Checks the text of a site file; `path` is for messages.
    ///
    /// # Errors
    /// When it has an unknown key, or values that cannot work.
    pub fn parse(text: &str, path: &Path) -> Result<Self, SiteError> {
        let site: Self = toml::from_str(text).map_err(|error| {
            let (line, message) = crate::toml_text::error_line(text, &error);
            SiteError::Parse { path: path.to_owned(), line, message }
        })?;
        let problems = validate::problems(&site, text);
        if problems.is_empty() {
            Ok(site)
        } else {
            Err(SiteError::Values { path: path.to_owned(), problems })
        }
    }
}
