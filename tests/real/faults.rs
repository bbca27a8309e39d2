//! Nodes that fail, each in its own way.

use crate::case::{BOOT_SECONDS, Case, ensure_contains};
use crate::web::artifacts_of;
use anyhow::{Context, Result, ensure};
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;
use tests::cluster::Fault;
use tests::product::wait_until;

/// Most that three faulty boots and a good one may take, in seconds: Slurm itself waits two
/// minutes after a failed prolog unless it is told not to.
const LONG: u64 = 600;

/// How the reason of a node begins that takes the command and does nothing.
const STAYS_OFF: &str = "stays off: its controller accepted power-on, but 12 s later";

/// Each bad node is drained with its own reason, and the job runs on the good one.
pub(crate) fn bad_nodes_are_drained(case: &Case<'_>) -> Result<()> {
    let faults = [
        (1, Fault::IgnorePower, [STAYS_OFF, ""]),
        (2, Fault::NoBoot, ["did not ask for its boot script within 30 s of power-on", ""]),
        (3, Fault::Panic, ["asked for its boot script again before ", "Kernel panic"]),
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
        ensure_contains(&case.slurm_node(node)?, "DRAIN")?;
        let [begin, console] = expected;
        let reason = case.reason(node)?;
        ensure!(reason.starts_with(begin) && reason.contains(console), "{node}: {reason:?}");
    }
    Ok(())
}

/// Every node is bad: the job is held with a sentence, after at most three tries.
pub(crate) fn all_nodes_bad_holds_the_job(case: &Case<'_>) -> Result<()> {
    for node in case.cluster.nodes() {
        case.cluster.fault(node, Fault::IgnorePower)?;
    }
    let job = case.submit(&[], "true")?;
    let comment = case.wait_held(job, LONG)?;
    ensure_contains(&comment, "[bare-metal container] held after 3 tries: ")?;
    ensure_contains(&comment, STAYS_OFF)?;
    let restarts: u32 = case.field(job, "Restarts")?.parse()?;
    ensure!(restarts <= 3, "{restarts} restarts");
    Ok(())
}

/// One bit of a module tree is wrong where bootsrv keeps it: the node sees it and boots nothing.
pub(crate) fn damaged_artifact_is_refused(case: &Case<'_>) -> Result<()> {
    let [_, _, sha256] = artifacts_of(case, "6.12-cloud")?;
    let artifact = case.cluster.dir().join("state/artifacts").join(&sha256);
    flip_a_bit(&artifact)?;
    let refused = || {
        let node = case.node(2)?;
        let job = case.submit(&["-w", "n2", "--bmc-kernel=6.12-cloud"], "echo ran")?;
        let expected = format!("artifact {sha256} has the wrong content");
        wait_until(Duration::from_secs(BOOT_SECONDS), "n2 refuses it", || {
            Ok(case.reason(node)?.contains(&expected))
        })
        .with_context(|| case.describe(job))?;
        case.cluster.check(&["scancel", &job.to_string()])?;
        ensure!(case.output(job).is_empty(), "the job ran: {}", case.output(job));
        Ok(())
    };
    let result = refused();
    flip_a_bit(&artifact)?;
    result
}

/// Flips one bit in the middle of a file; a second time puts it right again.
pub(crate) fn flip_a_bit(path: &Path) -> Result<()> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    let middle = file.metadata()?.len() / 2;
    let mut byte = [0];
    file.read_exact_at(&mut byte, middle)?;
    Ok(file.write_all_at(&[byte[0] ^ 1], middle)?)
}
