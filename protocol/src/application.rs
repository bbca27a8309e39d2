//! Application images: the root a job's tasks see. What the job asks, what the node is told, and what
//! the node agent leaves on the node for the plugin.

use crate::boot::ArtifactRef;
use crate::error::ErrorKind;
use crate::names::{Digest, InvalidName, JobId};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// `GET` with the boot token: 200 and an [`ApplicationPlan`]; 202 while the image is on its way; 204
/// if the job has none.
pub const APPLICATION_PATH: &str = "/v1/boot/application";

/// On the node: what the agent keeps for the plugin; made by root, mode 0700.
pub const NODE_DIRECTORY: &str = "/run/bare-metal-container/application";
/// Below [`NODE_DIRECTORY`]: a [`NodeApplication`]. It is written last: where it is, the rest is.
pub const NODE_FILE: &str = "application.json";
/// Longest [`NODE_FILE`], in bytes.
pub const NODE_FILE_BYTES_MAX: u64 = 1 << 20;
/// Below [`NODE_DIRECTORY`], empty: bootsrv says that nothing is to be entered in this boot. Every node it
/// boots has this or [`NODE_FILE`] before slurmd is reported; other nodes have neither.
pub const NODE_NO_IMAGE_FILE: &str = "none";
/// Below [`NODE_DIRECTORY`]: the mount namespace with the image as its root, a file of nsfs.
pub const NODE_NAMESPACE: &str = "mnt";
/// On the node, and at the same place in the image: [`SLURM_COMMANDS`] for images that have none. The
/// plugin puts it at the end of `PATH`.
pub const SLURM_COMMANDS_DIRECTORY: &str = "/run/bare-metal-container/bin";
/// In the image: the node's own root, where the programs behind these commands are.
pub const NODE_ROOT_DIRECTORY: &str = "/run/bare-metal-container/node";
/// What users type of Slurm inside a job.
pub const SLURM_COMMANDS: [&str; 14] = [
    "srun", "sbatch", "salloc", "scancel", "squeue", "sinfo", "scontrol", "sacct", "sattach",
    "sbcast", "sstat", "sprio", "sshare", "strigger",
];

/// How a node gets at an image's layers (`--bmc-root`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RootMode {
    /// Copied into the node's memory, compressed: independent of the server afterwards.
    Ram,
    /// Read from an NFS server when it is needed; nothing is copied.
    Nfs,
}

impl RootMode {
    /// The word users type.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ram => "ram",
            Self::Nfs => "nfs",
        }
    }
}

impl FromStr for RootMode {
    type Err = InvalidName;
    fn from_str(text: &str) -> Result<Self, InvalidName> {
        [Self::Ram, Self::Nfs]
            .into_iter()
            .find(|mode| mode.name() == text)
            .ok_or_else(|| InvalidName::new("root", text, "it is ram or nfs"))
    }
}

impl fmt::Display for RootMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A directory or file of the node inside the image (`--bmc-mounts=SRC:DST[:ro],…`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BindMount {
    /// Absolute path on the node, no `..`.
    pub source: String,
    /// Absolute path inside the image, no `..`, not `/`.
    pub target: String,
    /// Cannot be written through.
    pub read_only: bool,
}

impl FromStr for BindMount {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let refuse = |rule| Err(InvalidName::new("mount", text, rule));
        let mut parts = text.split(':');
        let source = parts.next().unwrap_or("");
        let target = parts.next().unwrap_or(source);
        let read_only = match parts.next() {
            None | Some("rw") => false,
            Some("ro") => true,
            Some(_) => return refuse("after SRC:DST comes ro, rw or nothing"),
        };
        if parts.next().is_some() {
            return refuse("it is SRC:DST[:ro]");
        }
        let is_path = |path: &str| {
            path.starts_with('/')
                && path.len() <= 1024
                && !path.split('/').any(|part| part == "..")
                && !path.chars().any(|c| c.is_control() || c == ',')
        };
        if !is_path(source) || !is_path(target) {
            return refuse("both paths are absolute, without '..'");
        }
        if target.trim_matches('/').is_empty() {
            return refuse("the image's root itself cannot be mounted over");
        }
        Ok(Self { source: source.to_owned(), target: target.to_owned(), read_only })
    }
}

impl fmt::Display for BindMount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mode = if self.read_only { ":ro" } else { "" };
        write!(f, "{}:{}{mode}", self.source, self.target)
    }
}

impl TryFrom<String> for BindMount {
    type Error = InvalidName;
    fn try_from(text: String) -> Result<Self, InvalidName> {
        text.parse()
    }
}

impl From<BindMount> for String {
    fn from(mount: BindMount) -> Self {
        mount.to_string()
    }
}

/// What an image says about how it is run (OCI image configuration), apart from its user: tasks run
/// as the job's user.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageConfig {
    /// `NAME=value`; the job's variables win.
    pub environment: Vec<String>,
    /// Where tasks start if the job's own directory does not exist in the image.
    pub working_directory: Option<String>,
    /// Put before the command with `--bmc-entrypoint`.
    pub entrypoint: Vec<String>,
}

/// Where the layers are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "mode", rename_all = "snake_case")]
pub enum LayerSource {
    /// Fetched as artifacts and verified.
    Ram,
    /// Files named by their SHA-256 in a directory of an NFS server.
    Nfs {
        /// `server:/path`.
        source: String,
        /// Options as in mount(8).
        options: String,
    },
}

/// What the agent sets up for a job, apart from the boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApplicationPlan {
    /// The job it is for.
    pub job: JobId,
    /// Its user's name, as slurmctld has it.
    pub user: String,
    /// Its user's id.
    pub uid: u32,
    /// For messages: what the user asked for, pinned.
    pub reference: String,
    /// The image's digest.
    pub digest: Digest,
    /// squashfs files, the lowest first. Whiteouts and opaque directories as overlayfs has them.
    pub layers: Vec<ArtifactRef>,
    /// Where they are.
    pub source: LayerSource,
    /// Directories of the node inside the image: the site's, then the user's; allowed by bootsrv.
    pub mounts: Vec<BindMount>,
    /// How it is run.
    pub config: ImageConfig,
    /// The user wants the image's entry point before the command.
    pub use_entrypoint: bool,
}

/// What the agent leaves for the plugin in slurmstepd.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeApplication {
    /// The job whose tasks enter.
    pub job: JobId,
    /// Its user's id.
    pub uid: u32,
    /// For messages.
    pub reference: String,
    /// How the image is run; the entry point only if the user wants it.
    pub config: ImageConfig,
}

/// How far an image's preparation is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreparationView {
    /// What was asked, pinned if it is known to what.
    pub reference: String,
    /// What the image is kept by; none until the reference is pinned.
    #[serde(default)]
    pub digest: Option<Digest>,
    /// Where it stands.
    pub state: PreparationState,
    /// Bytes of layers fetched.
    pub bytes_done: u64,
    /// Bytes of all layers to fetch; none until the manifest is known.
    pub bytes_total: Option<u64>,
    /// Bytes a second, over the last seconds.
    pub bytes_per_second: Option<u64>,
    /// Layers converted.
    pub layers_done: u32,
    /// Layers of the image; none until the manifest is known.
    pub layers_total: Option<u32>,
    /// Why it failed, or what is being waited for.
    pub detail: Option<String>,
    /// Whose fault it is that it failed; none if it did not.
    #[serde(default)]
    pub blame: Option<ErrorKind>,
}

/// Where a preparation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PreparationState {
    /// Asking the registry.
    Resolving,
    /// Layers are fetched and converted.
    Pulling,
    /// Everything is fetched; the last layers are converted.
    Converting,
    /// Ready for nodes.
    Ready,
    /// Cannot be had; the detail says why.
    Failed,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_parsed_as_users_of_docker_write_them() {
        for (typed, whole) in
            [("/a:/b", "/a:/b"), ("/a:/b:ro", "/a:/b:ro"), ("/a:/b:rw", "/a:/b"), ("/a", "/a:/a")]
        {
            assert_eq!(typed.parse::<BindMount>().unwrap().to_string(), whole);
        }
        for bad in ["", "a:/b", "/a:b", "/a:/", "/a:/b:x", "/a:/b:ro:x", "/a/../b:/c", "/a:/b,c"] {
            assert!(bad.parse::<BindMount>().is_err(), "{bad:?}");
        }
    }
}
