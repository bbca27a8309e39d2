//! Our partitions and their nodes, as slurm.conf, bootsrv and the hooks each see them.

use super::{Finding, Place};
use crate::live::LiveSite;
use std::collections::BTreeSet;

pub(super) fn exist(site: &LiveSite) -> Vec<Finding> {
    let known: BTreeSet<&str> = site.slurm.partitions.iter().map(|record| record.name()).collect();
    let unknown = site.our_names().into_iter().filter(|name| !known.contains(name));
    let finding = |name: &str| {
        let in_client =
            site.client.get().is_some_and(|client| client.partitions.iter().any(|own| own == name));
        let place = match in_client {
            true => Place::client(site, "partitions"),
            false => Place::bootsrv(site, "[[partition]]", "name"),
        };
        let near = protocol::nearest::nearest(name, known.iter().copied());
        let instead = match near.first() {
            Some(near) => format!("{near:?}, or a line PartitionName={name} in slurm.conf"),
            None => format!("a line PartitionName={name} in slurm.conf"),
        };
        place.error("partition", format!("{name:?} is no partition of slurm.conf"), instead)
    };
    unknown.map(finding).collect()
}

pub(super) fn agree(site: &LiveSite) -> Vec<Finding> {
    let (Some(client), Some(bootsrv)) = (site.client.get(), site.bootsrv.get()) else {
        return Vec::new();
    };
    let hooks: BTreeSet<&str> = client.partitions.iter().map(String::as_str).collect();
    let server: BTreeSet<&str> = bootsrv.partitions.iter().map(|part| part.name.as_str()).collect();
    // A name that slurm.conf has not either is `exist`'s finding.
    let is_real = |name: &&&str| site.slurm.partitions.iter().any(|record| record.name() == **name);
    let for_client = server.difference(&hooks).filter(is_real).map(|name| {
        let wrong =
            format!("lacks {name:?}, which bootsrv manages: its jobs start without their kernel");
        Place::client(site, "partitions").error(
            "partitions",
            wrong,
            format!("{name:?} in the list"),
        )
    });
    let for_server = hooks.difference(&server).filter(is_real).map(|name| {
        let wrong = format!("lacks {name:?}, which client.toml has: bootsrv refuses its jobs");
        let instead = format!("a [[partition]] table with name = {name:?}");
        Place::file(&site.bootsrv.path).error("partition", wrong, instead)
    });
    for_client.chain(for_server).collect()
}

pub(super) fn exclusive(site: &LiveSite) -> Vec<Finding> {
    let mut findings = Vec::new();
    for partition in site.our_partitions() {
        let found = site.partition_value(partition, "OverSubscribe");
        let found = found.or_else(|| site.partition_value(partition, "Shared"));
        if found.is_some_and(|setting| setting.value.eq_ignore_ascii_case("EXCLUSIVE")) {
            continue;
        }
        let place = found
            .or_else(|| partition.settings.first())
            .map_or_else(|| Place::file(&site.slurm_conf), Place::of);
        let wrong = format!(
            "is not EXCLUSIVE in partition {}: two jobs share a node, and one of them its kernel and energy",
            partition.name()
        );
        findings.push(place.error("OverSubscribe", wrong, "OverSubscribe=EXCLUSIVE"));
    }
    findings
}

pub(super) fn preempt_mode(site: &LiveSite) -> Vec<Finding> {
    let suspends =
        |value: &str| value.split(',').any(|word| word.trim().eq_ignore_ascii_case("SUSPEND"));
    // Slurm's default is preempt/none: nothing is preempted, whatever the mode.
    let preempts = |kind: &str| !kind.eq_ignore_ascii_case("preempt/none");
    if !site.slurm.get("PreemptType").is_some_and(|kind| preempts(&kind.value)) {
        return Vec::new();
    }
    let mut findings: Vec<Finding> = Vec::new();
    for partition in site.our_partitions() {
        let own = site.partition_value(partition, "PreemptMode");
        let Some(found) =
            own.or_else(|| site.slurm.get("PreemptMode")).filter(|found| suspends(&found.value))
        else {
            continue;
        };
        let wrong = format!(
            "is {} for partition {}: a suspended job keeps its kernel on nodes that the next job boots \
             into another",
            found.value,
            partition.name()
        );
        let instead = "PreemptMode=REQUEUE on the PartitionName= line";
        findings.push(Place::of(found).error("PreemptMode", wrong, instead));
    }
    findings
}

pub(super) fn node_state(site: &LiveSite) -> Vec<Finding> {
    let mut findings = Vec::new();
    for line in site.our_node_lines() {
        let Some(state) = site.node_value(line, "State") else { continue };
        let breaks = match state.value.to_ascii_uppercase().as_str() {
            "CLOUD" => {
                "Slurm forgets its address when it is powered off and leaves its reboots out"
            }
            "FUTURE" => "Slurm gives it to no job",
            "DOWN" | "DRAIN" | "FAIL" | "FAILING" => {
                "Slurm gives it to no job after each restart of slurmctld"
            }
            _ => continue,
        };
        let wrong = format!("is {} for {}: {breaks}", state.value, line.name());
        findings.push(Place::of(state).error("State", wrong, "State=UNKNOWN"));
    }
    findings
}

pub(super) fn nodes_not_shared(site: &LiveSite) -> Vec<Finding> {
    let (names, ours) = (site.our_names(), site.our_nodes());
    let mut findings = Vec::new();
    for partition in &site.slurm.partitions {
        let name = partition.name();
        if names.contains(name) || name.eq_ignore_ascii_case("DEFAULT") {
            continue;
        }
        let shared = site.partition_nodes(partition).into_iter().find(|node| ours.contains(node));
        if let (Some(node), Some(first)) = (shared, partition.settings.first()) {
            let wrong = format!(
                "partition {} has {node}, which is ours: its jobs run on whatever kernel is there, and the \
                 node is not powered off after them",
                partition.name()
            );
            let instead = "other nodes, or the partition in client.toml and bootsrv.toml too";
            findings.push(Place::of(first).warning("Nodes", wrong, instead));
        }
    }
    findings
}
