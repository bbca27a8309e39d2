//! Jobs that go well.

use crate::case::{BOOT_SECONDS, Case, ensure_contains};
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::Path;
use std::time::Instant;
use tests::product::check;

const SHOW_THP: &str =
    "cat /sys/kernel/mm/transparent_hugepage/enabled; uname -nr; env | grep ^BMC_ || true";

/// Two jobs by a plain user, two profiles of one kernel, and the default beside them.
pub(crate) fn two_kernels(case: &Case<'_>) -> Result<()> {
    let off = case.submit(&["--bmc-kernel=thp-off"], SHOW_THP)?;
    let always = case.submit(&["--bmc-kernel=thp-always"], SHOW_THP)?;
    let default = case.submit(&[], SHOW_THP)?;
    for (job, expected) in [(off, "[never]"), (always, "[always]"), (default, "[madvise]")] {
        case.wait(job, "COMPLETED", BOOT_SECONDS)?;
        let printed = case.output(job);
        ensure_contains(&printed, expected)?;
        ensure_contains(&printed, "-cloud-amd64")?;
    }
    ensure_contains(&case.output(off), "BMC_KERNEL=thp-off")?;
    case.wait_all_off()
}

/// Another release, and the real-time kernel.
pub(crate) fn other_release(case: &Case<'_>) -> Result<()> {
    let new = case.submit(&["--bmc-kernel=6.12-cloud"], "uname -r; ls /usr/lib/modules")?;
    let realtime = case.submit(&["--bmc-kernel=6.1-rt"], "uname -rv; cat /sys/kernel/realtime")?;
    case.wait(new, "COMPLETED", BOOT_SECONDS)?;
    ensure_contains(&case.output(new), "6.12.")?;
    case.wait(realtime, "COMPLETED", BOOT_SECONDS)?;
    ensure_contains(&case.output(realtime), "PREEMPT_RT")?;
    ensure!(case.output(realtime).trim_end().ends_with('1'), "{}", case.output(realtime));
    Ok(())
}

/// One job on two nodes, with a step on both.
pub(crate) fn two_nodes_at_once(case: &Case<'_>) -> Result<()> {
    let script = "srun sh -c 'echo $(hostname) $(cat /sys/kernel/mm/transparent_hugepage/enabled)'";
    let printed = case.run(&["-N2", "--bmc-kernel=thp-off"], script)?;
    let hosts: Vec<&str> = printed.lines().filter(|line| line.contains("[never]")).collect();
    ensure!(matches!(hosts[..], [one, other] if one != other), "{printed}");
    Ok(())
}

/// srun waits for the boot; inside an allocation another kernel is refused with a sentence.
pub(crate) fn srun_interactively(case: &Case<'_>) -> Result<()> {
    let step = "cat /sys/kernel/mm/transparent_hugepage/enabled";
    let output = case.alice(&["srun", "--chdir=/", "--bmc-kernel=thp-always", "sh", "-c", step])?;
    ensure_contains(&check(output)?, "[always]")?;
    let script =
        "srun --bmc-kernel=thp-off true 2>&1; echo code $?; srun --bmc-kernel=thp-always echo same";
    let printed = case.run(&["--bmc-kernel=thp-always"], script)?;
    ensure!(!printed.contains("code 0"), "another kernel was accepted in a step: {printed}");
    ensure_contains(&printed, "same")
}

/// A node that was powered off is allocatable at once, not after SuspendTimeout.
pub(crate) fn queued_job_starts_at_once(case: &Case<'_>) -> Result<()> {
    let first = case.submit(&["-w", "n1", "--bmc-kernel=thp-off"], "sleep 1")?;
    let second = case.submit(&["-w", "n1", "--bmc-kernel=thp-always"], SHOW_THP)?;
    case.wait(first, "COMPLETED", BOOT_SECONDS)?;
    let start = Instant::now();
    case.wait(second, "CONFIGURING", 30).or_else(|_| case.wait(second, "RUNNING", 5))?;
    let seconds = start.elapsed().as_secs_f64();
    println!("        job over → next job allocated on the same node: {seconds:.1} s");
    case.wait(second, "COMPLETED", BOOT_SECONDS)?;
    ensure_contains(&case.output(second), "[always]")
}

/// Node, profile if any, and lines that the job must print.
type OnBase = (u8, Option<&'static str>, &'static [&'static str]);

/// What a site may give every node, by `kernel_arguments` of bootsrv.toml, and the jobs on it: each
/// shipped profile where the base has the opposite, beside a run without it. The last node has two
/// hardware threads. No base can set `rps_flow_cnt`, which is 0 until something sets it.
const BASES: [(&str, &[OnBase]); 2] = [
    (
        r#""transparent_hugepage=always", "sysctl.net.core.rps_sock_flow_entries=32768""#,
        &[
            (4, None, &["thp [always] madvise never", "flows 32768 0", "cpus 0-1"]),
            (1, Some("thp-off"), &["thp always madvise [never]"]),
            (2, Some("rfs-off"), &["flows 0 0"]),
        ],
    ),
    (
        r#""transparent_hugepage=never""#,
        &[
            (3, None, &["thp always madvise [never]", "flows 0 0"]),
            (1, Some("thp-always"), &["thp [always] madvise never"]),
            (2, Some("rfs-on"), &["flows 32768 4096"]),
            (4, Some("smt-off"), &["cpus 0"]),
        ],
    ),
];

const SHOW_SETTINGS: &str = "echo thp $(cat /sys/kernel/mm/transparent_hugepage/enabled); \
    echo flows $(cat /proc/sys/net/core/rps_sock_flow_entries \
    /sys/class/net/eth0/queues/rx-0/rps_flow_cnt); \
    echo cpus $(cat /sys/devices/system/cpu/online)";

/// Each shipped profile, on a node whose base has the opposite, read by a job.
pub(crate) fn settings_are_effective(case: &Case<'_>) -> Result<()> {
    let path = case.cluster.dir().join("etc/bootsrv.toml");
    let usual = fs::read_to_string(&path)?;
    let result = BASES.iter().try_for_each(|(arguments, jobs)| {
        let base = usual.replacen(r#""transparent_hugepage=madvise""#, arguments, 1);
        ensure!(base != usual, "the base is written another way now: {usual}");
        restart_with(case, &path, &base)?;
        on_base(case, jobs).with_context(|| format!("on the base {arguments}"))
    });
    restart_with(case, &path, &usual)?;
    result
}

fn restart_with(case: &Case<'_>, path: &Path, config: &str) -> Result<()> {
    case.wait_all_off()?;
    fs::write(path, config)?;
    case.restart_bootsrv()
}

fn on_base(case: &Case<'_>, jobs: &[OnBase]) -> Result<()> {
    let submit = |(node, profile, expected): &OnBase| {
        let options = [format!("--nodelist=n{node}")].into_iter();
        let options = options.chain(profile.map(|name| format!("--bmc-kernel={name}")));
        let options: Vec<String> = options.collect();
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        Ok((case.submit(&options, SHOW_SETTINGS)?, *expected))
    };
    let jobs = jobs.iter().map(submit).collect::<Result<Vec<_>>>()?;
    for (job, expected) in jobs {
        case.wait(job, "COMPLETED", BOOT_SECONDS)?;
        let printed = case.output(job);
        for line in expected {
            ensure!(printed.lines().any(|one| one == *line), "job {job}: no {line:?}: {printed}");
        }
    }
    Ok(())
}
