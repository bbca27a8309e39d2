//! Who the nodes are: names, addresses, hardware. Every program of the virtual cluster computes
//! them from a node's number, so that no table has to be passed around.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Most nodes of a cluster. One node costs about 300 MB and ten CPU seconds for each boot.
pub const NODES_MAX: u8 = 64;
/// The controller host's address in the provisioning network (a /24).
pub const HEAD_ADDRESS: &str = "10.77.0.1";
/// The controller host's address in the management network (a /24).
pub const HEAD_MANAGEMENT_ADDRESS: &str = "10.77.1.1";
/// The controller host's IPv6 address, there only for the router advertisements (a /64).
pub const HEAD_ADDRESS_V6: &str = "fd77::1";
/// The controller's host name.
pub const HEAD_NAME: &str = "head";

/// One node of the cluster, by its number from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Node(u8);

/// A node's name was not of the form `n1` to `n64`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a node: nodes are named n1 to n{NODES_MAX}")]
pub struct NoSuchNode(String);

impl Node {
    /// The first `count` nodes, at most [`NODES_MAX`].
    pub fn first(count: u8) -> impl DoubleEndedIterator<Item = Self> {
        (1..=count.min(NODES_MAX)).map(Self)
    }

    /// The node's number, from 1.
    #[must_use]
    pub fn number(self) -> u8 {
        self.0
    }

    /// Its address in the provisioning network.
    #[must_use]
    pub fn address(self) -> String {
        format!("10.77.0.{}", 10 + self.0)
    }

    /// The address of its baseboard controller, on port 623.
    #[must_use]
    pub fn controller_address(self) -> String {
        format!("10.77.1.{}", 10 + self.0)
    }

    /// The hardware address of its network card.
    #[must_use]
    pub fn mac(self) -> String {
        format!("52:54:00:77:00:{:02x}", self.0)
    }

    /// The tap device behind its network card.
    #[must_use]
    pub fn tap(self) -> String {
        format!("tap{}", self.0)
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "n{}", self.0)
    }
}

impl FromStr for Node {
    type Err = NoSuchNode;
    fn from_str(text: &str) -> Result<Self, NoSuchNode> {
        let number = text.strip_prefix('n').filter(|digits| !digits.starts_with(['0', '+']));
        match number.and_then(|digits| digits.parse().ok()) {
            Some(number) if (1..=NODES_MAX).contains(&number) => Ok(Self(number)),
            _ => Err(NoSuchNode(text.chars().take(64).collect())),
        }
    }
}

/// Random numbers, for the kernel's start. No `cmpxchg16b`: a boot died of a double fault right behind
/// one, with the low half of RAX in the flags; seen once, and taken for a fault of QEMU 7.2's emulation.
const FEATURES: &str = "+rdrand,-cx16";

/// What QEMU gives the node; kept in the node's directory for the chassis program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hardware {
    /// Memory in MiB.
    pub memory_mib: u32,
    /// QEMU's name of the processor model, or QEMU's default.
    pub cpu_model: Option<String>,
    /// Hardware threads of its one core.
    pub threads: u8,
}

impl Hardware {
    /// The hardware of a node in a cluster of `count`: all alike, but for the last, which has a
    /// processor with two hardware threads (for settings such as switching threads off).
    #[must_use]
    pub fn of(node: Node, count: u8, memory_mib: u32) -> Self {
        if node.number() == count && count > 1 {
            Self { memory_mib, cpu_model: Some(format!("Nehalem,{FEATURES}")), threads: 2 }
        } else {
            Self { memory_mib, cpu_model: Some(format!("qemu64,{FEATURES}")), threads: 1 }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_strictly() {
        for (text, ok) in
            [("n1", true), ("n64", true), ("n0", false), ("n01", false), ("n+1", false)]
                .into_iter()
                .chain([("n65", false), ("1", false), ("", false), ("n", false), ("n1x", false)])
        {
            let node = text.parse::<Node>();
            assert_eq!(node.is_ok(), ok, "{text}");
            if let Ok(node) = node {
                assert_eq!(node.to_string(), text);
            }
        }
    }

    #[test]
    fn addresses_follow_the_number() {
        let node: Node = "n10".parse().unwrap();
        assert_eq!(node.address(), "10.77.0.20");
        assert_eq!(node.controller_address(), "10.77.1.20");
        assert_eq!(node.mac(), "52:54:00:77:00:0a");
    }

    #[test]
    fn only_the_last_of_several_nodes_has_two_threads() {
        let threads = |count| {
            Node::first(count).map(|n| Hardware::of(n, count, 512).threads).collect::<Vec<_>>()
        };
        assert_eq!(threads(1), [1]);
        assert_eq!(threads(3), [1, 1, 2]);
    }
}
