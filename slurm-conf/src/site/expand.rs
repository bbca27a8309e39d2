//! Node ranges written out: one value a node. Only sense made of a checked site; no checks here.

use super::{NodeRange, Site};
use crate::network::nth_address;
use protocol::names::{MacAddress, NodeName};
use protocol::node_list;
use std::net::Ipv4Addr;

/// One node of a range.
#[derive(Debug, Clone)]
pub struct Node<'a> {
    /// Its name.
    pub name: NodeName,
    /// Its address on the provisioning network.
    pub address: Ipv4Addr,
    /// The card it boots from.
    pub mac: MacAddress,
    /// Address or host name of its baseboard controller; `None`: its power needs none.
    pub controller: Option<String>,
    /// What it shares with its neighbours.
    pub range: &'a NodeRange,
}

/// All nodes of the site, in the order of the file. Nodes without a card or an address, which a
/// checked site has not, are left out.
#[must_use]
pub fn nodes(site: &Site) -> Vec<Node<'_>> {
    site.nodes.iter().flat_map(range_nodes).collect()
}

pub(super) fn range_nodes(range: &NodeRange) -> Vec<Node<'_>> {
    let names = node_list::expand(&range.names).unwrap_or_default();
    let macs = range.macs.iter().copied();
    let node = |(count, (name, mac)): (usize, (NodeName, MacAddress))| {
        let controller = match &range.controller {
            Some(text) => Some(controller(text, &name, count)?),
            None => None,
        };
        let address = nth_address(range.first_address, count)?;
        Some(Node { name, address, mac, controller, range })
    };
    names.into_iter().zip(macs).enumerate().filter_map(node).collect()
}

/// The controller of the `count`-th node: a pattern with `{node}`, or an address counted up.
fn controller(text: &str, name: &NodeName, count: usize) -> Option<String> {
    if text.contains("{node}") {
        return Some(text.replace("{node}", name.as_str()));
    }
    nth_address(text.parse().ok()?, count).map(|address| address.to_string())
}
