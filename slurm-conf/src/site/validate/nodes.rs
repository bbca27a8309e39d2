//! The rules of the node ranges: names, cards and addresses.

use super::power::{self, path_pattern};
use super::{Problems, WORD, is_word};
use crate::site::expand::range_nodes;
use crate::site::{NodeRange, Site};
use protocol::names::NodeName;
use protocol::node_list;
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

/// Checks the ranges; gives the names of all nodes.
pub(super) fn ranges(site: &Site, problems: &mut Problems<'_>) -> BTreeSet<NodeName> {
    let mut names = BTreeSet::new();
    if site.nodes.is_empty() {
        problems.add("", 0, "nodes", "is empty: a site has at least one [[nodes]] table");
    }
    for (index, range) in site.nodes.iter().enumerate() {
        match node_list::expand(&range.names) {
            Ok(expanded) => {
                if expanded.len() != range.macs.len() {
                    let (nodes, macs) = (expanded.len(), range.macs.len());
                    let what =
                        format_args!("lists {macs} addresses for {nodes} nodes ({})", range.names);
                    problems.add("[[nodes]]", index, "macs", what);
                }
                names.extend(expanded);
            }
            Err(error) => {
                let what = format_args!("is refused: {error}");
                problems.add("[[nodes]]", index, "names", what);
            }
        }
        range_values(range, index, problems);
        power::rules(range, index, problems);
        range_addresses(site, range, index, problems);
    }
    names
}

fn range_values(range: &NodeRange, index: usize, problems: &mut Problems<'_>) {
    let mut add = |key: &str, what: &str| problems.add("[[nodes]]", index, key, what);
    let per_socket = range.sockets.saturating_mul(range.threads_per_core);
    if range.cpus == 0 || per_socket == 0 || !range.cpus.is_multiple_of(per_socket) {
        add("cpus", "is not a multiple of sockets times threads_per_core");
    }
    if range.memory_mib == 0 {
        add("memory_mib", "is 0: Slurm would give jobs no memory");
    }
    if !range.features.iter().all(|feature| is_word(feature)) {
        add("features", WORD);
    }
    if range.console.is_some() && range.console_log.is_some() {
        add("console", "and console_log are two ways to one console: leave one out");
    }
    if let Some(log) = &range.console_log {
        match path_pattern(log) {
            Some(what) => add("console_log", what),
            None if range.macs.len() > 1 && !log.contains("{node}") => {
                add("console_log", "is one file for several nodes: put {node} in it");
            }
            None => {}
        }
    }
}

fn range_addresses(site: &Site, range: &NodeRange, index: usize, problems: &mut Problems<'_>) {
    let provisioning = site.network.provisioning;
    let nodes = range_nodes(range);
    if let Some(node) = nodes.iter().find(|node| !provisioning.has_host(node.address)) {
        let (name, address) = (&node.name, node.address);
        let what = format_args!("gives {name} {address}, which is not a host of {provisioning}");
        problems.add("[[nodes]]", index, "first_address", what);
    }
    let Some(management) = site.network.management else { return };
    let outside = nodes.iter().find(|node| {
        let address = node.controller.as_deref().and_then(|text| text.parse().ok());
        address.is_some_and(|address: Ipv4Addr| !management.has_host(address))
    });
    if let Some(node) = outside {
        let (name, address) = (&node.name, node.controller.as_deref().unwrap_or_default());
        let what = format_args!("gives {name} {address}, which is not a host of {management}");
        problems.add("[[nodes]]", index, "controller", what);
    }
}

pub(super) fn duplicates(site: &Site, problems: &mut Problems<'_>) {
    let mut seen: BTreeMap<String, String> = BTreeMap::new();
    let reserved = [("bootsrv", site.server.address), ("slurmctld", site.slurm.address)]
        .into_iter()
        .map(|(owner, address)| (address, owner));
    for (address, owner) in
        reserved.chain(site.network.gateway.map(|gateway| (gateway, "the gateway")))
    {
        seen.insert(address.to_string(), owner.to_owned());
    }
    for (index, range) in site.nodes.iter().enumerate() {
        for node in range_nodes(range) {
            let values = [
                ("names", Some(format!("node {}", node.name))),
                ("first_address", Some(node.address.to_string())),
                ("macs", Some(node.mac.to_string())),
                ("controller", node.controller.clone()),
            ];
            for (key, value) in values.into_iter().filter_map(|(key, value)| Some((key, value?))) {
                if let Some(owner) = seen.insert(value.clone(), node.name.to_string()) {
                    let what =
                        format_args!("gives {} {value}, which {owner} has already", node.name);
                    problems.add("[[nodes]]", index, key, what);
                }
            }
        }
    }
}
