//! How energies are spelt, in the table of `bmc energy` and in its picture.

use crate::table::{UNKNOWN, joules, watt_hours};
use protocol::energy::{
    Accuracy, AccuracyBasis, Gap, JobEnergy, NodeEnergy, StageEnergy, Uncertainty,
};

/// The job's total with its ±, in joules and watt-hours.
pub(crate) fn total(job: &JobEnergy) -> String {
    figure(job.total_millijoules, job.uncertainty, job.nodes.iter().any(is_lower_bound))
}

/// A node's.
pub(crate) fn node_total(node: &NodeEnergy) -> String {
    figure(node.total_millijoules, node.uncertainty, is_lower_bound(node))
}

fn figure(millijoules: Option<i64>, sure: Option<Uncertainty>, is_at_least: bool) -> String {
    let Some(total) = millijoules else { return UNKNOWN.to_owned() };
    let at_least = if is_at_least { "at least " } else { "" };
    let sure = sure.map(|sure| plus_minus(sure.millijoules)).unwrap_or_default();
    format!("{at_least}{} J{sure} ({} Wh)", joules(Some(total)), watt_hours(total))
}

/// ` ± 12 J`.
pub(crate) fn plus_minus(millijoules: i64) -> String {
    format!(" ± {} J", rough(millijoules))
}

/// Joules without a decimal where nobody knows it.
pub(crate) fn rough(millijoules: i64) -> String {
    match millijoules {
        some if some >= 100_000 => {
            (millijoules / 1_000 + i64::from(millijoules % 1_000 >= 500)).to_string()
        }
        some => joules(Some(some)),
    }
}

/// What the meters' accuracy is, each answer once; `None`: no figure rests on it.
pub(crate) fn accuracies(job: &JobEnergy) -> Option<String> {
    let percent = |accuracy: Accuracy| {
        let percent = f64::from(accuracy.parts_per_million) / 1e4;
        match accuracy.basis {
            AccuracyBasis::Assumed => format!("assumed to be {percent} %: nothing states it"),
            AccuracyBasis::Stated => format!("{percent} %, as the site states"),
        }
    };
    let mut accuracies: Vec<String> = Vec::new();
    for one in job.nodes.iter().filter_map(|node| node.accuracy.map(percent)) {
        if !accuracies.contains(&one) {
            accuracies.push(one);
        }
    }
    (!accuracies.is_empty()).then(|| accuracies.join("; or "))
}

fn is_lower_bound(node: &NodeEnergy) -> bool {
    node.stages.iter().any(|stage| missing(node, stage) > 0)
}

/// How much of a stage no reading speaks for, in nanoseconds: its energy is a lower bound then,
/// and its mean power that of the rest.
pub(crate) fn missing(node: &NodeEnergy, stage: &StageEnergy) -> i64 {
    let end = |from: i64, length: i64| from.saturating_add(length);
    let overlap = |gap: &Gap| {
        let from = gap.from_unix_ns.max(stage.from_unix_ns);
        let to = end(gap.from_unix_ns, gap.duration_ns);
        to.min(end(stage.from_unix_ns, stage.duration_ns)).saturating_sub(from).max(0)
    };
    let unbridged = node.gaps.iter().filter(|gap| !gap.bridged);
    unbridged.map(overlap).fold(0, i64::saturating_add)
}
