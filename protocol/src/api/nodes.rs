//! Nodes: how they are defined, what they are doing, and what an admin does with them.

use crate::names::{JobId, MacAddress, NodeName};
use crate::power::{OutletDefinition, PowerDefinition};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

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
    /// The memory its kernels must see at least, in MiB, as `RealMemory` in slurm.conf; any if absent.
    #[serde(default)]
    pub memory_mib: Option<u32>,
    /// How its power is switched.
    pub power: PowerDefinition,
    /// What takes its power away when that fails.
    #[serde(default)]
    pub outlet: Option<OutletDefinition>,
    /// How it boots from the network; [`Firmware::Bios`] if absent.
    #[serde(default)]
    pub firmware: Firmware,
    /// A file its serial console is logged to, readable by bootsrv (conserver, a BMC's SOL logger).
    #[serde(default)]
    pub console_log: Option<String>,
    /// Where bootsrv itself gets its serial console from while it boots; not beside `console_log`.
    #[serde(default)]
    pub console: Option<ConsoleSource>,
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

/// Where a node's serial console comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConsoleSource {
    /// Serial over LAN of its IPMI controller.
    Sol,
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
    /// Failures by its own fault since a boot of it was last ready.
    #[serde(default)]
    pub strikes: u32,
    /// Why it failed last.
    pub last_failure: Option<String>,
    /// When that was, nanoseconds since 1970.
    #[serde(default)]
    pub last_failure_unix_ns: Option<i64>,
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

/// Most nodes of one [`ClearRequest`].
pub const CLEAR_NODES_MAX: usize = crate::node_list::NODES_MAX;

/// `POST /v1/clear`: an admin has looked at these nodes. All or none; twice is fine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClearRequest {
    /// The nodes, at most [`CLEAR_NODES_MAX`].
    pub nodes: Vec<NodeName>,
    /// Only say what would be done.
    #[serde(default)]
    pub dry_run: bool,
}

/// What clearing a node does, or would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cleared {
    /// The node.
    pub node: NodeName,
    /// Strikes that are forgotten.
    pub strikes: u32,
    /// The failure that is forgotten.
    pub last_failure: Option<String>,
    /// What becomes of its drain in Slurm.
    pub drain: ClearedDrain,
}

/// What becomes of a drain, or a DOWN, in Slurm, each with its reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClearedDrain {
    /// There is none.
    None,
    /// It is ours: taken back as soon as slurmctld hears of it.
    TakenBack(String),
    /// It is not ours: it stays.
    Stays(String),
    /// The node is in maintenance, which stays until an admin ends it.
    Maintenance(String),
    /// slurmctld has not answered since bootsrv started, and we have drained nothing.
    Unknown,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::Secret;
    use crate::power::Privilege;

    #[test]
    fn a_node_is_at_its_address_however_the_listener_shows_it() {
        let power = PowerDefinition::Ipmi {
            address: "10.0.0.1".into(),
            user: "u".into(),
            password: Secret::new("p".into()),
            cipher_suite: None,
            kg: None,
            privilege: Privilege::default(),
        };
        let node = |address: &str| NodeDefinition {
            name: "n1".parse().unwrap(),
            mac: "52:54:00:00:00:01".parse().unwrap(),
            address: address.into(),
            gateway: None,
            cpus: 1,
            threads_per_core: 1,
            memory_mib: None,
            power: power.clone(),
            outlet: None,
            firmware: Firmware::Bios,
            console_log: None,
            console: None,
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
