//! Jobs that compete for nodes, and jobs that Slurm takes off them and starts again.

use crate::case::{BOOT_SECONDS, Case, ensure_contains};
use anyhow::{Result, ensure};
use std::time::Duration;
use tests::product::wait_until;

/// The first start waits to be interrupted, the second ends by itself.
const TWICE: &str = "cat /sys/kernel/mm/transparent_hugepage/enabled; \
                     [ ${SLURM_RESTART_COUNT:-0} -gt 0 ] || sleep 100";

/// `scontrol requeue`: the second start boots the asked kernel too, and each start has its record.
pub(crate) fn requeued_job_boots_its_kernel_again(case: &Case<'_>) -> Result<()> {
    let job = case.submit(&["--bmc-kernel=thp-off", "--open-mode=append"], TWICE)?;
    wait_until(Duration::from_secs(BOOT_SECONDS), "the job has printed", || {
        Ok(case.output(job).contains("[never]"))
    })?;
    case.cluster.check(&["scontrol", "requeue", &job.to_string()])?;
    start_now(case, job)?;
    case.wait(job, "COMPLETED", BOOT_SECONDS)?;
    let printed = case.output(job);
    ensure!(printed.matches("[never]").count() == 2, "{printed}");
    case.wait_all_off()?;
    let records = case.json(&["energy", &job.to_string()])?;
    for (at, count) in [("/0/restart_count", 0), ("/1/restart_count", 1)] {
        ensure!(records.pointer(at).and_then(|n| n.as_u64()) == Some(count), "{records}");
    }
    Ok(())
}

/// Slurm itself puts a requeued job off by two minutes; a test need not wait for that.
pub(crate) fn start_now(case: &Case<'_>, job: u32) -> Result<()> {
    wait_until(Duration::from_secs(30), "the job is pending again", || {
        Ok(case.field(job, "JobState")? == "PENDING")
    })?;
    let job = format!("jobid={job}");
    case.cluster.check(&["scontrol", "update", &job, "starttime=now"])?;
    Ok(())
}

/// A job that is requeued before its nodes are up starts once, on its kernel.
pub(crate) fn requeued_while_booting(case: &Case<'_>) -> Result<()> {
    let node = case.node(1)?;
    let show = "cat /sys/kernel/mm/transparent_hugepage/enabled";
    let job = case.submit(&["-w", "n1", "--bmc-kernel=thp-always", "--open-mode=append"], show)?;
    wait_until(Duration::from_secs(60), "n1 has power", || Ok(!case.is_off(node)?))?;
    case.cluster.check(&["scontrol", "requeue", &job.to_string()])?;
    start_now(case, job)?;
    case.wait(job, "COMPLETED", BOOT_SECONDS)?;
    let printed = case.output(job);
    ensure_contains(&printed, "[always]")?;
    ensure!(printed.lines().count() == 1, "{printed}");
    Ok(())
}

/// Three jobs want the same node at once, each with another kernel: one after the other gets it,
/// and each finds its own.
pub(crate) fn one_node_never_a_wrong_kernel(case: &Case<'_>) -> Result<()> {
    let show = "cat /sys/kernel/mm/transparent_hugepage/enabled";
    let mut jobs = Vec::new();
    for (options, expected) in [
        (&["-w", "n1", "--bmc-kernel=thp-off"][..], "[never]"),
        (&["-w", "n1", "--bmc-kernel=thp-always"], "[always]"),
        (&["-w", "n1"], "[madvise]"),
    ] {
        jobs.push((case.submit(options, show)?, expected));
    }
    let mut times = Vec::new();
    for (job, expected) in jobs {
        case.wait(job, "COMPLETED", 2 * BOOT_SECONDS)?;
        ensure_contains(&case.output(job), expected)?;
        times.push((case.field(job, "StartTime")?, case.field(job, "EndTime")?));
    }
    times.sort();
    let apart = times.windows(2).all(|pair| matches!(pair, [one, next] if one.1 <= next.0));
    ensure!(apart, "two jobs had n1 at the same time: {times:?}");
    Ok(())
}

/// What a site with preemption has in slurm.conf, and a partition whose jobs come first.
const PREEMPTION: &str = "PreemptType=preempt/partition_prio\nPreemptMode=REQUEUE\n\
    PartitionName=urgent Nodes=ALL OverSubscribe=EXCLUSIVE PriorityTier=10 MaxTime=INFINITE \
    SuspendTime=31536000 State=UP\n";

/// A job of a partition with priority takes the node of another one; both find their own kernels.
pub(crate) fn preempted_job_boots_again(case: &Case<'_>) -> Result<()> {
    let managed = |client: &str| client.replace("[\"bmc\"]", "[\"bmc\", \"urgent\"]");
    let partition = |conf: &str| {
        format!(
            "{conf}\n[[partition]]\nname = \"urgent\"\ndefault_kernel = \"6.1-cloud\"\n\
             default_image = \"debian12\"\n"
        )
    };
    let result = case.with_changed(
        "etc-slurm/slurm.conf",
        |c| format!("{c}{PREEMPTION}"),
        || {
            case.with_changed("etc/client.toml", managed, || {
                case.with_changed("etc/bootsrv.toml", partition, || {
                    case.cluster.check(&["scontrol", "reconfigure"])?;
                    case.restart_bootsrv()?;
                    preempt(case)
                })
            })
        },
    );
    case.cluster.check(&["scancel", "--user=alice"])?;
    case.wait_all_off()?;
    case.cluster.check(&["scontrol", "reconfigure"])?;
    case.restart_bootsrv()?;
    result
}

fn preempt(case: &Case<'_>) -> Result<()> {
    let low = case.submit(&["-w", "n1", "--bmc-kernel=thp-off", "--open-mode=append"], TWICE)?;
    wait_until(Duration::from_secs(BOOT_SECONDS), "the first job has printed", || {
        Ok(case.output(low).contains("[never]"))
    })?;
    let show = "cat /sys/kernel/mm/transparent_hugepage/enabled";
    let urgent =
        case.submit(&["-w", "n1", "--partition=urgent", "--bmc-kernel=thp-always"], show)?;
    case.wait(urgent, "COMPLETED", BOOT_SECONDS)?;
    ensure_contains(&case.output(urgent), "[always]")?;
    ensure!(case.field(low, "Restarts")? == "1", "it was not preempted: {}", case.describe(low));
    start_now(case, low)?;
    case.wait(low, "COMPLETED", BOOT_SECONDS)?;
    let printed = case.output(low);
    ensure!(printed.matches("[never]").count() == 2, "{printed}");
    Ok(())
}
