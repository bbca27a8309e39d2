//! Failure matrix: jobs that are cancelled at each stage of their boot.

use crate::case::{BOOT_SECONDS, Case};
use crate::matrix_means::wait_state;
use anyhow::{Result, ensure};

/// A stage, and those behind it that a look may find instead because it is short.
const STAGES: [&[&str]; 5] = [
    &["powering_on"],
    &["booting"],
    &["starting"],
    &["registering", "ready"],
    // Its job runs.
    &["ready"],
];

/// Wherever its job is cancelled, a node goes off and may be used again, and nobody is blamed.
pub(crate) fn cancelled_at_each_stage(case: &Case<'_>) -> Result<()> {
    for (number, states) in (1..=4).cycle().zip(STAGES) {
        let node = case.node(number)?;
        let job = case.submit(&["-w", &node.to_string()], "sleep 300")?;
        wait_state(case, job, states, BOOT_SECONDS)?;
        case.cluster.check(&["scancel", &job.to_string()])?;
        case.wait(job, "CANCELLED", 30)?;
    }
    case.wait_all_off()?;
    for node in case.cluster.nodes() {
        let shown = case.slurm_node(node)?;
        ensure!(shown.contains("State=IDLE+POWERED_DOWN "), "{node} cannot be used: {shown}");
        let shown = case.json(&["node", "show", &node.to_string()])?;
        ensure!(shown.pointer("/strikes").is_none_or(|strikes| strikes == 0), "{shown}");
    }
    Ok(())
}
