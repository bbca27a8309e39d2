//! What stands around the curves: heads, caption, and the description for who cannot see them.

use super::panel::Drawn;
use super::{MARGIN, PANELS_MAX, Shown, WIDTH, text_width};
use crate::energy_words::{accuracies, node_total, total};
use protocol::energy::{JobEnergy, NodeEnergy, StageEnergy};

/// Nodes that are named one by one.
const NAMED_MAX: usize = 8;

/// How much wider a bold letter of a panel's head is.
const BOLD: f64 = 1.2;

/// Below the title.
pub(super) fn head(job: &JobEnergy, shown: &[Shown]) -> Vec<String> {
    let named: Vec<&str> =
        job.nodes.iter().take(NAMED_MAX).map(|node| node.node.as_str()).collect();
    let more = match job.nodes.len().checked_sub(NAMED_MAX) {
        Some(more) if more > 0 => format!(" and {more} more"),
        _ => String::new(),
    };
    let mut kernels: Vec<&str> = Vec::new();
    for kernel in shown.iter().filter_map(|one| Some(one.power?.kernel.as_str())) {
        if !kernels.contains(&kernel) {
            kernels.push(kernel);
        }
    }
    let kernels = if kernels.is_empty() {
        String::new()
    } else {
        format!(" · kernel: {}", kernels.join(", "))
    };
    let mut lines = vec![format!("nodes: {}{more}{kernels}", named.join(", "))];
    lines.push(format!("total of {} node(s): {}", job.nodes.len(), total(job)));
    if let Some(accuracies) = accuracies(job) {
        lines.push(format!("The meters' accuracy is {accuracies}."));
    }
    if job.nodes.iter().any(|node| !node.complete) {
        lines.push("The record is not complete: a node is still in use, the figures grow.".into());
    }
    if let Some(more) = job.nodes.len().checked_sub(PANELS_MAX).filter(|more| *more > 0) {
        lines.push(format!(
            "The first {PANELS_MAX} nodes are drawn; the other {more} are in the total, and in \
             `bmc energy {}`.",
            job.reference
        ));
    }
    lines.iter().flat_map(|line| wrapped(&words_of(line), " ")).collect()
}

/// Above a panel.
pub(super) fn node(shown: &Shown) -> String {
    let node = shown.energy;
    let source = match (&node.source, shown.power) {
        (None, _) => "no readings".to_owned(),
        (Some(source), Some(power)) if power.is_reduced => {
            format!("{source}, {} readings as {} points", power.readings, power.points.len())
        }
        (Some(source), _) => format!("{source}, {} readings", node.samples),
    };
    let total = match node.total_millijoules {
        Some(_) => node_total(node),
        None => "energy unknown".to_owned(),
    };
    cut(&format!("{} ({source}): {total}", node.node), (WIDTH - 2.0 * MARGIN) / BOLD)
}

/// At the foot: how the picture is to be read.
pub(super) fn caption(job: &JobEnergy, drawn: &Drawn) -> Vec<String> {
    let mut text = String::from(
        "Black: power as the meter shows it, with straight lines between the readings.",
    );
    if drawn.reduced {
        text += " Too many readings for a picture are drawn as means over equal spans of time; the \
                 grey band reaches from the lowest to the highest of each span.";
    }
    if drawn.energy {
        text += " Dashed blue: the node's energy since the begin, as the record has it at each \
                 stage's end. The bar at its end is the ± of the total: 95 of 100 totals are right \
                 within it (k\u{a0}=\u{a0}2). How sure the energy is on the way there is not drawn: the \
                 record says it of stages and totals only.";
    }
    if drawn.gaps {
        text += " Hatched: no reading. Where the lines go one way, the record bridges the gap by a \
                 straight line and counts it as estimated; where they cross, nothing is known, which \
                 is not zero.";
    }
    text += &format!(" Method version {}.", job.method_version);
    wrapped(&words_of(&text), " ")
}

/// All of it in words.
pub(super) fn description(job: &JobEnergy) -> String {
    let stage = |stage: &StageEnergy| {
        let seconds = crate::table::seconds(stage.duration_ns);
        let energy = match (stage.bounds, stage.energy_millijoules) {
            (Some(bounds), _) => {
                let ends = [bounds.least_millijoules, bounds.most_millijoules];
                ends.map(|end| crate::table::joules(Some(end))).join(" to ") + " J"
            }
            (None, Some(energy)) => crate::table::joules(Some(energy)) + " J",
            (None, None) => "energy unknown".to_owned(),
        };
        format!("{} {seconds} s, {energy}", stage.stage.title())
    };
    let node = |node: &NodeEnergy| {
        let stages: Vec<String> = node.stages.iter().map(stage).collect();
        let (name, total) = (&node.node, node_total(node));
        format!(" Node {name}: {total}; {}.", stages.join("; "))
    };
    let nodes: String = job.nodes.iter().take(PANELS_MAX).map(node).collect();
    format!("Power over time, stage by stage. In total {}.{nodes}", total(job))
}

fn words_of(line: &str) -> Vec<String> {
    line.split(' ').map(str::to_owned).collect()
}

/// Parts in lines that the picture is wide enough for. One that is wider by itself is cut.
pub(super) fn wrapped(parts: &[String], between: &str) -> Vec<String> {
    let room = WIDTH - super::LEFT - MARGIN;
    let mut lines: Vec<String> = Vec::new();
    for part in parts {
        match lines.last_mut() {
            Some(line) if text_width(line) + text_width(between) + text_width(part) <= room => {
                *line += between;
                *line += part;
            }
            _ => lines.push(part.clone()),
        }
    }
    lines.iter().map(|line| cut(line, room)).collect()
}

fn cut(line: &str, room: f64) -> String {
    if text_width(line) <= room {
        return line.to_owned();
    }
    let mut kept = String::new();
    for letter in line.chars() {
        if text_width(&kept) + text_width("….") > room {
            break;
        }
        kept.push(letter);
    }
    kept + "…"
}
