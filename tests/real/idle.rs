//! Nodes that boot for no job: what an admin does with scontrol, and a new default tried first.

use crate::case::{BOOT_SECONDS, Case, ensure_contains};
use anyhow::{Context, Result, ensure};
use std::time::Duration;
use tests::cluster::Node;
use tests::product::wait_until;

/// `power_up` and `scontrol reboot` boot the default kernel; a job gets the node freshly booted all
/// the same; `power_down` switches it off.
pub(crate) fn power_up_reboot_power_down(case: &Case<'_>) -> Result<()> {
    let (first, second) = (case.node(1)?, case.node(2)?);
    for node in [first, second] {
        set_state(case, node, "power_up")?;
    }
    let boot = wait_idle(case, first, "")?;
    ensure_contains(&case.slurm_node(first)?, "OS=Linux 6.1.")?;
    case.cluster.check(&["scontrol", "reboot", "ASAP", "nextstate=resume", "n1"])?;
    let again = wait_idle(case, first, &boot)?;
    let show = "cat /sys/kernel/mm/transparent_hugepage/enabled; cut -d. -f1 /proc/uptime";
    let job = case.submit(&["-w", "n1"], show)?;
    wait_idle(case, second, "")?;
    set_state(case, second, "power_down")?;
    case.wait(job, "COMPLETED", BOOT_SECONDS)?;
    ensure_contains(&case.output(job), "[madvise]")?;
    ensure!(boot_time(case, first)? != again, "the job ran in the boot before it");
    wait_until(Duration::from_secs(30), "n2 is off and allocatable", || {
        Ok(case.is_off(second)? && case.slurm_node(second)?.contains("State=IDLE+POWERED_DOWN "))
    })
}

/// Canary nodes boot the new default, the others the old one, and a choice wins over both.
pub(crate) fn canary_nodes_try_a_new_default(case: &Case<'_>) -> Result<()> {
    let add = |conf: &str| {
        let canary = "canary = { kernel = \"6.12-cloud\", nodes = \"n[1-2]\" }";
        conf.replacen("[[partition]]\n", &format!("[[partition]]\n{canary}\n"), 1)
    };
    let result = case.with_changed("etc/bootsrv.toml", add, || {
        case.restart_bootsrv()?;
        let show = "uname -r";
        let canary = case.submit(&["-w", "n1"], show)?;
        let chosen = case.submit(&["-w", "n2", "--bmc-kernel=thp-off"], show)?;
        let other = case.submit(&["-w", "n3"], show)?;
        for (job, release) in [(canary, "6.12."), (chosen, "6.1."), (other, "6.1.")] {
            case.wait(job, "COMPLETED", BOOT_SECONDS)?;
            let printed = case.output(job);
            ensure!(printed.starts_with(release), "{printed:?} instead of {release}");
        }
        Ok(())
    });
    case.restart_bootsrv()?;
    result
}

fn set_state(case: &Case<'_>, node: Node, state: &str) -> Result<()> {
    let (node, state) = (format!("nodename={node}"), format!("state={state}"));
    case.cluster.check(&["scontrol", "update", &node, &state])?;
    Ok(())
}

/// Waits until slurmctld has the node idle, from another boot than that one; gives the boot's time.
fn wait_idle(case: &Case<'_>, node: Node, not: &str) -> Result<String> {
    let what = format!("{node} has booted and is idle");
    wait_until(Duration::from_secs(BOOT_SECONDS), &what, || {
        let idle = case.slurm_node(node)?.contains(" State=IDLE ");
        Ok(idle && boot_time(case, node)? != not)
    })
    .with_context(|| case.slurm_node(node).unwrap_or_default())?;
    boot_time(case, node)
}

fn boot_time(case: &Case<'_>, node: Node) -> Result<String> {
    let shown = case.slurm_node(node)?;
    let time = shown.split_whitespace().find_map(|word| word.strip_prefix("BootTime="));
    Ok(time.context("slurmctld shows no BootTime")?.to_owned())
}
