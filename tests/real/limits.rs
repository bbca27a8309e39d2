//! What users may not do, and what they may undo.

use crate::case::{BOOT_SECONDS, Case, ensure_contains, ensure_refused};
use anyhow::{Result, ensure};
use std::time::Duration;
use tests::product::{check, wait_until};

/// Refused at submit, with the nearest name.
pub(crate) fn unknown_kernel_is_refused(case: &Case<'_>) -> Result<()> {
    let submit = |options: &[&str]| {
        let words: Vec<&str> = ["sbatch", "--chdir=/"]
            .into_iter()
            .chain(options.iter().copied())
            .chain(["--wrap=true"])
            .collect();
        case.alice(&words)
    };
    ensure_refused(
        &submit(&["--bmc-kernel=thp-of"])?,
        &["thp-of", "thp-off", "--bmc-kernel=help"],
    )?;
    ensure_refused(&submit(&["--bmc-kernel=../x"])?, &["bmc-kernel"])?;
    ensure_refused(&submit(&["--bmc-image=docker://ubuntu:24.04"])?, &["application image"])?;
    ensure_refused(&submit(&["--bmc-image=nothing"])?, &["nothing", "--bmc-image=help"])?;
    let listed = check(submit(&["--bmc-kernel=help"])?)?;
    ensure_contains(&listed, "thp-off")?;
    ensure!(!listed.contains("only-for-bob"), "alice is shown what she may not use: {listed}");
    Ok(())
}

/// At submit, and again at the controller when the environment is forged.
pub(crate) fn forbidden_kernel_is_refused_twice(case: &Case<'_>) -> Result<()> {
    let refused =
        case.alice(&["sbatch", "--chdir=/", "--bmc-kernel=only-for-bob", "--wrap=true"])?;
    ensure_refused(&refused, &["only-for-bob", "not open to"])?;
    // What a user without our plugin can send: the variable our plugin would have set.
    let forged = "export _SLURM_SPANK_OPTION_bmc_bmc_kernel=only-for-bob SPANK_BMC_KERNEL=only-for-bob; \
                  sbatch --parsable --chdir=/home/alice --output=/home/alice/%j.out --wrap='uname -a'";
    let output = case.alice(&["sh", "-c", forged])?;
    let Ok(job) = String::from_utf8_lossy(&output.stdout).trim().parse::<u32>() else {
        return ensure_refused(&output, &["only-for-bob"]);
    };
    wait_until(Duration::from_secs(60), "the forged job is held or ran without its wish", || {
        let held = case.field(job, "Priority")? == "0";
        Ok(held || case.field(job, "JobState")? == "COMPLETED")
    })?;
    let view = case.json(&["status", &job.to_string()]);
    if let Ok(view) = view {
        ensure!(!view.to_string().contains("only-for-bob"), "it booted a forbidden kernel: {view}");
    }
    Ok(())
}

/// A line the kernel refuses is the job's fault: held with that line, the node is spared.
pub(crate) fn refused_setting_holds_the_job(case: &Case<'_>) -> Result<()> {
    let job = case.submit(&["--bmc-kernel=refused-setting"], "true")?;
    wait_until(Duration::from_secs(BOOT_SECONDS), "the job is held", || {
        Ok(case.field(job, "Priority")? == "0")
    })?;
    let shown = case.describe(job);
    ensure_contains(&shown, "no_such_parameter")?;
    case.wait_all_off()?;
    for node in case.cluster.nodes() {
        ensure!(
            !case.slurm_node(node)?.contains("DRAIN"),
            "{node} was drained for a user's mistake"
        );
    }
    Ok(())
}

/// scancel while booting: the node ends off and allocatable.
pub(crate) fn cancel_while_booting(case: &Case<'_>) -> Result<()> {
    let node = case.node(1)?;
    let job = case.submit(&["-w", "n1", "--bmc-kernel=thp-off"], "true")?;
    wait_until(Duration::from_secs(60), "n1 has power", || Ok(!case.is_off(node)?))?;
    case.cluster.check(&["scancel", &job.to_string()])?;
    case.wait_all_off()?;
    let next = case.run(
        &["-w", "n1", "--bmc-kernel=thp-always"],
        "cat /sys/kernel/mm/transparent_hugepage/enabled",
    )?;
    ensure_contains(&next, "[always]")
}

/// A node an admin drains during a job ends off and drained, the admin's reason untouched.
pub(crate) fn admins_drain_stays(case: &Case<'_>) -> Result<()> {
    let node = case.node(2)?;
    let job = case.submit(&["-w", "n2"], "sleep 5")?;
    case.wait(job, "RUNNING", BOOT_SECONDS)?;
    std::thread::sleep(Duration::from_secs(1));
    case.cluster.check(&[
        "scontrol",
        "update",
        "nodename=n2",
        "state=drain",
        "reason=fan broken",
    ])?;
    case.wait(job, "COMPLETED", 60)?;
    wait_until(Duration::from_secs(60), "n2 is off", || case.is_off(node))?;
    std::thread::sleep(Duration::from_secs(3));
    let shown = case.slurm_node(node)?;
    ensure_contains(&shown, "DRAIN")?;
    ensure_contains(&shown, "fan broken")
}
