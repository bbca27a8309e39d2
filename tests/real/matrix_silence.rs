//! Failure matrix: nodes that nobody hears of, because their cable is out or they stand still.

use crate::case::{BOOT_SECONDS, Case};
use crate::matrix_means::{
    Cue, LOADING, PLAN, ensure_unharmed, freeze, on_cue, plug, unplug_for, wait_dark, wait_reason,
};
use crate::requeue::start_now;
use anyhow::{Context, Result, ensure};
use std::time::Duration;
use tests::cluster::Node;
use tests::product::wait_until;

/// How long a cable is out that is put in again, in seconds.
const OUT: u32 = 6;

/// A cable that is out for some seconds while the kernel is loaded, and a machine that starts anew in
/// its firmware, cost nothing. A cable that stays out and a machine that stands still fail the boot,
/// each with its own reason.
pub(crate) fn silent_while_booting(case: &Case<'_>) -> Result<()> {
    let [shortly, unplugged, frozen, again] =
        [case.node(1)?, case.node(2)?, case.node(3)?, case.node(4)?];
    let out = |node: Node| plug(case, node, false);
    let cues = [
        Cue { node: shortly, text: LOADING, then: &|node| unplug_for(case, node, OUT) },
        Cue { node: unplugged, text: PLAN, then: &out },
        Cue { node: frozen, text: LOADING, then: &|node| freeze(case, node) },
        Cue {
            node: again,
            text: "SeaBIOS",
            then: &|node| {
                case.cluster.ipmitool(node, &["chassis", "power", "reset"])?;
                Ok(())
            },
        },
    ];
    let on = |node: Node| case.submit(&["-w", &node.to_string()], "hostname");
    let submit = || Ok([on(shortly)?, on(again)?, on(unplugged)?, on(frozen)?]);
    let failed = || -> Result<()> {
        let [first, second, ..] = on_cue(case, &cues, submit)?;
        for (job, node) in [(first, shortly), (second, again)] {
            case.wait(job, "COMPLETED", BOOT_SECONDS)?;
            ensure!(case.output(job).trim() == node.to_string(), "{}", case.output(job));
            ensure_unharmed(case, job, &[node])?;
        }
        wait_reason(case, unplugged, "booted, but slurmd did not start within 40 s", 90)?;
        let late = "loaded its boot script, but its kernel did not report within 60 s";
        wait_reason(case, frozen, late, 120)?;
        [unplugged, frozen].iter().try_for_each(|node| wait_dark(case, *node, 60))
    }();
    plug(case, shortly, true)?;
    plug(case, unplugged, true)?;
    failed
}

/// Slurm gives silent nodes up after this long here, in seconds.
const SLURMD_TIMEOUT: u32 = 20;

/// One node loses its cable under its job, another one its power: each job goes on elsewhere, and both
/// nodes end off and out of use.
pub(crate) fn lost_under_their_jobs(case: &Case<'_>) -> Result<()> {
    let shorter =
        |conf: &str| conf.replace("SlurmdTimeout=120", &format!("SlurmdTimeout={SLURMD_TIMEOUT}"));
    let result = case.with_changed("etc-slurm/slurm.conf", shorter, || {
        case.cluster.check(&["scontrol", "reconfigure"])?;
        let result = lose_two(case);
        case.cluster.nodes().try_for_each(|node| plug(case, node, true))?;
        result
    });
    case.cluster.check(&["scontrol", "reconfigure"])?;
    result
}

fn lose_two(case: &Case<'_>) -> Result<()> {
    let script = "test $SLURM_RESTART_COUNT && cat /proc/sys/kernel/hostname || sleep 300";
    let jobs = [case.submit(&["--requeue"], script)?, case.submit(&["--requeue"], script)?];
    let node_of = |job| {
        case.wait(job, "RUNNING", BOOT_SECONDS)?;
        let name = case.field(job, "NodeList")?;
        case.cluster.nodes().find(|node| node.to_string() == name).context(name)
    };
    let lost = [node_of(jobs[0])?, node_of(jobs[1])?];
    let [unplugged, dark] = lost;
    plug(case, unplugged, false)?;
    case.cluster.ipmitool(dark, &["chassis", "power", "off"])?;
    for node in &lost {
        wait_until(Duration::from_secs(120), &format!("{node} is DOWN"), || {
            Ok(case.slurm_node(*node)?.contains("State=DOWN"))
        })?;
    }
    for (job, node) in jobs.into_iter().zip(&lost) {
        start_now(case, job)?;
        case.wait(job, "COMPLETED", 2 * BOOT_SECONDS)?;
        let ran_on = case.output(job);
        let elsewhere = !ran_on.trim().is_empty() && ran_on.trim() != node.to_string();
        ensure!(elsewhere, "job {job} ran on {ran_on:?} again");
    }
    lost.iter().try_for_each(|node| {
        wait_dark(case, *node, 90).with_context(|| case.slurm_node(*node).unwrap_or_default())?;
        // Nothing says that it is well.
        let shown = case.slurm_node(*node)?;
        ensure!(shown.contains("State=DOWN"), "{node} may be used again: {shown}");
        Ok(())
    })
}
