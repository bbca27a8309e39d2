//! A deployment is one job on one node: the unit of everything bootsrv does.

mod ages;
pub mod engine;
#[cfg(test)]
mod engine_tests;
pub mod findings;
mod hearing;
#[cfg(test)]
mod model_check;
pub mod quarantine;
pub mod reconciler;
mod resync;
pub mod signs;
pub mod state;
pub mod take_over;
pub mod transition;
#[cfg(test)]
mod transition_tests;
pub mod view;
pub mod watchers;

use protocol::boot::AppliedSetting;
use protocol::names::{ImageName, JobId, KernelName, NodeName};
pub use state::State;

/// A deployment's key in the store.
pub type DeploymentId = i64;

/// What the store knows of one deployment, apart from its marks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployment {
    /// Key.
    pub id: DeploymentId,
    /// The try of the job it belongs to; none when an admin or `scontrol power up` asked.
    pub try_id: Option<i64>,
    /// The job; none as above.
    pub job: Option<JobId>,
    /// The node.
    pub node: NodeName,
    /// The name the user chose or got.
    pub kernel: KernelName,
    /// The node image.
    pub image: ImageName,
    /// Where it stands.
    pub state: State,
    /// Since when, nanoseconds since 1970.
    pub since_unix_ns: i64,
    /// What it has to do with an application image.
    pub application: Application,
    /// The first thing that went wrong.
    pub failure: Option<Failure>,
    /// Boot scripts served.
    pub scripts_served: u32,
    /// The boot token was fetched.
    pub token_served: bool,
    /// The kernel's boot id, from the agent's first report.
    pub boot_id: Option<String>,
    /// The settings as the kernel showed them.
    pub applied: Vec<AppliedSetting>,
    /// How the node came to it.
    pub way: Way,
    /// The deployment it took the running node over from, if it did.
    pub taken_from: Option<DeploymentId>,
    /// The node stays on after the job.
    pub stays_on: bool,
}

/// How a node comes to a deployment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Way {
    /// Powered on from off: firmware and boot loader.
    #[default]
    Boot,
    /// It runs what is asked for: handed over as it is.
    Adopt,
    /// It runs something else: its kernel starts the next one.
    Kexec,
}

impl Way {
    /// The spelling in the store.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        match self {
            Self::Boot => None,
            Self::Adopt => Some("adopt"),
            Self::Kexec => Some("kexec"),
        }
    }

    /// The value of that spelling; `None`: it has none.
    #[must_use]
    pub fn from_name(name: Option<&str>) -> Option<Self> {
        [Self::Boot, Self::Adopt, Self::Kexec].into_iter().find(|one| one.name() == name)
    }
}

#[cfg(test)]
impl Deployment {
    /// A deployment of job 7 on n1, to change what a test is about.
    pub(crate) fn example() -> Self {
        Self {
            id: 1,
            try_id: Some(1),
            job: Some(JobId(7)),
            node: "n1".parse().unwrap(),
            kernel: "k".parse().unwrap(),
            image: "i".parse().unwrap(),
            state: State::Waiting,
            since_unix_ns: 0,
            application: Application::None,
            failure: None,
            scripts_served: 1,
            token_served: false,
            boot_id: None,
            applied: vec![],
            way: Way::Boot,
            taken_from: None,
            stays_on: false,
        }
    }
}

/// Whether tasks of the deployment's job enter an application image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Application {
    /// The job has none.
    None,
    /// It has one, and the node does not have it yet.
    Awaited,
    /// The agent has set it up: tasks can enter it.
    Ready,
}

impl Application {
    /// The spelling in the store.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Awaited => Some("awaited"),
            Self::Ready => Some("ready"),
        }
    }

    /// The value of that spelling; `None`: it has none.
    #[must_use]
    pub fn from_name(name: Option<&str>) -> Option<Self> {
        [Self::None, Self::Awaited, Self::Ready].into_iter().find(|one| one.name() == name)
    }
}

/// What went wrong, and what follows for the job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Who has to act.
    pub blame: Blame,
    /// One line.
    pub reason: String,
}

/// Whose fault a failure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// The job's choice, or the profile's author: hold the job, spare the node.
    Job,
    /// The node: drain it, the job goes elsewhere.
    Node,
    /// Neither: a setting of the site. The job tries again, and is held in the end.
    Site,
}

impl Blame {
    /// The spelling in the store.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Job => "job",
            Self::Node => "node",
            Self::Site => "site",
        }
    }

    /// The blame of that spelling.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Job, Self::Node, Self::Site].into_iter().find(|blame| blame.name() == name)
    }
}

/// A point of a deployment's time line, kept once: the first time counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mark {
    /// The job asked.
    Requested,
    /// The running node's agent is asked to take the deployment over.
    TakeOver,
    /// The running kernel is about to start the next one.
    Jumped,
    /// The controller accepted power-on.
    PowerOn,
    /// iPXE got its script.
    ScriptServed,
    /// The kernel's first instruction, back-dated from the agent's uptime.
    KernelStarted,
    /// The agent's first instruction.
    AgentStarted,
    /// Plan received.
    PlanReceived,
    /// Settings applied.
    SettingsApplied,
    /// Root in place.
    RootReady,
    /// The image's init started.
    InitStarted,
    /// slurmd seen.
    SlurmdStarted,
    /// slurmctld shows the node as registered.
    Registered,
    /// The application image is set up on the node.
    ApplicationReady,
    /// Prolog was told that all nodes are ready.
    JobStarted,
    /// EpilogSlurmctld came.
    JobEnded,
    /// The running node went to the next deployment.
    HandedOver,
    /// Power-off was ordered.
    PowerOffOrdered,
    /// Power was seen off.
    PowerOff,
    /// Readings have settled.
    Settled,
}

impl Mark {
    /// All marks, in the order a boot without fault reaches them.
    pub const ALL: [Self; 20] = [
        Self::Requested,
        Self::TakeOver,
        Self::Jumped,
        Self::PowerOn,
        Self::ScriptServed,
        Self::KernelStarted,
        Self::AgentStarted,
        Self::PlanReceived,
        Self::SettingsApplied,
        Self::RootReady,
        Self::InitStarted,
        Self::SlurmdStarted,
        Self::Registered,
        Self::ApplicationReady,
        Self::JobStarted,
        Self::JobEnded,
        Self::HandedOver,
        Self::PowerOffOrdered,
        Self::PowerOff,
        Self::Settled,
    ];

    /// The spelling in the store and in the API.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::TakeOver => "take_over",
            Self::Jumped => "jumped",
            Self::PowerOn => "power_on",
            Self::ScriptServed => "script_served",
            Self::KernelStarted => "kernel_started",
            Self::AgentStarted => "agent_started",
            Self::PlanReceived => "plan_received",
            Self::SettingsApplied => "settings_applied",
            Self::RootReady => "root_ready",
            Self::InitStarted => "init_started",
            Self::SlurmdStarted => "slurmd_started",
            Self::Registered => "registered",
            Self::ApplicationReady => "application_ready",
            Self::JobStarted => "job_started",
            Self::JobEnded => "job_ended",
            Self::HandedOver => "handed_over",
            Self::PowerOffOrdered => "power_off_ordered",
            Self::PowerOff => "power_off",
            Self::Settled => "settled",
        }
    }

    /// The mark of that spelling.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mark| mark.name() == name)
    }
}
