//! `bootsrv.toml`: read once at start, unknown keys refused with their line.

use crate::application::settings::ApplicationImages;
use protocol::application::RootMode;
use protocol::boot::Mount;
use protocol::energy_settings::EnergySettings;
use protocol::names::{ImageName, KernelName, NodeName};
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// The whole file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Store, artifacts, certificate.
    pub state_dir: PathBuf,
    /// Kernel profiles, `NAME.toml`, read whenever they are asked for.
    pub profiles_dir: PathBuf,
    /// Words every kernel gets.
    #[serde(default)]
    pub kernel_arguments: Vec<String>,
    /// Where it listens.
    pub listen: Listen,
    /// How nodes reach it.
    pub url: Urls,
    /// The Slurm it serves.
    pub slurm: Slurm,
    /// Upper limits.
    #[serde(default)]
    pub limits: Limits,
    /// What is known of the nodes' meters, and what a kilowatt-hour stands for.
    #[serde(default)]
    pub energy: EnergySettings,
    /// What goes into a kernel's initrd.
    #[serde(default)]
    pub initrd: Initrd,
    /// Images that tasks enter.
    #[serde(default)]
    pub application_images: ApplicationImages,
    /// Partitions it manages.
    #[serde(default, rename = "partition")]
    pub partitions: Vec<Partition>,
    /// Files every node gets.
    #[serde(default, rename = "site_file")]
    pub site_files: Vec<SiteFileSource>,
    /// Mounts every node gets.
    #[serde(default, rename = "mount")]
    pub mounts: Vec<Mount>,
}

/// Listening sockets.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listen {
    /// For iPXE and the API.
    pub http: SocketAddr,
    /// For node agents.
    pub https: SocketAddr,
}

/// Base URLs, without a slash at the end.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Urls {
    /// For iPXE.
    pub http: String,
    /// For node agents.
    pub https: String,
}

/// The Slurm side.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slurm {
    /// Absolute path of scontrol.
    #[serde(default = "default_scontrol")]
    pub scontrol: PathBuf,
    /// Absolute path of slurm.conf.
    #[serde(default = "default_slurm_conf")]
    pub conf: PathBuf,
    /// SlurmUser: may do everything, like root.
    pub user: String,
    /// What slurmd on the nodes asks for its configuration, `host:port`.
    pub conf_server: String,
    /// Nodes that stay on show what they run as features, and jobs prefer those they can use as they
    /// are.
    #[serde(default = "yes")]
    pub prefer_warm: bool,
}

fn default_scontrol() -> PathBuf {
    "/usr/bin/scontrol".into()
}

fn default_slurm_conf() -> PathBuf {
    "/etc/slurm/slurm.conf".into()
}

/// Upper limits; each state of a deployment has one.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Most power-ons a second in the whole site (inrush current).
    pub power_on_per_second: u32,
    /// From power-on to the boot script: firmware. Seconds.
    pub firmware_seconds: u32,
    /// From the boot script to the agent's first report. Seconds.
    pub boot_seconds: u32,
    /// From the agent's first report to slurmd's registration. Seconds.
    pub register_seconds: u32,
    /// Longest time a registered node waits for bytes of its job's application image, once that is
    /// prepared, or takes to set it up after the last of them. Seconds.
    pub image_seconds: u32,
    /// For a power command to show its effect. Seconds.
    pub power_seconds: u32,
    /// For the operating system of a node that goes off after its job to shut down by itself; 0: it is
    /// not asked. Seconds.
    pub soft_off_seconds: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            power_on_per_second: 4,
            firmware_seconds: 240,
            boot_seconds: 120,
            register_seconds: 120,
            image_seconds: 300,
            power_seconds: 60,
            soft_off_seconds: 15,
        }
    }
}

/// The kernels' initrds.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Initrd {
    /// The static node agent.
    pub agent: PathBuf,
    /// Modules put in with what they need; those a kernel has built in are skipped.
    pub modules: Vec<String>,
    /// Directories of the module tree that no node needs, e.g. `kernel/sound`: they are left out of
    /// what nodes fetch.
    pub left_out: Vec<String>,
}

impl Default for Initrd {
    fn default() -> Self {
        let modules =
            ["virtio_pci", "virtio_net", "e1000e", "igb", "ixgbe", "i40e", "tg3", "bnxt_en"];
        let root = ["squashfs", "overlay", "loop", "virtio_rng", "evdev", "button"];
        Self {
            agent: "/usr/libexec/bare-metal-container/node-agent".into(),
            modules: modules.into_iter().chain(root).map(String::from).collect(),
            left_out: artifacts::kernel::DESKTOP_DIRECTORIES.map(String::from).to_vec(),
        }
    }
}

/// A partition whose nodes are booted for each job.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Partition {
    /// As Slurm names it.
    pub name: String,
    /// Its nodes, as a Slurm node list: which defaults a node boots that comes up for no job.
    pub nodes: Option<String>,
    /// The kernel of jobs that name none.
    pub default_kernel: KernelName,
    /// The node image of jobs that name none.
    pub default_image: ImageName,
    /// How its nodes get at application images; the site's `application_images.root` if absent.
    pub root: Option<RootMode>,
    /// What a node does when its job ends.
    #[serde(default)]
    pub after_job: AfterJob,
    /// With `after_job = "stay_on"`: who may get a node as another user left it.
    #[serde(default)]
    pub share_with: ShareWith,
    /// With `after_job = "stay_on"`: a running node may start another kernel without its firmware.
    #[serde(default = "yes")]
    pub kexec: bool,
    /// With `after_job = "stay_on"`: nodes are booted ahead for jobs that are known to start soon.
    #[serde(default)]
    pub preboot: bool,
    /// A new default kernel tried on some nodes first.
    pub canary: Option<Canary>,
}

#[cfg(test)]
impl Partition {
    /// A partition to change what a test is about.
    pub(crate) fn example(after_job: AfterJob) -> Self {
        let text = "name = \"bmc\"\ndefault_kernel = \"k\"\ndefault_image = \"i\"";
        let example: Self = toml::from_str(text).unwrap_or_else(|error| panic!("{error}"));
        Self { after_job, ..example }
    }
}

/// What a node does when its job ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AfterJob {
    /// Powers off.
    #[default]
    Off,
    /// Stays on for the next job, until Slurm's SuspendTime for the partition ends.
    StayOn,
}

/// The trust domain of a node that stays on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShareWith {
    /// The same user only.
    #[default]
    User,
    /// Users of the same Slurm account.
    Account,
    /// Everybody.
    Anybody,
}

fn yes() -> bool {
    true
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

impl Canary {
    /// Whether the node is one of them.
    #[must_use]
    pub fn includes(&self, node: &NodeName) -> bool {
        is_in(node, &self.nodes)
    }
}

fn is_in(node: &NodeName, list: &str) -> bool {
    protocol::node_list::expand(list).is_ok_and(|nodes| nodes.contains(node))
}

/// A file for every node.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SiteFileSource {
    /// Where on the node, absolute.
    pub path: String,
    /// Where bootsrv reads it.
    pub source: PathBuf,
    /// Octal permission bits.
    #[serde(default = "default_mode")]
    pub mode: String,
    /// Owner on the node, by name in the image or by number.
    #[serde(default = "root")]
    pub owner: String,
    /// Group on the node.
    #[serde(default = "root")]
    pub group: String,
    /// Handed out once with the boot token instead of with the plan.
    #[serde(default)]
    pub secret: bool,
}

fn default_mode() -> String {
    "0644".into()
}

fn root() -> String {
    "root".into()
}

/// Why the configuration was refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Not readable.
    #[error("reading {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// Not the TOML that is expected; the source names line and key.
    #[error("{path} is not valid")]
    Parse {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// A value that parses but cannot work.
    #[error("{path}: {key} = {value:?} {problem}")]
    Value {
        /// The file.
        path: PathBuf,
        /// Which key.
        key: String,
        /// What it says.
        value: String,
        /// What is wrong with it.
        problem: &'static str,
    },
}

impl Config {
    /// Reads and checks the file.
    ///
    /// # Errors
    /// When it cannot be read, has an unknown key, or a value that cannot work.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.into(), source })?;
        let config: Self = toml::from_str(&text)
            .map_err(|source| ConfigError::Parse { path: path.into(), source: Box::new(source) })?;
        config.check(path)?;
        Ok(config)
    }

    fn check(&self, path: &Path) -> Result<(), ConfigError> {
        let refuse = |key: &str, value: &str, problem| {
            Err(ConfigError::Value {
                path: path.into(),
                key: key.into(),
                value: value.into(),
                problem,
            })
        };
        for file in &self.site_files {
            if !file.path.starts_with('/') || file.path.split('/').any(|part| part == "..") {
                return refuse(
                    "site_file.path",
                    &file.path,
                    "is not an absolute path without '..'",
                );
            }
            if u32::from_str_radix(&file.mode, 8).is_err() {
                return refuse(
                    "site_file.mode",
                    &file.mode,
                    "is not an octal number like \"0644\"",
                );
            }
        }
        for partition in &self.partitions {
            if partition.preboot && partition.after_job == AfterJob::Off {
                return refuse("partition.preboot", "true", "needs after_job = \"stay_on\"");
            }
            for (key, nodes) in [
                ("partition.nodes", partition.nodes.as_ref()),
                ("partition.canary.nodes", partition.canary.as_ref().map(|canary| &canary.nodes)),
            ] {
                if let Some(nodes) = nodes
                    && protocol::node_list::expand(nodes).is_err()
                {
                    return refuse(key, nodes, "is not a Slurm node list");
                }
            }
        }
        if let Some((key, value, problem)) = self.application_images.broken() {
            return refuse(&format!("application_images.{key}"), &value, problem);
        }
        let wants_nfs = |one: &&Partition| one.root == Some(RootMode::Nfs);
        if self.application_images.site.nfs.is_none()
            && let Some(partition) = self.partitions.iter().find(wants_nfs)
        {
            return refuse("partition.root", &partition.name, "needs application_images.nfs");
        }
        if self.limits.power_on_per_second == 0 {
            return refuse("limits.power_on_per_second", "0", "would never power a node on");
        }
        if !self.energy.is_whole() {
            return refuse("energy.price_per_kwh", "", "and energy.currency go together");
        }
        for url in [&self.url.http, &self.url.https] {
            if url.ends_with('/') || !url.starts_with("http") {
                return refuse(
                    "url",
                    url,
                    "is not like http://10.0.0.1:8080, without a slash at the end",
                );
            }
        }
        Ok(())
    }

    /// The partition of that name, if it is ours.
    #[must_use]
    pub fn partition(&self, name: &str) -> Option<&Partition> {
        self.partitions.iter().find(|partition| partition.name == name)
    }

    /// The partition whose defaults a node boots for no job: the first that names it, else the first.
    #[must_use]
    pub fn partition_of(&self, node: &NodeName) -> Option<&Partition> {
        let names = |one: &&Partition| one.nodes.as_ref().is_some_and(|nodes| is_in(node, nodes));
        self.partitions.iter().find(names).or_else(|| self.partitions.first())
    }
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
