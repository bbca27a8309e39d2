//! Words that are lost between Slurm and bootsrv, and nodes that lose their job.

use crate::case::{BOOT_SECONDS, Case, ensure_contains};
use anyhow::{Context as _, Result, ensure};
use std::thread::sleep;
use std::time::Duration;
use tests::product::wait_until;

/// bootsrv is away for longer than the hooks try: a job ends on n1, and n2 is to power up. Later
/// somebody switches n3 on. All three end off and allocatable, without anybody's help.
pub(crate) fn lost_words_are_made_good(case: &Case<'_>) -> Result<()> {
    let (one, three) = (case.node(1)?, case.node(3)?);
    let job = case.submit(&["-w", "n1", "--bmc-kernel=thp-off"], "sleep 4")?;
    case.wait(job, "RUNNING", BOOT_SECONDS)?;
    case.cluster.stop_service("bootsrv", "KILL")?;
    case.cluster.check(&["scontrol", "update", "nodename=n2", "state=power_up"])?;
    // Longer than epilog, resume and suspend go on trying.
    case.wait(job, "COMPLETED", 60)?;
    sleep(Duration::from_secs(40));
    ensure!(!case.is_off(one)?, "n1 went off without bootsrv: this case proves nothing");
    case.cluster.start_service("bootsrv")?;
    case.cluster.ipmitool(three, &["chassis", "power", "on"])?;
    wait_until(Duration::from_secs(30), "n3 has power", || Ok(!case.is_off(three)?))?;
    case.wait_all_off()?;
    let record = case.json(&["energy", &job.to_string()])?;
    let gaps = record.pointer("/0/nodes/0/gaps").and_then(|gaps| gaps.as_array());
    ensure!(gaps.is_some_and(|gaps| !gaps.is_empty()), "the hole is not marked: {record}");
    // Each may be used at once.
    case.run(&["-w", "n1,n2", "-N2"], "true").map(drop)
}

/// A node that is reset under its job: the job goes on elsewhere, the node ends off and DOWN with
/// the reason, and stays so until an admin says otherwise.
pub(crate) fn node_is_reset_in_use(case: &Case<'_>) -> Result<()> {
    let script = "test $SLURM_RESTART_COUNT && cat /proc/sys/kernel/hostname || sleep 300";
    let job = case.submit(&["--requeue"], script)?;
    case.wait(job, "RUNNING", BOOT_SECONDS)?;
    let name = case.field(job, "NodeList")?;
    let one = case.cluster.nodes().find(|node| node.to_string() == name).context(name.clone())?;
    case.cluster.ipmitool(one, &["chassis", "power", "reset"])?;
    wait_until(Duration::from_secs(90), "the node is DOWN", || {
        Ok(case.slurm_node(one)?.contains("State=DOWN"))
    })?;
    ensure_contains(&case.slurm_node(one)?, "asked for its boot script again while in use")?;
    wait_until(Duration::from_secs(60), "the node is off", || case.is_off(one))?;
    case.wait(job, "COMPLETED", BOOT_SECONDS)?;
    let ran_on = case.output(job);
    ensure!(!ran_on.trim().is_empty() && ran_on.trim() != name, "it ran on {ran_on:?} again");
    // Longer than SuspendProgram and our own comparison need to change their minds.
    sleep(Duration::from_secs(20));
    let shown = case.slurm_node(one)?;
    ensure_contains(&shown, "State=DOWN")?;
    ensure_contains(&shown, "asked for its boot script again while in use")?;
    ensure!(case.is_off(one)?, "{name} came on again");
    Ok(())
}
