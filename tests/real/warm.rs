//! Nodes that stay on after their job: the next one gets them as they are, by kexec, or after a power
//! cycle.

use crate::case::{BOOT_SECONDS, Case, ensure_contains};
use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;
use std::time::Duration;
use tests::product::wait_until;

/// What a job sees of the boot it runs in.
const BOOT: &str = "cat /proc/sys/kernel/random/boot_id /sys/kernel/mm/transparent_hugepage/enabled \
                    /proc/cmdline";

/// How long idle nodes stay on here, in seconds: Slurm begins to power down a little later.
const IDLE_SECONDS: u32 = 40;

/// With the partition's nodes staying on, in Slurm and in bootsrv, as `slurm-conf generate` writes it.
pub(crate) fn staying_on(case: &Case<'_>, body: impl FnOnce() -> Result<()>) -> Result<()> {
    let fragment = "etc-slurm/bare-metal-container.conf";
    let of_slurm = |text: &str| {
        text.replace("SuspendTime=31536000", &format!("SuspendTime={IDLE_SECONDS}"))
            .replace("ReturnToService=2", "ReturnToService=2\nSlurmdTimeout=600")
    };
    let result = case.with_changed(fragment, of_slurm, || {
        case.cluster.check(&["scontrol", "reconfigure"])?;
        let of_bootsrv = |text: &str| text.replace("\"off\"", "\"stay_on\"");
        case.with_changed("etc/bootsrv.toml", of_bootsrv, || {
            case.restart_bootsrv()?;
            let result = body();
            // What still stays on must be off before the partition is another kind again.
            let off = ["scontrol", "update", "nodename=ALL", "state=power_down"];
            case.cluster.check(&off)?;
            let at_rest = case.wait_all_off();
            result.and(at_rest)
        })
    });
    case.cluster.check(&["scontrol", "reconfigure"])?;
    case.restart_bootsrv()?;
    result
}

/// The marks of a job's only node, by name.
fn marks(case: &Case<'_>, job: u32) -> Result<BTreeMap<String, i64>> {
    let status = case.json(&["status", &job.to_string()])?;
    let timeline = status.pointer("/nodes/0/timeline").and_then(|marks| marks.as_array());
    let timeline = timeline.with_context(|| format!("no time line in {status}"))?;
    let mark = |entry: &serde_json::Value| {
        Some((entry.get("mark")?.as_str()?.to_owned(), entry.get("unix_ns")?.as_i64()?))
    };
    Ok(timeline.iter().filter_map(mark).collect())
}

/// Runs a job on n1 as that user; gives its number and what it saw.
fn run_on_n1(case: &Case<'_>, user: &str, options: &[&str]) -> Result<(u32, String)> {
    let wrap = format!("--wrap={BOOT}");
    let output = format!("--output=/home/{user}/%j.out");
    let chdir = format!("--chdir=/home/{user}");
    let words = ["sbatch", "--parsable", "-w", "n1", &chdir, &output, &wrap];
    let words: Vec<&str> = words.into_iter().chain(options.iter().copied()).collect();
    let printed = tests::product::check(case.cluster.run(user, &words)?)?;
    let job: u32 = printed.trim().parse().with_context(|| printed.clone())?;
    case.wait(job, "COMPLETED", BOOT_SECONDS)?;
    let path = case.cluster.dir().join(format!("home/{user}/{job}.out"));
    Ok((job, std::fs::read_to_string(path)?))
}

pub(crate) fn has(case: &Case<'_>, job: u32, reached: &[&str], not_reached: &[&str]) -> Result<()> {
    let marks = marks(case, job)?;
    for mark in reached {
        ensure!(marks.contains_key(*mark), "no {mark}: {marks:?}");
    }
    for mark in not_reached {
        ensure!(!marks.contains_key(*mark), "{mark}: {marks:?}");
    }
    Ok(())
}

/// Same user and kernel: no boot. Another kernel: kexec. Another user: kexec with memory cleared. Then
/// nobody: the node goes off.
pub(crate) fn nodes_stay_on_for_the_next_job(case: &Case<'_>) -> Result<()> {
    staying_on(case, || {
        let (cold, first) = run_on_n1(case, "alice", &["--bmc-kernel=thp-off"])?;
        has(case, cold, &["power_on", "script_served"], &["take_over"])?;
        let (again, second) = run_on_n1(case, "alice", &["--bmc-kernel=thp-off"])?;
        ensure!(first == second, "not the same boot:\n{first}\n{second}");
        has(case, again, &["take_over", "job_started"], &["power_on", "script_served"])?;

        let (jumped, third) = run_on_n1(case, "alice", &["--bmc-kernel=thp-always"])?;
        ensure_contains(&third, "[always]")?;
        ensure!(third.lines().next() != first.lines().next(), "the same boot: {third}");
        let kexec = ["take_over", "jumped", "kernel_started", "slurmd_started"];
        has(case, jumped, &kexec, &["power_on", "script_served"])?;
        ensure!(!third.contains("init_on_free"), "alice's own memory needs no clearing: {third}");

        let (bobs, fourth) = run_on_n1(case, "bob", &["--bmc-kernel=thp-always"])?;
        ensure_contains(&fourth, "init_on_free=1")?;
        has(case, bobs, &kexec, &["power_on", "script_served"])?;
        let node = case.node(1)?;
        ensure!(!case.is_off(node)?, "n1 went off at once");
        wait_until(Duration::from_secs(120), "n1 goes off when nobody wants it", || {
            Ok(case.is_off(node)? && case.slurm_node(node)?.contains("POWERED_DOWN"))
        })
        .with_context(|| case.describe(bobs))
    })
}
