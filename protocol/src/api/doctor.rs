//! What bootsrv finds that does not agree, for `bmc doctor`.

use crate::names::NodeName;
use serde::{Deserialize, Serialize};

/// Most findings of one answer; the least urgent are left out.
pub const FINDINGS_MAX: usize = 10_000;

/// `GET /v1/doctor`: where Slurm's view, bootsrv's store and the controllers do not agree, and what
/// else needs somebody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doctor {
    /// bootsrv's clock, nanoseconds since 1970: ages are counted from here.
    pub now_unix_ns: i64,
    /// Nodes that are defined.
    pub nodes: usize,
    /// When the nodes were last compared with what slurmctld shows, nanoseconds since 1970; `None`:
    /// not since bootsrv started.
    pub compared_unix_ns: Option<i64>,
    /// The findings, most urgent first.
    pub findings: Vec<Finding>,
    /// Findings above [`FINDINGS_MAX`].
    #[serde(default)]
    pub left_out: usize,
    /// What nobody measures, and is therefore not known.
    pub not_measured: Vec<String>,
}

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Who mends it.
    pub mended_by: MendedBy,
    /// What kind of thing it is.
    pub kind: FindingKind,
    /// The node, if it is one node's.
    pub node: Option<NodeName>,
    /// Since when it has been so as far as this run of bootsrv has seen, nanoseconds since 1970;
    /// `None`: nobody has looked before.
    pub since_unix_ns: Option<i64>,
    /// What is so, one line.
    pub what: String,
    /// What follows, or what to do, one line.
    pub follows: String,
}

/// Who mends a finding, most urgent first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MendedBy {
    /// An admin.
    Admin,
    /// It ends by itself, or bootsrv sees to it.
    Itself,
    /// Nobody: an admin wants it so.
    Nobody,
}

/// The kinds of findings, for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// slurmctld does not answer.
    SlurmSilent,
    /// The state directory's disk is nearly full.
    DiskFull,
    /// A row of the store cannot be read.
    UnreadableRow,
    /// An image cannot be prepared, and its user is not to blame.
    Preparation,
    /// A node of our partitions is not defined here.
    NotDefined,
    /// A node that is defined here is unknown to Slurm.
    NotInSlurm,
    /// A node's controller does not answer.
    ControllerSilent,
    /// A node's controller says off, and the node reports.
    ControllerLies,
    /// Up in Slurm, off at its controller.
    OffUnderSlurm,
    /// On at its controller, and nothing here wants it on.
    OnForNobody,
    /// A deployment has been in a state for longer than its limit.
    StateTooLong,
    /// Drained, or set DOWN, by bootsrv for a fault.
    OwnDrain,
    /// Set DOWN, or drained, by Slurm itself.
    SlurmDown,
    /// A drain of bootsrv's is being taken back.
    DrainEnds,
    /// A drain that slurmctld forgets when it powers the node down, and that is made again.
    KeptDrain,
    /// Slurm and the store differ, and bootsrv waits for the word that may be under way.
    Resync,
    /// An admin keeps it out of use through bootsrv.
    Maintenance,
    /// An admin has drained it in Slurm.
    AdminDrain,
    /// An admin has switched it on by hand.
    OnByHand,
}
