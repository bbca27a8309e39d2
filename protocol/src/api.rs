//! Requests and answers of bootsrv's API for people and for Slurm's hooks.
//!
//! Callers prove who they are with a munge credential in `Authorization: MUNGE <credential>` whose
//! payload is [`credential_payload`]. The paths are listed in docs/api.md in the same order.

mod doctor;
mod images;
mod nodes;

pub use doctor::{Doctor, FINDINGS_MAX, Finding, FindingKind, MendedBy};
pub use images::{
    ApplicationImageView, CollectRequest, Collected, CollectedImage, ImageImport, ImageKind,
    ImageView, LayerView, PullRequest, RegistryCredential, UploadView,
};
pub use nodes::{
    CLEAR_NODES_MAX, ClearRequest, Cleared, ClearedDrain, ConsoleSource, Firmware, Maintenance,
    NodeDefinition, NodeView, PowerAction, PowerRequest,
};

use crate::application::PreparationView;
use crate::boot::AppliedSetting;
use crate::job_options::JobOptions;
use crate::names::{Digest, ImageName, JobId, JobReference, KernelName, NodeName};
use crate::profile::Allow;
use serde::{Deserialize, Serialize};

/// `PUT` [`JobRequest`] → [`JobView`]; `GET` → [`JobView`]; `DELETE` → [`JobView`], or
/// `null` for a job nobody has asked for.
/// Append the job id (`GET`: or a [`JobReference`]); `GET` without one → list of [`JobView`]
/// (`?all=true`: ended ones too). One job with `?wait_seconds=N` is told, to root and SlurmUser, as soon
/// as its nodes do not boot any more, and after N seconds at the latest; of N at most
/// [`JOB_WAIT_SECONDS_MAX`] count.
pub const JOBS: &str = "/v1/jobs";
/// Longest wait for a job.
pub const JOB_WAIT_SECONDS_MAX: u32 = 20;
/// `GET /v1/energy/{job}`, a [`JobReference`] → list of [`crate::energy::JobEnergy`], one per try; a
/// plain id: of all tasks of that array, of all components of that heterogeneous job.
pub const ENERGY: &str = "/v1/energy";
/// Behind [`ENERGY`] and the job: `GET ?restart_count=…&node=…` → list of
/// [`crate::power_series::JobPower`], one per try; the parameters, of which each may be missing, pick one
/// try, and one node.
pub const POWER_OF_JOB: &str = "power";
/// `GET ?kernel=…&node=…&since_unix_ns=…` → [`crate::runs::Runs`]: the caller's finished runs of that
/// kernel; the last two parameters may be missing.
pub const RUNS: &str = "/v1/runs";
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
/// `POST` [`ClearRequest`] (admin) → list of [`Cleared`]: strikes and our own drains are forgotten.
pub const CLEAR: &str = "/v1/clear";
/// `GET` (admin) → [`Doctor`]: what does not agree.
pub const DOCTOR: &str = "/v1/doctor";
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
    /// The last lines of its console if its boot failed, or those around its crash, oldest first, at most
    /// [`CONSOLE_LINES_MAX`]; empty: none are known.
    #[serde(default)]
    pub console: Vec<String>,
}

/// Most lines of a failed boot's console that a job's status shows.
pub const CONSOLE_LINES_MAX: usize = 10;

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
    /// Slurm features of nodes that run what is asked for: any of them is to be preferred.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prefer: Vec<String>,
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
