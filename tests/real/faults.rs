//! Nodes that fail, each in its own way.

use crate::case::{Case, ensure_contains};
use anyhow::{Result, ensure};
use std::time::Duration;
use tests::cluster::Fault;
use tests::product::wait_until;

/// Most that three faulty boots and a good one may take, in seconds: Slurm itself waits two
/// minutes after a failed prolog unless it is told not to.
const LONG: u64 = 600;

/// Each bad node is drained with its own reason, and the job runs on the good one.
pub(crate) fn bad_nodes_are_drained(case: &Case<'_>) -> Result<()> {
    let faults = [
        (1, Fault::IgnorePower, "power"),
        (2, Fault::NoBoot, "boot script"),
        (3, Fault::Panic, "panic"),
    ];
    for (number, fault, _) in faults {
        case.cluster.fault(case.node(number)?, fault)?;
    }
    // Each job may go to one bad node, which Slurm takes first, and to the good one.
    let good = case.node(4)?.to_string();
    for (number, _, expected) in faults {
        let node = case.node(number)?;
        let others: Vec<String> =
            (1..=3).filter(|other| *other != number).map(|n| format!("n{n}")).collect();
        let exclude = format!("--exclude={}", others.join(","));
        let job = case.submit(&["--nodes=1", &exclude], "hostname")?;
        case.wait(job, "COMPLETED", LONG)?;
        ensure!(case.output(job).trim() == good, "it ran on {}", case.output(job));
        let shown = case.slurm_node(node)?;
        ensure_contains(&shown, "DRAIN")?;
        ensure!(shown.to_lowercase().contains(expected), "{shown}");
    }
    Ok(())
}

/// Every node is bad: the job is held with a sentence, after at most three tries.
pub(crate) fn all_nodes_bad_holds_the_job(case: &Case<'_>) -> Result<()> {
    for node in case.cluster.nodes() {
        case.cluster.fault(node, Fault::IgnorePower)?;
    }
    let job = case.submit(&[], "true")?;
    wait_until(Duration::from_secs(LONG), "the job is held", || {
        Ok(case.field(job, "Priority")? == "0")
    })?;
    let restarts: u32 = case.field(job, "Restarts")?.parse()?;
    ensure!(restarts <= 3, "{restarts} restarts");
    ensure_contains(&case.describe(job), "[bare-metal container]")
}
