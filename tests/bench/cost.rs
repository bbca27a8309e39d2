//! What a program pays for running inside an image, once it has entered: the same program does the same
//! work inside and outside on the same node.

use crate::enter::job;
use crate::figure::{Figure, median};
use ::tests::cluster::{Cluster, Options};
use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;

const PROGRAM: &str = "vcluster-work";
/// A file that both roots have, each in a squashfs below an overlay.
const FILE: &str = "/usr/bin/ls";
/// Inside over outside; what is below cannot be told from the emulation's own unrest.
const GOAL: f64 = 1.03;

/// Runs the work in a job inside, and in one outside before and after it.
pub(crate) fn figures(cluster: &Cluster, image: &str, repeats: u32) -> Result<Vec<Figure>> {
    let home = cluster.dir().join("home/alice").join(PROGRAM);
    std::fs::copy(Options::default().program_dir.join(PROGRAM), home).context(PROGRAM)?;
    let script = format!("/home/alice/{PROGRAM} {repeats} {FILE}");
    let run = |options: &[&str]| -> Result<_> { costs(&job(cluster, options, &script)?) };
    let before = run(&[])?;
    let inside = run(&[&format!("--bmc-image={image}")])?;
    let after = run(&[])?;
    let mut figures = Vec::new();
    for (kind, inside) in inside {
        let (before, after) = (before.get(&kind), after.get(&kind));
        let both: Vec<f64> = before.into_iter().chain(after).flatten().copied().collect();
        let outside = median(&both).context("nothing was measured outside")?;
        let over = |value: &f64| Ok(value / outside);
        let name = format!("inside an image over outside: {kind}");
        figures.push(Figure::new(name, "", Some(GOAL), inside.iter().map(over)));
        figures.push(Figure::new("  outside over its own median", "", None, both.iter().map(over)));
    }
    Ok(figures)
}

/// Nanoseconds of each kind of work.
fn costs(printed: &str) -> Result<BTreeMap<String, Vec<f64>>> {
    let mut costs: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for line in printed.lines().filter_map(|line| line.strip_prefix("cost ")) {
        let (kind, nanoseconds) = line.split_once(' ').context("a cost has a kind")?;
        costs.entry(kind.to_owned()).or_default().push(nanoseconds.parse()?);
    }
    ensure!(!costs.is_empty(), "nothing was measured: {printed}");
    Ok(costs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_are_told_apart_by_kind() {
        let read = costs("x\ncost files 3\ncost memory 4\ncost files 5\n").unwrap();
        assert_eq!(read.get("files").unwrap(), &[3.0, 5.0]);
        assert_eq!(read.len(), 2);
        assert!(costs("").is_err());
    }
}
