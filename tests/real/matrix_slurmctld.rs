//! Failure matrix: slurmctld and its programs are killed.

use crate::case::{BOOT_SECONDS, Case, ensure_contains};
use crate::matrix_means::{ensure_unharmed, wait_state};
use anyhow::{Context, Result, ensure};
use std::fs;
use std::thread::sleep;
use std::time::Duration;
use tests::product::wait_until;

pub(crate) const SHOW_THP: &str = "cat /sys/kernel/mm/transparent_hugepage/enabled";

/// slurmctld writes down what has happened within five seconds; what it forgets when it is killed before
/// is Slurm's own loss.
pub(crate) const WRITTEN_DOWN: Duration = Duration::from_secs(6);

/// SIGKILL while a node boots, and while its job runs; an ordinary restart while it is powered off: the
/// job runs once, on its kernel, and its node ends off.
pub(crate) fn slurmctld_is_killed_at_each_stage(case: &Case<'_>) -> Result<()> {
    let node = case.node(1)?;
    let script = format!("{SHOW_THP}; while ! [ -e go ]; do sleep 0.2; done");
    let job = case.submit(&["-w", "n1", "--bmc-kernel=thp-off", "--open-mode=append"], &script)?;
    for states in [&["powering_on", "booting", "starting"][..], &["ready"]] {
        wait_state(case, job, states, BOOT_SECONDS)?;
        sleep(WRITTEN_DOWN);
        restart_slurmctld(case, "KILL")?;
    }
    case.wait(job, "RUNNING", BOOT_SECONDS)?;
    wait_until(Duration::from_secs(30), "the job has printed", || {
        Ok(case.output(job).contains("[never]"))
    })?;
    let go = case.cluster.dir().join("home/alice/go");
    fs::write(&go, "")?;
    wait_state(case, job, &["ended", "powering_off", "settling"], BOOT_SECONDS)?;
    restart_slurmctld(case, "TERM")?;
    fs::remove_file(go)?;
    case.wait(job, "COMPLETED", 60)?;
    case.wait_all_off()?;
    ensure!(case.output(job).lines().count() == 1, "it ran twice: {}", case.output(job));
    ensure_unharmed(case, job, &[node])
}

fn restart_slurmctld(case: &Case<'_>, signal: &str) -> Result<()> {
    case.cluster.stop_service("slurmctld", signal)?;
    Ok(case.cluster.start_service("slurmctld")?)
}

/// SIGKILL to our PrologSlurmctld, which Slurm 22.05 takes for an end as any other: the job starts when
/// its node has registered, and the node goes off after it although nobody has marked it.
pub(crate) fn prolog_is_killed(case: &Case<'_>) -> Result<()> {
    let node = case.node(2)?;
    let job = case.submit(&["-w", "n2", "--bmc-kernel=thp-off"], SHOW_THP)?;
    wait_state(case, job, &["booting", "starting"], BOOT_SECONDS)?;
    // No other job waits for its nodes here.
    case.cluster.check(&["pkill", "-KILL", "-x", "prolog"])?;
    case.wait(job, "COMPLETED", BOOT_SECONDS)?;
    ensure_contains(&case.output(job), "[never]")?;
    case.wait_all_off()?;
    ensure_unharmed(case, job, &[node])
}

/// Slurm's patience is shorter than a boot: the job is held after its tries with the setting's name, no node
/// is blamed, and once the setting is mended and the job released, it runs.
pub(crate) fn resume_timeout_is_too_short(case: &Case<'_>) -> Result<()> {
    let short = |text: &str| {
        let change = |line: &str| {
            if line.starts_with("ResumeTimeout=") { "ResumeTimeout=3" } else { line }.to_owned()
        };
        text.lines().map(change).collect::<Vec<_>>().join("\n") + "\n"
    };
    let job = case.with_changed("etc-slurm/bare-metal-container.conf", short, || {
        case.cluster.check(&["scontrol", "reconfigure"])?;
        let job = case.submit(&["--bmc-kernel=thp-off"], SHOW_THP)?;
        wait_until(Duration::from_secs(150), "the job is held", || {
            // Not after the two minutes that Slurm waits; refused while the prolog runs.
            let number = format!("jobid={job}");
            case.cluster.run("root", &["scontrol", "update", &number, "starttime=now"])?;
            Ok(case.field(job, "Priority")? == "0" && case.field(job, "JobState")? == "PENDING")
        })
        .with_context(|| case.describe(job))?;
        Ok(job)
    });
    case.cluster.check(&["scontrol", "reconfigure"])?;
    let job = job?;
    let comment = case.comment(job)?;
    ensure_contains(&comment, "held after 3 tries: ")?;
    ensure_contains(&comment, "did not register within Slurm's ResumeTimeout: slurm-conf check")?;
    case.cluster.check(&["scontrol", "release", &job.to_string()])?;
    case.wait(job, "COMPLETED", BOOT_SECONDS)?;
    ensure_contains(&case.output(job), "[never]")?;
    wait_until(Duration::from_secs(90), "all nodes are back in service", || {
        let shown = case.cluster.check(&["sinfo", "--noheader", "-N", "--format=%t"])?;
        Ok(shown.lines().all(|state| state == "idle~"))
    })
    .with_context(|| case.cluster.check(&["sinfo", "-N", "-l"]).unwrap_or_default())?;
    let listed = case.json(&["node", "list"])?;
    let strikes = listed.as_array().into_iter().flatten().filter_map(|node| node.get("strikes"));
    ensure!(strikes.into_iter().all(|count| count == 0), "a node is blamed: {listed}");
    Ok(())
}
