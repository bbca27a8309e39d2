//! Requests and answers of bootsrv's API for people and for Slurm's hooks.
//!
//! Callers prove who they are with a munge credential in `Authorization: MUNGE <credential>` whose
//! payload is [`credential_payload`]. The paths are listed in docs/api.md in the same order.

mod images;

pub use images::{
    ApplicationImageView, CollectRequest, Collected, CollectedImage, ImageImport, ImageKind,
    ImageView, LayerView, PullRequest, RegistryCredential, UploadView,
};

use crate::application::PreparationView;
use crate::boot::AppliedSetting;
use crate::job_options::JobOptions;
use crate::names::{
    Digest, ImageName, JobId, JobReference, KernelName, MacAddress, NodeName, Secret,
};
use crate::profile::Allow;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// `PUT` [`JobRequest`] → [`JobView`]; `GET` → [`JobView`]; `DELETE` → [`JobView`], or
/// `null` for a job nobody has asked for.
/// Append the job id (`GET`: or a [`JobReference`]); `GET` without one → list of [`JobView`]
/// (`?all=true`: ended ones too).
pub const JOBS: &str = "/v1/jobs";
/// `GET /v1/energy/{job}`, a [`JobReference`] → list of [`crate::energy::JobEnergy`], one per try; a
/// plain id: of all tasks of that array, of all components of that heterogeneous job.
pub const ENERGY: &str = "/v1/energy";
/// `POST` [`NodesRequest`]: Slurm's ResumeProgram wants these nodes.
pub const RESUME: &str = "/v1/power/resume";
/// `POST` [`NodesRequest`]: Slurm's SuspendProgram gives these nodes back.
pub const SUSPEND: &str = "/v1/power/suspend";
/// `POST` [`NodesRequest`]: Slurm's ResumeFailProgram gave up on these nodes.
pub const RESUME_FAIL: &str = "/v1/power/resume-fail";
/// `POST` [`NodesRequest`]: Slurm's RebootProgram wants these nodes booted anew.
pub const REBOOT: &str = "/v1/power/reboot";
/// `GET ?partition=…&account=…` → [`Catalog`] of what the caller may choose.
pub const CATALOG: &str = "/v1/catalog";
/// `POST` [`CheckRequest`] → [`Checked`]: would this be accepted?
pub const CHECK: &str = "/v1/check";
/// `GET` → list of [`NodeView`]; `PUT` list of [`NodeDefinition`] (admin); append a name for one.
/// Below a node: `PUT …/power` [`PowerRequest`], `GET …/console` → text,
/// `PUT …/maintenance` [`Maintenance`], `POST …/boot` [`JobOptions`].
pub const NODES: &str = "/v1/nodes";
/// `GET` → list of [`KernelView`]; `PUT …/{name}` package bytes (admin) → [`KernelView`];
/// `GET …/{name}`; `DELETE …/{name}` (admin).
pub const KERNELS: &str = "/v1/kernels";
/// `GET` → list of [`ImageView`]; `PUT …/{name}` tar bytes (admin) → [`ImageView`];
/// `POST …/{name}` [`ImageImport`] (admin) → [`ImageView`]; `GET …/{name}`; `DELETE …/{name}` (admin).
pub const IMAGES: &str = "/v1/images";
/// `GET` → list of [`ApplicationImageView`]; `POST` [`PullRequest`] → [`PreparationView`];
/// `GET …/{digest}` → [`ApplicationImageView`]; `DELETE …/{digest}` (admin).
pub const APPLICATION_IMAGES: &str = "/v1/application-images";
/// `GET …/{digest}` → [`PreparationView`]: how far the image of that digest is.
pub const PREPARATIONS: &str = "/v1/application-images/preparations";
/// `POST` [`PullRequest`] → `null`: the caller does not want it any more.
pub const CANCEL_PULL: &str = "/v1/application-images/cancel";
/// `POST` [`CollectRequest`] (admin) → [`Collected`]: removes images nobody has used for long.
pub const COLLECT: &str = "/v1/application-images/gc";
/// `GET …/{sha256}` → [`UploadView`], or `null`: bootsrv does not have these bytes. `PUT …/{sha256}`
/// the bytes → [`UploadView`].
pub const UPLOADS: &str = "/v1/uploads";

/// The text a munge credential carries: it binds the credential to one request. munged itself
/// refuses a credential that was decoded before, so none can be used twice.
#[must_use]
pub fn credential_payload(method: &str, path_and_query: &str, body_sha256: &Digest) -> String {
    format!("bare-metal-container 1 {method} {path_and_query} {body_sha256}")
}

/// What PrologSlurmctld asks. The same request twice gives the same answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobRequest {
    /// The job as Slurm's commands name it.
    pub reference: JobReference,
    /// The job's nodes.
    pub nodes: Vec<NodeName>,
    /// How often the job was requeued before.
    pub restart_count: u32,
    /// User name, from slurmctld.
    pub user: String,
    /// User id, from slurmctld.
    pub uid: u32,
    /// Account, from slurmctld; none without accounting.
    pub account: Option<String>,
    /// Partition, from slurmctld.
    pub partition: String,
    /// The user's choice.
    pub options: JobOptions,
}

/// A job as bootsrv sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobView {
    /// The job.
    pub job: JobId,
    /// The job as Slurm's commands name it.
    pub reference: JobReference,
    /// How often it was requeued before this try.
    pub restart_count: u32,
    /// User name.
    pub user: String,
    /// Partition.
    pub partition: String,
    /// The kernel it boots, after defaults.
    pub kernel: KernelName,
    /// The node image it boots, after defaults.
    pub image: ImageName,
    /// Its application image, and how far that is; none if it has none.
    #[serde(default)]
    pub application: Option<PreparationView>,
    /// Where it stands as a whole.
    pub state: JobState,
    /// Each node.
    pub nodes: Vec<DeploymentView>,
    /// Why it failed, worst fault first.
    pub failure: Option<JobFailure>,
    /// The job's tries that a node's fault has ended, this one included. Fewer than its requeues
    /// where it was requeued for other reasons.
    pub failed_tries: u32,
    /// `true`: prolog marks the nodes, so that they are powered down as soon as the job has ended;
    /// `false`, where jobs can be preempted: bootsrv asks for that at the job's end.
    pub power_off_after: bool,
}

/// Where a job stands as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// At least one node is not ready yet.
    Booting,
    /// All nodes are registered with slurmctld: the job may start.
    Ready,
    /// A node failed: the job cannot start here.
    Failed,
    /// The job is over, nodes are being powered off.
    Ending,
    /// All nodes are released, the record is complete.
    Ended,
}

/// Why a job cannot start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobFailure {
    /// `true`: the user's mistake or a site-wide fault: hold the job. `false`: try elsewhere.
    pub hold: bool,
    /// The node it shows on, if it is one node's.
    pub node: Option<NodeName>,
    /// One line.
    pub reason: String,
}

/// One job on one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeploymentView {
    /// The node.
    pub node: NodeName,
    /// The state's name, e.g. `booting`.
    pub state: String,
    /// What is happening, for people.
    pub detail: String,
    /// When it entered the state, nanoseconds since 1970.
    pub since_unix_ns: i64,
    /// The boot's marks so far.
    pub timeline: Vec<MarkView>,
    /// Settings as read back by the agent.
    pub applied: Vec<AppliedSetting>,
}

/// A point of a boot's time line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MarkView {
    /// Name, e.g. `script_served`.
    pub mark: String,
    /// Nanoseconds since 1970.
    pub unix_ns: i64,
}

/// Nodes named by one of Slurm's power programs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodesRequest {
    /// The nodes.
    pub nodes: Vec<NodeName>,
    /// Of those, the ones a job waits for (from `SLURM_RESUME_FILE`); empty when not known.
    #[serde(default)]
    pub for_jobs: Vec<NodeName>,
}

/// What the caller may choose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Catalog {
    /// The kernels, profiles included.
    pub kernels: Vec<CatalogEntry>,
    /// The node images: for `--bmc-image` and `--bmc-node-image`.
    pub images: Vec<CatalogEntry>,
    /// The application images: for `--bmc-image`.
    #[serde(default)]
    pub application_images: Vec<CatalogEntry>,
}

/// One choice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CatalogEntry {
    /// What to type.
    pub name: String,
    /// One line.
    pub description: String,
    /// Used when the job names none.
    pub default: bool,
}

/// What the plugin asks at submit time; the caller's user comes from the credential.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckRequest {
    /// The user's choice.
    pub options: JobOptions,
    /// Partition if the user named one.
    pub partition: Option<String>,
    /// Account if the user named one.
    pub account: Option<String>,
    /// The user's [`RegistryCredential`] for the registry of `options.image`, as JSON in a munge
    /// credential that only SlurmUser can decode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
}

/// An accepted check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    /// The same choice with its reference pinned, for the job to go on with. Not pinned: the
    /// registry did not answer in time, and the job's start pins it.
    #[serde(default)]
    pub options: JobOptions,
}

/// A node for `bmc node import`: where it boots from and how its power is switched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeDefinition {
    /// As Slurm names it.
    pub name: NodeName,
    /// The card it boots from.
    pub mac: MacAddress,
    /// Its address with prefix length in Linux, e.g. `10.77.0.11/24`.
    pub address: String,
    /// Default gateway.
    #[serde(default)]
    pub gateway: Option<String>,
    /// CPUs as slurm.conf counts them.
    pub cpus: u32,
    /// Hardware threads a core has; 1 if absent.
    #[serde(default = "one")]
    pub threads_per_core: u32,
    /// How its power is switched.
    pub power: PowerDefinition,
    /// How it boots from the network; [`Firmware::Bios`] if absent.
    #[serde(default)]
    pub firmware: Firmware,
    /// A file its serial console is logged to, readable by bootsrv (conserver, a BMC's SOL logger).
    #[serde(default)]
    pub console_log: Option<String>,
}

impl NodeDefinition {
    /// Whether a request from there comes from the node's own address. A listener on `[::]` shows
    /// IPv4 addresses mapped into IPv6.
    #[must_use]
    pub fn is_at(&self, from: IpAddr) -> bool {
        self.ip() == Some(from.to_canonical())
    }

    /// Its address without the length of the network; `None`: it is no address.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        let own = self.address.split('/').next().and_then(|own| own.parse::<IpAddr>().ok());
        own.map(|own| own.to_canonical())
    }
}

fn one() -> u32 {
    1
}

/// A node's firmware, as far as its controller must know it to choose the boot device.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Firmware {
    /// PC BIOS, or UEFI in its legacy mode.
    #[default]
    Bios,
    /// UEFI.
    Uefi,
}

/// A node's baseboard controller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "method", rename_all = "snake_case", deny_unknown_fields)]
pub enum PowerDefinition {
    /// IPMI 2.0 over RMCP+.
    Ipmi {
        /// `address` or `address:port`; port 623 if absent.
        address: String,
        /// User on the controller.
        user: String,
        /// Its password. Never sent back by the API.
        password: Secret,
        /// Cipher suite, 17 or 3; the strongest the controller accepts if absent.
        #[serde(default)]
        cipher_suite: Option<u8>,
        /// The controller's own key K_G, where it wants one (two-key login): at most 20 bytes as
        /// text, or `0x` and hexadecimal digits. Never sent back by the API.
        #[serde(default)]
        kg: Option<Secret>,
    },
}

/// A node for `bmc node list|show`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeView {
    /// As Slurm names it.
    pub name: NodeName,
    /// The card it boots from.
    pub mac: MacAddress,
    /// Its address.
    pub address: String,
    /// Where its power is switched, without credentials, e.g. `ipmi 10.77.1.11`.
    pub power_method: String,
    /// `on`, `off` or `unknown`, as last asked.
    pub power: String,
    /// Last reading in watts.
    pub watts: Option<u32>,
    /// What it is doing: a deployment's state, or `idle`.
    pub state: String,
    /// The job it belongs to.
    pub job: Option<JobId>,
    /// Kept out of use by an admin, with the reason.
    pub maintenance: Option<String>,
    /// Why its last boot failed.
    pub last_failure: Option<String>,
}

/// `PUT /v1/nodes/{name}/power`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PowerAction {
    /// Ask the controller only.
    Status,
    /// Switch on (with the hold script if nothing is wanted of the node).
    On,
    /// Switch off, hard.
    Off,
}

/// Body of `PUT /v1/nodes/{name}/power`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PowerRequest {
    /// What to do.
    pub action: PowerAction,
}

/// Body of `PUT /v1/nodes/{name}/maintenance`; `None` ends it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Maintenance {
    /// Why the node is out of use.
    pub reason: Option<String>,
}

/// A kernel of the hub, or a profile on top of one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelView {
    /// What users type.
    pub name: KernelName,
    /// The imported kernel it boots; equal to `name` for the kernel itself.
    pub kernel: KernelName,
    /// `uname -r`.
    pub release: String,
    /// One line.
    pub description: String,
    /// Kernel arguments it adds.
    pub arguments: Vec<String>,
    /// Its settings, one line each.
    pub settings: Vec<String>,
    /// Bytes of kernel, initrd and module tree.
    pub bytes: u64,
    /// Who may choose it.
    pub allow: Allow,
    /// Jobs that use it now.
    pub used_by: Vec<JobId>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_at_its_address_however_the_listener_shows_it() {
        let power = PowerDefinition::Ipmi {
            address: "10.0.0.1".into(),
            user: "u".into(),
            password: Secret::new("p".into()),
            cipher_suite: None,
            kg: None,
        };
        let node = |address: &str| NodeDefinition {
            name: "n1".parse().unwrap(),
            mac: "52:54:00:00:00:01".parse().unwrap(),
            address: address.into(),
            gateway: None,
            cpus: 1,
            threads_per_core: 1,
            power: power.clone(),
            firmware: Firmware::Bios,
            console_log: None,
        };
        let is_at = |address, from: &str| node(address).is_at(from.parse().unwrap());
        assert!(is_at("10.77.0.11/24", "10.77.0.11"));
        assert!(is_at("10.77.0.11/24", "::ffff:10.77.0.11"));
        assert!(is_at("fd77::b/64", "fd77:0::b"));
        assert!(!is_at("10.77.0.11/24", "10.77.0.1"));
        assert!(!is_at("10.77.0.11/24", "::10.77.0.11"));
        assert!(!is_at("no address", "10.77.0.11"));
    }
}
