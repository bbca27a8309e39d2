//! Our own files of a live site: as much of bootsrv.toml and client.toml as the rules look at. Their
//! readers check the rest, and keys unknown here are theirs to refuse.

use crate::limited::read_limited;
use crate::site::AfterJob;
use crate::toml_text;
use protocol::application::RootMode;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};

/// Longest of our own configuration files, in bytes.
const TOML_BYTES_MAX: u64 = 1024 * 1024;

/// One of our TOML files with its text, for line numbers.
#[derive(Debug, Clone)]
pub struct TomlFile<T> {
    /// Its usual name.
    pub name: &'static str,
    /// Where.
    pub path: PathBuf,
    /// Its text; empty if it could not be read.
    pub text: String,
    /// Its content, or the line and the reason why there is none.
    pub content: Result<T, (Option<usize>, String)>,
}

impl<T: DeserializeOwned> TomlFile<T> {
    pub(super) fn read(name: &'static str, path: &Path) -> Self {
        let (text, content) = match read_limited(path, TOML_BYTES_MAX) {
            Err(error) => (String::new(), Err((None, error.to_string()))),
            Ok(text) => {
                let content = toml::from_str(&text).map_err(|error| {
                    let (line, message) = toml_text::error_line(&text, &error);
                    (Some(line), message)
                });
                (text, content)
            }
        };
        Self { name, path: path.to_owned(), text, content }
    }

    /// The content, if there is one.
    pub fn get(&self) -> Option<&T> {
        self.content.as_ref().ok()
    }

    /// The line of a key, from 1.
    #[must_use]
    pub fn line(&self, header: &str, key: &str) -> Option<usize> {
        toml_text::line_of(&self.text, header, 0, key)
    }
}

/// As much of bootsrv.toml as the rules need; bootsrv itself checks the rest.
#[derive(Debug, Clone, Deserialize)]
pub struct Bootsrv {
    /// How nodes reach it.
    pub url: Urls,
    /// Its Slurm.
    pub slurm: BootsrvSlurm,
    /// Upper limits.
    #[serde(default)]
    pub limits: Limits,
    /// `[application_images]`, as it is.
    #[serde(default)]
    pub application_images: toml::Table,
    /// Partitions it manages.
    #[serde(default, rename = "partition")]
    pub partitions: Vec<BootsrvPartition>,
    /// Files every node gets.
    #[serde(default, rename = "site_file")]
    pub site_files: Vec<BootsrvFile>,
}

/// bootsrv's addresses.
#[derive(Debug, Clone, Deserialize)]
pub struct Urls {
    /// For iPXE and the API.
    pub http: String,
}

/// bootsrv's Slurm.
#[derive(Debug, Clone, Deserialize)]
pub struct BootsrvSlurm {
    /// SlurmUser.
    pub user: String,
    /// slurmctld as nodes reach it, `host:port`.
    pub conf_server: String,
    /// scontrol.
    pub scontrol: Option<PathBuf>,
    /// Jobs prefer nodes that stayed on and run what they ask for; yes if absent.
    pub prefer_warm: Option<bool>,
}

/// bootsrv's limits, in seconds, with its defaults.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// From power-on to the boot script.
    pub firmware_seconds: u32,
    /// From the boot script to the agent's first report.
    pub boot_seconds: u32,
    /// From there to slurmd's registration.
    pub register_seconds: u32,
    /// Without a byte of the application image, or from the last one to its being set up.
    pub image_seconds: u32,
    /// For a power command to show its effect.
    pub power_seconds: u32,
}

impl Default for Limits {
    fn default() -> Self {
        let timeouts = crate::site::Timeouts::default();
        Self {
            firmware_seconds: timeouts.firmware_seconds,
            boot_seconds: timeouts.boot_seconds,
            register_seconds: timeouts.register_seconds,
            image_seconds: timeouts.image_seconds,
            power_seconds: timeouts.power_seconds,
        }
    }
}

impl Limits {
    /// The longest boot that bootsrv does not give up.
    #[must_use]
    pub fn whole_boot_seconds(self) -> u32 {
        self.firmware_seconds
            .saturating_add(self.boot_seconds)
            .saturating_add(self.register_seconds)
    }

    /// The longest that a node which stays on may be silent between two jobs: it is asked to start
    /// another kernel, and when that fails it is powered off and on.
    #[must_use]
    pub fn whole_take_over_seconds(self) -> u32 {
        self.whole_boot_seconds()
            .saturating_add(self.boot_seconds)
            .saturating_add(self.register_seconds)
            .saturating_add(self.power_seconds)
    }
}

impl Bootsrv {
    /// The longest that a job's nodes may need, its image included: it is prepared while they boot.
    #[must_use]
    pub fn whole_start_seconds(&self) -> u32 {
        let boot = self.limits.whole_boot_seconds();
        boot.max(self.prepare_seconds()).saturating_add(self.limits.image_seconds)
    }

    /// How long a job's nodes wait for its image, in seconds.
    fn prepare_seconds(&self) -> u32 {
        let own = self.application_images.get("prepare_seconds").and_then(toml::Value::as_integer);
        own.and_then(|seconds| seconds.try_into().ok())
            .unwrap_or_else(|| crate::site::Timeouts::default().prepare_seconds)
    }
}

/// A partition of bootsrv.
#[derive(Debug, Clone, Deserialize)]
pub struct BootsrvPartition {
    /// Its name.
    pub name: String,
    /// How its nodes get at application images, if it says so.
    pub root: Option<RootMode>,
    /// What a node does when its job ends.
    #[serde(default)]
    pub after_job: AfterJob,
    /// Nodes are booted ahead.
    #[serde(default)]
    pub preboot: bool,
}

/// A file that bootsrv sends to every node.
#[derive(Debug, Clone, Deserialize)]
pub struct BootsrvFile {
    /// Where on the node.
    pub path: String,
}

/// As much of client.toml as the rules need.
#[derive(Debug, Clone, Deserialize)]
pub struct Client {
    /// bootsrv's API.
    pub server: String,
    /// Partitions that are ours.
    #[serde(default)]
    pub partitions: Vec<String>,
    /// For whom users' registry logins are sealed.
    #[serde(default = "slurm_user_default")]
    pub slurm_user: String,
    /// When prolog gives up, seconds.
    #[serde(default = "prolog_timeout_default")]
    pub prolog_timeout_seconds: u32,
    /// The site's own hook.
    pub site_prolog: Option<PathBuf>,
    /// The site's own hook.
    pub site_epilog: Option<PathBuf>,
}

/// bootsrv-client's default.
fn prolog_timeout_default() -> u32 {
    900
}

/// bootsrv-client's default.
fn slurm_user_default() -> String {
    "slurm".to_owned()
}
