//! The rules of the partitions: names, times, nodes and canaries.

use super::{Problems, WORD, is_word};
use crate::site::{AfterJob, Site};
use protocol::names::NodeName;
use protocol::node_list;
use std::collections::BTreeSet;

/// Checks the partitions; `names` are all nodes of the site.
pub(super) fn rules(site: &Site, names: &BTreeSet<NodeName>, problems: &mut Problems<'_>) {
    if site.partitions.is_empty() {
        problems.add("", 0, "partition", "is empty: a site has at least one [[partition]] table");
    }
    let mut seen = BTreeSet::new();
    for (index, partition) in site.partitions.iter().enumerate() {
        let mut add = |key: &str, what: String| problems.add("[[partition]]", index, key, what);
        if !is_word(&partition.name) || partition.name.eq_ignore_ascii_case("default") {
            add("name", format!("{:?} {WORD}, or means something else to Slurm", partition.name));
        }
        if !seen.insert(&partition.name) {
            add("name", format!("{:?} is there twice", partition.name));
        }
        let time = |c: char| c.is_ascii_digit() || ":-".contains(c);
        if partition.max_time != "INFINITE"
            && (partition.max_time.is_empty() || !partition.max_time.chars().all(time))
        {
            add(
                "max_time",
                format!("{:?} is neither INFINITE nor like 2-12:00:00", partition.max_time),
            );
        }
        let of_stay_on = [
            ("idle_seconds", partition.idle_seconds.is_some()),
            ("share_with", partition.share_with.is_some()),
            ("kexec", partition.kexec.is_some()),
            ("preboot", partition.preboot.is_some()),
        ];
        if let Some((key, _)) = of_stay_on.iter().find(|(_, is_set)| *is_set)
            && partition.after_job == AfterJob::Off
        {
            add(key, "says nothing without after_job = \"stay_on\"".to_owned());
        }
        let own = match node_list::expand(&partition.nodes) {
            Ok(nodes) => nodes,
            Err(error) => {
                add("nodes", format!("is refused: {error}"));
                continue;
            }
        };
        if let Some(node) = own.iter().find(|node| !names.contains(node)) {
            add("nodes", format!("names {node}, which no [[nodes]] table has"));
        }
        let Some(canary) = &partition.canary else { continue };
        match node_list::expand(&canary.nodes) {
            Err(error) => add("canary", format!("is refused: {error}")),
            Ok(nodes) => {
                if let Some(node) = nodes.iter().find(|node| !own.contains(node)) {
                    add("canary", format!("names {node}, which is no node of {}", partition.name));
                }
            }
        }
    }
    if let Some(index) = site.partitions.iter().skip(1).position(|partition| partition.default)
        && site.partitions.iter().filter(|partition| partition.default).count() > 1
    {
        problems.add("[[partition]]", index + 1, "default", "is true for more than one partition");
    }
}
