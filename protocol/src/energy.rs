//! The energy of a job, node by node and stage by stage.
//!
//! Energies are whole millijoules, times are nanoseconds. What was not measured is `None`.

use crate::names::{JobId, JobReference, NodeName};
use serde::{Deserialize, Serialize};

/// A part of a deployment's life. The order is the order of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The running node is asked to go on for the job, as it is or by kexec → it does, or boots after all.
    TakeOver,
    /// Power-on accepted → iPXE asked for its script (POST, option ROMs, DHCP).
    Firmware,
    /// Script served → the kernel's first instruction (download of kernel and initrd).
    BootLoader,
    /// The kernel's first instruction → the image's init starts (kernel, agent, root).
    KernelAndInitrd,
    /// The image's init starts → slurmctld has the node registered.
    Init,
    /// Registered → the job starts (waiting for the job's other nodes).
    WaitForPeers,
    /// The job starts → the job ends.
    Job,
    /// The job ends → the next one takes the node over, or power-off is ordered. Only of nodes that
    /// stay on.
    Idle,
    /// The job ends (or power-off is ordered, of a node that had stayed on) → the power is seen off.
    Shutdown,
    /// Power seen off → the reading has settled.
    Settle,
}

impl Stage {
    /// All stages in the order of time.
    pub const ALL: [Self; 10] = [
        Self::TakeOver,
        Self::Firmware,
        Self::BootLoader,
        Self::KernelAndInitrd,
        Self::Init,
        Self::WaitForPeers,
        Self::Job,
        Self::Idle,
        Self::Shutdown,
        Self::Settle,
    ];

    /// The name in tables.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::TakeOver => "take over",
            Self::Firmware => "firmware",
            Self::BootLoader => "boot loader",
            Self::KernelAndInitrd => "kernel and initrd",
            Self::Init => "init",
            Self::WaitForPeers => "wait for peers",
            Self::Job => "job",
            Self::Idle => "idle",
            Self::Shutdown => "shutdown",
            Self::Settle => "settle",
        }
    }
}

/// One stage of one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageEnergy {
    /// Which.
    pub stage: Stage,
    /// Begin, nanoseconds since 1970.
    pub from_unix_ns: i64,
    /// Length in nanoseconds.
    pub duration_ns: i64,
    /// `None`: no reading covers any part of it.
    pub energy_millijoules: Option<i64>,
    /// Part of the energy that bridges a gap in the readings.
    pub estimated_millijoules: i64,
    /// How sure the energy is; `None`: it is unknown, or only its [`Bounds`] are known.
    #[serde(default)]
    pub uncertainty: Option<Uncertainty>,
    /// Between what it lies, where the readings cannot tell it from its neighbours'. The energy is its
    /// share of the total then, and no figure to go by.
    #[serde(default)]
    pub bounds: Option<Bounds>,
}

/// Half the width of the interval in which an energy lies with a confidence of about 95 %: expanded
/// uncertainty, coverage factor k = 2 (JCGM 100:2008, 6.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Uncertainty {
    /// Of everything together, in millijoules.
    pub millijoules: i64,
    /// Without the meter's [`Accuracy`], in millijoules: that is the same in every run on a node, and cancels
    /// where two of them are compared.
    pub random_millijoules: i64,
}

/// Least and most that an energy can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bounds {
    /// Millijoules.
    pub least_millijoules: i64,
    /// Millijoules.
    pub most_millijoules: i64,
}

/// What a site says a kilowatt-hour stands for. Applied when somebody asks, as they are then.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Factors {
    /// Power usage effectiveness: what the whole building takes for each joule of the nodes, in thousandths.
    pub pue_thousandths: Option<u32>,
    /// Carbon dioxide equivalents that a kilowatt-hour of the site's grid emits, in milligrams (location-based).
    pub carbon_milligrams_per_kwh: Option<u32>,
    /// Price of a kilowatt-hour, in millionths of the currency.
    pub price_millionths_per_kwh: Option<u32>,
    /// The currency's code.
    pub currency: Option<String>,
}

/// What an energy stands for outside of the nodes. Of the building where its factor is known, else of the nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Footprint {
    /// With cooling and losses, in millijoules; `None`: not known.
    pub facility_millijoules: Option<i64>,
    /// How sure that is (k = 2), in millijoules, the factor taken to be exact.
    pub facility_uncertainty_millijoules: Option<i64>,
    /// Carbon dioxide equivalents, in milligrams.
    pub carbon_milligrams: Option<i64>,
    /// Cost, in millionths of the currency.
    pub cost_millionths: Option<i64>,
    /// What it was multiplied by.
    pub factors: Factors,
}

/// How far a meter may be off: between plus and minus so much of what it shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accuracy {
    /// Parts of a million.
    pub parts_per_million: u32,
    /// Who says so.
    pub basis: AccuracyBasis,
}

impl Accuracy {
    /// Where nothing is known of the meter.
    pub const ASSUMED: Self = Self { parts_per_million: 50_000, basis: AccuracyBasis::Assumed };
}

/// Who says how accurate a meter is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccuracyBasis {
    /// Nobody: what is asked of servers' meters (5 %) is assumed.
    Assumed,
    /// The site's configuration: a data sheet or a calibration.
    Stated,
}

/// The record of one deployment: one job on one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeEnergy {
    /// The node.
    pub node: NodeName,
    /// Where the readings come from: e.g. `ipmi-dcmi` or `redfish`, or several; `None`: there are none.
    pub source: Option<String>,
    /// Stages that were reached, in order, without holes or overlaps.
    pub stages: Vec<StageEnergy>,
    /// Exactly the sum of the stages; `None` if any stage has none. What a node that stays on uses from
    /// [`Stage::Idle`] on is shown, and is not the job's.
    pub total_millijoules: Option<i64>,
    /// How sure the total is; `None`: it is unknown, or a lower bound.
    #[serde(default)]
    pub uncertainty: Option<Uncertainty>,
    /// How accurate its meter is taken to be; `None`: no figure rests on it.
    #[serde(default)]
    pub accuracy: Option<Accuracy>,
    /// Version of the method that the record was made with.
    #[serde(default = "first_version")]
    pub method_version: u32,
    /// Readings used.
    pub samples: u32,
    /// Gaps longer than allowed, each with begin and length in nanoseconds.
    pub gaps: Vec<Gap>,
    /// `false`: the node is still running, the figures grow.
    pub complete: bool,
}

/// A hole in the readings that was bridged by an estimate, or not at all at the edges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// Begin, nanoseconds since 1970.
    pub from_unix_ns: i64,
    /// Length in nanoseconds.
    pub duration_ns: i64,
    /// `true`: bridged by a straight line, its energy is in the figures as an estimate; `false`: at
    /// an edge, where no reading speaks for it and its energy is missing from the figures.
    pub bridged: bool,
}

/// All nodes of a job; one per try, because a requeued job boots again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobEnergy {
    /// The job.
    pub job: JobId,
    /// The job as Slurm's commands name it.
    pub reference: JobReference,
    /// How often it had been requeued before this try.
    pub restart_count: u32,
    /// Each node.
    pub nodes: Vec<NodeEnergy>,
    /// Sum of the nodes; `None` if any is unknown.
    pub total_millijoules: Option<i64>,
    /// How sure the total is; `None` if it is not known how sure a node's is. Nodes' meters are taken to be
    /// off in the same direction.
    #[serde(default)]
    pub uncertainty: Option<Uncertainty>,
    /// What the total stands for outside; `None`: it is unknown, or the site states no factor.
    #[serde(default)]
    pub footprint: Option<Footprint>,
    /// Version of the method; the same samples give the same figures under the same version. A node's
    /// record that is older has its own.
    pub method_version: u32,
}

/// Records of that version do not say so.
fn first_version() -> u32 {
    1
}
