//! Programs that are killed at bad moments.

use crate::case::{BOOT_SECONDS, Case, ensure_contains};
use anyhow::{Result, ensure};
use std::time::Duration;
use tests::product::wait_until;

const SHOW_THP: &str = "cat /sys/kernel/mm/transparent_hugepage/enabled";

/// SIGKILL while the node boots: the job starts all the same, and a hole in the readings is marked.
pub(crate) fn bootsrv_is_killed_while_booting(case: &Case<'_>) -> Result<()> {
    let node = case.node(1)?;
    let job = case.submit(&["-w", "n1", "--bmc-kernel=thp-off"], SHOW_THP)?;
    wait_until(Duration::from_secs(60), "n1 has power", || Ok(!case.is_off(node)?))?;
    std::thread::sleep(Duration::from_secs(1));
    case.cluster.stop_service("bootsrv", "KILL")?;
    std::thread::sleep(Duration::from_secs(8));
    case.cluster.start_service("bootsrv")?;
    case.wait(job, "COMPLETED", BOOT_SECONDS)?;
    ensure_contains(&case.output(job), "[never]")?;
    case.wait_all_off()?;
    let record = case.json(&["energy", &job.to_string()])?;
    let gaps =
        record.pointer("/0/nodes/0/gaps").and_then(|gaps| gaps.as_array()).map_or(0, Vec::len);
    ensure!(gaps > 0, "eight seconds without readings are not marked: {record}");
    Ok(())
}

/// slurmctld kills and reruns PrologSlurmctld when it restarts.
pub(crate) fn slurmctld_restarts_while_prolog_waits(case: &Case<'_>) -> Result<()> {
    let node = case.node(1)?;
    let job = case.submit(&["-w", "n1", "--bmc-kernel=thp-always"], SHOW_THP)?;
    wait_until(Duration::from_secs(60), "n1 has power", || Ok(!case.is_off(node)?))?;
    case.cluster.stop_service("slurmctld", "TERM")?;
    case.cluster.start_service("slurmctld")?;
    case.wait(job, "COMPLETED", BOOT_SECONDS)?;
    ensure_contains(&case.output(job), "[always]")?;
    case.wait_all_off()
}
