//! Finished runs of a kernel: what two kernels are compared by.
//!
//! Energies are whole millijoules, times are nanoseconds. What was not measured is `None`.

use crate::names::{JobReference, KernelName, NodeName};
use serde::{Deserialize, Serialize};

/// Answer to `GET /v1/runs`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Runs {
    /// The kernel that was asked about.
    pub kernel: KernelName,
    /// Its finished runs, newest first.
    pub runs: Vec<Run>,
    /// Of this many newest tries of the kernel, at most, runs are listed.
    pub tries_max: u32,
    /// There are more tries than that: runs of older ones are not listed.
    pub is_cut: bool,
}

/// One try of a job on one kernel: it has ended, its boot was without fault, its record is complete.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// The job as Slurm's commands name it.
    pub reference: JobReference,
    /// How often it had been requeued before this try.
    pub restart_count: u32,
    /// The kernel that all its nodes ran.
    pub kernel: KernelName,
    /// Its nodes.
    pub nodes: Vec<NodeName>,
    /// From the job's start to its end, on the node where that took longest.
    pub job_ns: i64,
    /// Energy of that time, of all nodes; `None`: readings of it are missing.
    pub job_millijoules: Option<i64>,
    /// Everything else that is the job's own (boot, wait for peers, shutdown, settle), on the node
    /// where that took longest.
    pub overhead_ns: i64,
    /// Energy of that time, of all nodes; `None`: readings of it are missing.
    pub overhead_millijoules: Option<i64>,
    /// When the job was over, nanoseconds since 1970.
    pub ended_unix_ns: i64,
}
