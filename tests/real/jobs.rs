//! Jobs that go well.

use crate::case::{BOOT_SECONDS, Case, ensure_contains};
use anyhow::{Result, ensure};
use std::time::Instant;
use tests::product::{bmc, check};

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

/// A node that was powered off is allocatable at once, not after SuspendTimeout (60 s).
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

/// Each shipped profile, on a node whose base has the opposite, read by a job.
pub(crate) fn settings_are_effective(case: &Case<'_>) -> Result<()> {
    let flow =
        "cat /proc/sys/net/core/rps_sock_flow_entries /sys/class/net/eth0/queues/rx-0/rps_flow_cnt";
    let on = case.run(&["--bmc-kernel=rfs-on"], flow)?;
    let off = case.run(&["--bmc-kernel=rfs-off"], flow)?;
    ensure!(on.lines().all(|line| line != "0"), "rfs-on left {on:?}");
    ensure!(off.lines().all(|line| line == "0"), "rfs-off left {off:?}");
    // The last node has two hardware threads.
    let threads =
        "nproc --all; cat /sys/devices/system/cpu/online /sys/devices/system/cpu/smt/control";
    let last = format!("n{}", case.cluster.nodes().count());
    let both = case.run(&["-w", &last, "--exclusive"], threads)?;
    ensure_contains(&both, "0-1")?;
    let one = case.submit(&["-w", &last, "--exclusive", "--bmc-kernel=smt-off"], threads)?;
    case.wait(one, "COMPLETED", BOOT_SECONDS)?;
    let printed = case.output(one);
    ensure!(printed.lines().any(|line| line == "0"), "smt-off left {printed:?}");
    let status = check(bmc(case.cluster, &["status", &one.to_string()])?)?;
    ensure_contains(&status, &last)
}
