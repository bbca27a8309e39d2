//! Between bootsrv and the node agent: the plan of one boot, its secrets, and the reports back.

use crate::names::{Digest, JobId, NodeName, Secret};
use serde::{Deserialize, Serialize};

/// Kernel argument: the node's name.
pub const ARG_NODE: &str = "bmc.node";
/// Kernel argument: the node's address with prefix length, e.g. `10.77.0.11/24`.
pub const ARG_ADDRESS: &str = "bmc.address";
/// Kernel argument: the default gateway; absent where there is none.
pub const ARG_GATEWAY: &str = "bmc.gateway";
/// Kernel argument: the hardware address of the card to use.
pub const ARG_MAC: &str = "bmc.mac";
/// Kernel argument: base URL of bootsrv for the agent, e.g. `https://10.77.0.1:8443`.
pub const ARG_SERVER: &str = "bmc.server";
/// Kernel argument: base URL below which `/artifacts/{sha256}` is fetched, if not the agent's; may
/// be plain HTTP or a cache, e.g. `http://10.77.0.1:8080`: the plan's digests prove the content.
pub const ARG_ARTIFACTS: &str = "bmc.artifacts";

/// Where the boot token's initrd puts the token: one line, mode 0600.
pub const TOKEN_FILE: &str = "/boot-token";
/// Where the kernel's initrd holds the certificate bootsrv must show, PEM.
pub const CERTIFICATE_FILE: &str = "/bootsrv.pem";
/// In the kernel's initrd: module files in load order, one path a line.
pub const MODULE_ORDER_FILE: &str = "/modules.order";
/// Request header that carries the boot token.
pub const TOKEN_HEADER: &str = "Boot-Token";

/// Request header of [`SECRETS_PATH`]: the kernel's boot id, as in [`Heartbeat::boot_id`].
pub const BOOT_ID_HEADER: &str = "Boot-Id";

/// `GET`: the [`BootPlan`] of the deployment the token belongs to.
pub const PLAN_PATH: &str = "/v1/boot/plan";
/// `POST`: [`Secrets`], handed out to one boot only, and again for [`SECRETS_AGAIN_SECONDS`].
pub const SECRETS_PATH: &str = "/v1/boot/secrets";
/// How long the agent asks for its secrets, in seconds.
pub const SECRETS_ASKED_SECONDS: u32 = 60;
/// How long after the first time bootsrv hands the secrets out again to the same boot, in seconds:
/// while the agent asks, and half as long again for a last request that is under way.
pub const SECRETS_AGAIN_SECONDS: u32 = SECRETS_ASKED_SECONDS / 2 * 3;
/// `POST`: a [`Heartbeat`]; answered with [`HeartbeatReply`].
pub const HEARTBEAT_PATH: &str = "/v1/boot/heartbeat";

/// `GET` with the boot id as [`BOOT_ID_HEADER`]: an [`Orders`], answered as soon as there is something
/// to do, else after [`ORDERS_SECONDS`] with [`Orders::Nothing`]. Asked again at once, all the time
/// that slurmd runs.
pub const ORDERS_PATH: &str = "/v1/boot/orders";
/// How long bootsrv keeps the question open, in seconds.
pub const ORDERS_SECONDS: u32 = 25;
/// Request header of [`ORDERS_PATH`]: the digest of the kernel that the agent was told to fetch ahead;
/// empty: none. An agent that leaves it out is never told to.
pub const AHEAD_HEADER: &str = "Fetched-Ahead";
/// Kernel argument that makes a kernel write zeros over all memory that nothing uses when it starts, and
/// afterwards over whatever is given back (`Documentation/admin-guide/kernel-parameters.txt`; every
/// Linux from 5.3 on has it). `memtest=1` would only do the former, but many kernels lack
/// `CONFIG_MEMTEST`, Debian's cloud kernels among them.
pub const ARG_CLEAR_MEMORY: &str = "init_on_free=1";

/// What a running node is told, over the connection that it keeps open.
///
/// An answer can be lost, so the same order may come again; the agent that has carried it out asks
/// with the new token and does not see it again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Orders {
    /// Ask again.
    Nothing,
    /// This boot is over: shut the node down.
    ShutDown,
    /// Go on as the node of another job, without a boot.
    Adopt(Adoption),
    /// Start another kernel, without the firmware.
    Kexec(Kexec),
    /// Nobody has the node: fetch what it may be told to start next.
    FetchAhead(FetchAhead),
}

/// The node's own kernel, because profiles of one kernel differ in arguments and settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchAhead {
    /// What is fetched.
    #[serde(flatten)]
    pub files: KernelFiles,
    /// Nodes end their jobs together: each begins at a random moment within this time, in seconds.
    pub within_seconds: u32,
}

/// A kernel with its initrd.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelFiles {
    /// The kernel, a bzImage.
    pub kernel: ArtifactRef,
    /// Its initrd.
    pub initrd: ArtifactRef,
}

/// The running kernel, image and settings are what the next job asked for. The agent checks that they
/// still are, and reports with the new token from then on; a fault is reported with the new token
/// too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adoption {
    /// The token of the new deployment.
    pub token: Secret,
    /// Its job; none when an admin asked.
    pub job: Option<JobId>,
    /// CPUs that have to be on-line.
    pub cpus_online: u32,
    /// The job has an application image.
    pub application: bool,
}

/// The next kernel. The agent fetches and checks both files, ends everything that runs, and jumps; the
/// new kernel's agent finds its token where a boot loader would have put it ([`TOKEN_FILE`]).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kexec {
    /// The token of the new deployment.
    pub token: Secret,
    /// What is started.
    #[serde(flatten)]
    pub files: KernelFiles,
    /// The whole command line.
    pub command_line: String,
}

/// A content-addressed file at bootsrv, at `/artifacts/{sha256}` below the agent's base URL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtifactRef {
    /// SHA-256 of the whole file.
    pub sha256: Digest,
    /// Its length in bytes.
    pub bytes: u64,
}

/// Everything the agent needs to know, without a secret in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootPlan {
    /// The node's name, as Slurm has it.
    pub node: NodeName,
    /// The job it boots for; none when an admin or `scontrol power up` asked.
    pub job: Option<JobId>,
    /// `uname -r` of the kernel that must be running.
    pub kernel_release: String,
    /// squashfs: the node image's layers, the lowest first; at least one.
    pub root: Vec<ArtifactRef>,
    /// squashfs: the kernel's module tree, with `usr/lib/modules/RELEASE` in it. Laid over the root.
    pub modules: ArtifactRef,
    /// Applied in order, before the image's init starts.
    pub settings: Vec<Setting>,
    /// Written into the root (through the overlay).
    pub files: Vec<SiteFile>,
    /// Mounted in the root, in order.
    pub mounts: Vec<Mount>,
    /// Program and arguments that become PID 1 of the node, in the root.
    pub init: Vec<String>,
    /// Wall clock at bootsrv, in nanoseconds since 1970; the agent sets a clock that is off by
    /// more than a second.
    pub time_unix_ns: i64,
    /// Between two heartbeats once slurmd runs.
    pub heartbeat_seconds: u32,
    /// The job has an application image: the agent asks for it at
    /// [`crate::application::APPLICATION_PATH`] while the image's init starts.
    #[serde(default)]
    pub application: bool,
}

/// One kernel setting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Setting {
    /// Load a module of the kernel's tree with its dependencies.
    Module(String),
    /// Write `value` to `path` below `/sys`; `*` in the path stands for every entry.
    Sysfs {
        /// Below `/sys`, without a leading slash.
        path: String,
        /// What is written.
        value: String,
    },
    /// Write `value` to the kernel parameter `key`, named as in sysctl(8).
    Sysctl {
        /// Dotted name.
        key: String,
        /// What is written.
        value: String,
    },
    /// Take a CPU off-line.
    CpuOffline(u32),
}

/// A setting as the kernel shows it after it was applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppliedSetting {
    /// The file read, or `module NAME`.
    pub name: String,
    /// What the kernel showed, without the line end.
    pub value: String,
}

/// A file for the node.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiteFile {
    /// Absolute path in the root; no `..`.
    pub path: String,
    /// Permission bits, e.g. `0o644`.
    pub mode: u32,
    /// Owner, by name in the image or by number.
    pub owner: String,
    /// Group, by name in the image or by number.
    pub group: String,
    /// Content, base64.
    #[serde(with = "crate::boot::base64_text")]
    pub content: Vec<u8>,
}

impl std::fmt::Debug for SiteFile {
    /// Leaves the content out: it may be a secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SiteFile({} {:o} {} bytes)", self.path, self.mode, self.content.len())
    }
}

/// Something mounted in the root before its init starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mount {
    /// What is mounted, e.g. `10.0.0.1:/home` or a virtiofs tag.
    pub source: String,
    /// Where, absolute.
    pub target: String,
    /// Type, e.g. `nfs4`; the module of that name is loaded first if there is one.
    pub fstype: String,
    /// Options as in mount(8), e.g. `vers=4.2,addr=10.0.0.1`.
    #[serde(default)]
    pub options: String,
}

/// What only this boot of this node may have; handed out once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secrets {
    /// Munge key, host keys.
    pub files: Vec<SiteFile>,
}

/// How far a boot has come, as the agent sees it. The order is the order of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AgentStage {
    /// The kernel runs the agent as its first process; network not up yet.
    AgentStarted,
    /// The plan has arrived.
    PlanReceived,
    /// Settings are applied and read back.
    SettingsApplied,
    /// Root, modules, files, secrets and mounts are in place.
    RootReady,
    /// The image's init was started.
    InitStarted,
    /// slurmd was seen running.
    SlurmdStarted,
    /// The application image is set up: tasks can enter it. May come before slurmd is seen.
    ApplicationReady,
    /// The node's init was asked to shut down.
    ShuttingDown,
    /// The next kernel is loaded and the running one is about to end: the last word with the token of
    /// the deployment it ran for, by which the jump itself is dated.
    Jumping,
}

/// A stage with its time on the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageTime {
    /// Which.
    pub stage: AgentStage,
    /// Nanoseconds since the kernel started (`CLOCK_BOOTTIME`).
    pub uptime_ns: i64,
}

/// The agent's report. The agent repeats everything it knows in each, so that one may be lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// The kernel's `/proc/sys/kernel/random/boot_id`.
    pub boot_id: String,
    /// `uname -r`.
    pub kernel_release: String,
    /// `CLOCK_BOOTTIME` at sending, in nanoseconds: with it bootsrv back-dates the stages.
    pub uptime_ns: i64,
    /// Every stage reached so far.
    pub stages: Vec<StageTime>,
    /// CPUs on-line after the settings; 0 before.
    pub cpus_online: u32,
    /// Memory the kernel sees, in KiB; 0 before it was read.
    pub memory_kib: u64,
    /// The settings as read back.
    pub applied: Vec<AppliedSetting>,
    /// The boot failed, with the reason; the agent powers the node off after it was delivered.
    pub failure: Option<BootFailure>,
    /// Whether this kernel has cleared the memory of whoever ran before; none: its command line does not
    /// ask for it ([`ARG_CLEAR_MEMORY`]).
    #[serde(default)]
    pub memory_cleared: Option<bool>,
}

/// Why the agent gave up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootFailure {
    /// `true`: the kernel refused a line of the profile, or the job's application image or mounts cannot
    /// be set up (whoever chose them is to blame, the job is held); `false`: the node or its surroundings.
    pub setting: bool,
    /// One line.
    pub reason: String,
}

/// bootsrv's answer to a heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeartbeatReply {
    /// `false`: this boot is over (released, failed, replaced): the agent shuts the node down.
    pub wanted: bool,
}

/// Bytes as base64 text in JSON.
mod base64_text {
    use base64::prelude::{BASE64_STANDARD, Engine};
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64_STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        BASE64_STANDARD.decode(String::deserialize(from)?).map_err(D::Error::custom)
    }
}
