//! The serial port of the last of several nodes, which its baseboard controller gives out over LAN. The
//! others' consoles are in files only, as a site's console server has them.

use crate::cluster::node::{HEAD_MANAGEMENT_ADDRESS, Node};

/// The service that is the cable between the node and its controller.
pub const SERVICE: &str = "serial";
/// The ports of the cables begin behind it.
const PORT_BASE: u16 = 9_100;

/// Whether a node's console comes over LAN, in a cluster of so many.
#[must_use]
pub fn is_over_lan(node: Node, count: u8) -> bool {
    count > 1 && node.number() == count
}

/// Where the cable ends for the node's controller, which connects there.
#[must_use]
pub fn cable(node: Node) -> (&'static str, u16) {
    (HEAD_MANAGEMENT_ADDRESS, PORT_BASE + u16::from(node.number()))
}
