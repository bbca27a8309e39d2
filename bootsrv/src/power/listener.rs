//! Who hears what the workers see.

use crate::deployment::DeploymentId;
use crate::deployment::transition::Event;
use energy::Sample;
use protocol::names::NodeName;
use std::time::Duration;
use tokio::time::Instant;

/// A node that gave no sign of life for so long is silent: agents report every 10 s, so two reports
/// may be lost, and the third late.
pub const SILENCE: Duration = Duration::from_secs(35);

/// Who hears what the workers see, and decides what follows.
pub trait Listener: std::fmt::Debug + Send + Sync {
    /// Something happened to a deployment, at that time (nanoseconds since 1970). Gives whether it was
    /// taken; what was not (the store is locked, its disk full) may be brought again.
    fn happened(&self, node: &NodeName, id: DeploymentId, event: &Event, at_unix_ns: i64) -> bool;
    /// A meter was read.
    fn reading(&self, node: &NodeName, sample: Sample, meter: &str);
    /// The readings of a node that is off do not change any more.
    fn settled(&self, node: &NodeName);
    /// Whether the node waits in iPXE ([`super::Fleet::is_held`]).
    fn is_held(&self, node: &NodeName) -> bool;
    /// Whether the node gave a sign of life (an agent's report, a request for its boot script) within
    /// [`SILENCE`]; `None`: not known, because bootsrv has not listened for so long. It stands in for
    /// the power of nodes whose driver cannot see that.
    fn is_alive(&self, _node: &NodeName) -> Option<bool> {
        None
    }
    /// When the node gave its last sign of life, as above; `None`: none that bootsrv has heard.
    fn heard_at(&self, _node: &NodeName) -> Option<Instant> {
        None
    }
    /// When the node's boot for that deployment gave its last: it asked for its boot script, which
    /// needs nothing but the node's address, or its agent reported with the deployment's token.
    fn boot_heard_at(&self, _node: &NodeName, _id: DeploymentId) -> Option<Instant> {
        None
    }
    /// Everything was tried to switch the node off, once, and it has power still; it is tried on. The
    /// text is e.g. `tried off 6 times, cycle and off 3 times`, with the last error behind it.
    fn stuck(&self, _node: &NodeName, _id: Option<DeploymentId>, _tried: &str) {}
    /// What the controller's log says since the power-on of a deployment that failed: at least one
    /// line, newest first.
    fn explained(&self, _node: &NodeName, _id: DeploymentId, _lines: &[String]) {}
}
