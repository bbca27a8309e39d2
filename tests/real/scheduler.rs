//! Slurm's scheduler is helped: jobs go to nodes that run what they ask for, and nodes boot ahead of
//! jobs that are known to start.

use crate::case::{BOOT_SECONDS, Case};
use crate::warm::{has, staying_on};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::time::Duration;
use tests::cluster::Node;
use tests::product::wait_until;

/// How long idle nodes stay on here, in seconds: a few jobs one after the other on a loaded machine.
const IDLE_SECONDS: u32 = 90;
/// Longest until slurmctld shows what bootsrv has to tell it.
const TOLD: Duration = Duration::from_secs(30);

/// With nodes that stay on and jobs that prefer them, `more` in the partition of bootsrv.toml.
fn helped(case: &Case<'_>, more: &str, body: impl FnOnce() -> Result<()>) -> Result<()> {
    let forgives = |text: &str| {
        text.replace("SchedulerParameters=", "SchedulerParameters=ignore_prefer_validation,")
    };
    let idle = |text: &str| text.replace("SuspendTime=40", &format!("SuspendTime={IDLE_SECONDS}"));
    let stay_on = "after_job = \"stay_on\"";
    let of_bootsrv = |text: &str| text.replace(stay_on, &format!("{stay_on}\nkexec = true{more}"));
    staying_on(case, || {
        case.with_changed("etc-slurm/slurm.conf", forgives, || {
            case.with_changed("etc-slurm/bare-metal-container.conf", idle, || {
                case.cluster.check(&["scontrol", "reconfigure"])?;
                case.with_changed("etc/bootsrv.toml", of_bootsrv, || {
                    case.restart_bootsrv()?;
                    body()
                })
            })
        })
    })
}

/// The features of ours that slurmctld shows for a node; `of`: `AvailableFeatures=` or the active ones.
fn ours(case: &Case<'_>, node: Node, of: &str) -> Result<Vec<String>> {
    let shown = case.slurm_node(node)?;
    let list = shown.split_whitespace().find_map(|word| word.strip_prefix(of)).unwrap_or_default();
    Ok(list.split(',').filter(|word| word.starts_with("bmc_")).map(String::from).collect())
}

fn wait_shown(case: &Case<'_>, node: Node) -> Result<Vec<String>> {
    let shown = || ours(case, node, "ActiveFeatures=");
    wait_until(TOLD, "a node shows what it runs", || Ok(!shown()?.is_empty()))?;
    shown()
}

/// Of two idle nodes the job goes to the one that runs its kernel, whatever they are called; also after
/// slurmctld has lost the features. Off, a node has none, and an admin's are still there.
pub(crate) fn jobs_go_where_their_kernel_runs(case: &Case<'_>) -> Result<()> {
    helped(case, "", || {
        let (n1, n2) = (case.node(1)?, case.node(2)?);
        let rack = ["availablefeatures=rack7", "activefeatures=rack7"];
        case.cluster.check(&["scontrol", "update", "nodename=n[1-2]", rack[0], rack[1]])?;
        let always = case.submit(&["-w", "n1", "--bmc-kernel=thp-always"], "true")?;
        let off = case.submit(&["-w", "n2", "--bmc-kernel=thp-off"], "true")?;
        case.wait(always, "COMPLETED", BOOT_SECONDS)?;
        case.wait(off, "COMPLETED", BOOT_SECONDS)?;
        ensure!(wait_shown(case, n1)? != wait_shown(case, n2)?, "two kernels, one feature");

        goes_to(case, &["--bmc-kernel=thp-off"], n2)?;
        goes_to(case, &["--bmc-kernel=thp-always"], n1)?;
        case.cluster.check(&["scontrol", "reconfigure"])?;
        case.cluster.check(&["scontrol", "update", "nodename=n[1-2]", rack[0], rack[1]])?;
        // The constraint is both nodes', so the kernel decides.
        goes_to(case, &["-C", "rack7", "--bmc-kernel=thp-off"], n2)?;

        case.cluster.check(&["scontrol", "update", "nodename=n[1-2]", "state=power_down"])?;
        case.wait_all_off()?;
        for node in [n1, n2] {
            wait_until(TOLD, "nothing is left of what a node ran", || {
                let available = ours(case, node, "AvailableFeatures=")?;
                Ok(available.is_empty() && ours(case, node, "ActiveFeatures=")?.is_empty())
            })
            .with_context(|| case.slurm_node(node).unwrap_or_default())?;
            let shown = case.slurm_node(node)?;
            ensure!(shown.contains("ActiveFeatures=rack7 "), "an admin's feature: {shown}");
        }
        Ok(())
    })
}

/// Both nodes are on for nobody: a job that names none gets the one that runs its kernel, as it is.
fn goes_to(case: &Case<'_>, options: &[&str], node: Node) -> Result<()> {
    wait_shown(case, case.node(1)?)?;
    wait_shown(case, case.node(2)?)?;
    let job = case.submit(options, "true")?;
    case.wait(job, "COMPLETED", BOOT_SECONDS)?;
    let got = case.field(job, "NodeList")?;
    ensure!(got == node.to_string(), "{got}, not {node}:\n{}", case.describe(job));
    has(case, job, &["take_over", "job_started"], &["power_on", "jumped"])
}

/// A job waits for two nodes, one of which is free: that one boots ahead, with the job's kernel, and the
/// job finds it on.
pub(crate) fn a_node_boots_ahead_of_its_job(case: &Case<'_>) -> Result<()> {
    helped(case, "\npreboot = true", || {
        let busy = case.submit(&["-w", "n1", "-t", "3", "--bmc-kernel=thp-off"], "sleep 170")?;
        case.wait(busy, "RUNNING", BOOT_SECONDS)?;
        let waits = case.submit(&["-w", "n[1-2]", "-t", "3", "--bmc-kernel=thp-off"], "true")?;
        let limit = Duration::from_secs(BOOT_SECONDS);
        let (mut seen, n2) = (Value::Null, case.node(2)?);
        wait_until(limit, "n2 is ready before there is a job on it", || {
            seen = case.json(&["node", "show", "n2"])?;
            Ok(seen.get("state").is_some_and(|state| state == "ready"))
        })
        .with_context(|| format!("{seen}\n{}", case.describe(waits)))?;
        ensure!(seen.get("job").is_none_or(Value::is_null), "{seen}");
        ensure!(case.field(waits, "JobState")? == "PENDING", "{}", case.describe(waits));
        wait_shown(case, n2)?;

        case.cluster.check(&["scancel", &busy.to_string()])?;
        case.wait(waits, "COMPLETED", BOOT_SECONDS)?;
        let status = case.json(&["status", &waits.to_string()])?;
        let nodes = status.get("nodes").and_then(Value::as_array);
        let of_n2 = |one: &&Value| one.get("node").is_some_and(|node| node == "n2");
        let of_n2 = nodes.into_iter().flatten().find(of_n2).context("n2 is not in the job")?;
        let marks = of_n2.get("timeline").and_then(Value::as_array);
        let marks: Vec<&str> = marks
            .into_iter()
            .flatten()
            .filter_map(|mark| mark.get("mark").and_then(Value::as_str))
            .collect();
        let saved = ["power_on", "script_served", "jumped"];
        ensure!(marks.contains(&"take_over"), "{marks:?}");
        ensure!(!marks.iter().any(|mark| saved.contains(mark)), "not as it was: {marks:?}");
        Ok(())
    })
}
