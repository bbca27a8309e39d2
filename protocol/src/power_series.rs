//! The power of a job's nodes over time: what a picture is drawn from. Stages, gaps and how sure the
//! figures are stand in [`crate::energy::JobEnergy`].

use crate::names::{JobId, JobReference, KernelName, NodeName};
use serde::{Deserialize, Serialize};

/// Most points of one node.
pub const POINTS_MAX: u32 = 2_000;
/// Most nodes of one answer that come with their points.
pub const NODES_MAX: u32 = 16;

/// One try of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobPower {
    /// The job.
    pub job: JobId,
    /// The job as Slurm's commands name it.
    pub reference: JobReference,
    /// How often it had been requeued before this try.
    pub restart_count: u32,
    /// Each node, in the order of the energy record.
    pub nodes: Vec<NodePower>,
}

/// One node of it, in the time its energy record covers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodePower {
    /// The node.
    pub node: NodeName,
    /// The kernel it ran.
    pub kernel: KernelName,
    /// In the order of time. Empty: there are no readings, or they are gone, or left out.
    pub points: Vec<PowerPoint>,
    /// Readings that the points are made of.
    pub readings: u32,
    /// There were more than [`POINTS_MAX`]: each point stands for the readings of a span of time.
    pub is_reduced: bool,
    /// Readings from before that moment are not kept any more, nanoseconds since 1970; `None`: all there
    /// ever were are there.
    pub gone_until_unix_ns: Option<i64>,
    /// The answer had [`NODES_MAX`] nodes already. `?node=` asks for this one.
    pub is_left_out: bool,
}

/// One reading, or the readings of a span of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PowerPoint {
    /// When, nanoseconds since 1970; of a span the middle between its first and last reading.
    pub unix_ns: i64,
    /// Milliwatts; of a span the mean of its readings.
    pub milliwatts: i64,
    /// The lowest of them.
    pub least_milliwatts: i64,
    /// The highest of them.
    pub most_milliwatts: i64,
}
