//! What workers are told, and what they have seen.

use crate::deployment::DeploymentId;
use protocol::api::PowerAction;
use tokio::sync::oneshot;

/// What a worker is told to do.
#[derive(Debug)]
pub enum Order {
    /// Power on from off for this deployment. A later [`Order::Off`], or another deployment's, puts an
    /// end to it.
    On(DeploymentId),
    /// Power off and look until it is.
    Off(PowerOff),
    /// An admin's wish, answered with the power as seen afterwards.
    Admin(PowerAction, oneshot::Sender<Result<Power, String>>),
}

/// A power-off.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PowerOff {
    /// For whom, if for anybody.
    pub deployment: Option<DeploymentId>,
    /// The operating system is up: it may be asked first.
    pub gently: bool,
    /// The deployment has failed: what the controller's log says since power-on goes to
    /// [`super::Listener::explained`].
    pub explain: bool,
}

/// Whether a node has power.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Power {
    /// It has.
    On,
    /// It has not.
    Off,
}

/// The last a worker saw.
#[derive(Debug, Clone, Copy, Default)]
pub struct Observed {
    /// Power; `None`: not known.
    pub power: Option<Power>,
    /// It is on by the node's own word: its controller says off.
    pub is_contradicted: bool,
    /// A command is under way that takes its power away so that it boots afresh: what it begins now is void.
    pub is_being_cut: bool,
    /// Last reading; `None`: none, or no meter.
    pub watts: Option<u32>,
    /// When, nanoseconds since 1970.
    pub at_unix_ns: i64,
}
