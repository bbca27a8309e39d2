//! What users may not do, and what they may undo.

use crate::case::{BOOT_SECONDS, Case, ensure_contains, ensure_refused};
use anyhow::{Result, ensure};
use std::fs;
use std::time::{Duration, Instant};
use tests::product::{bmc, check, wait_until};

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
    ensure_refused(&submit(&["--bmc-image=http://ubuntu:24.04"])?, &["it begins with docker://"])?;
    ensure_refused(&submit(&["--bmc-image=nothing"])?, &["nothing", "--bmc-image=help"])?;
    let listed = check(submit(&["--bmc-kernel=help"])?)?;
    ensure_contains(&listed, "thp-off")?;
    ensure!(!listed.contains("only-for-bob"), "alice is shown what she may not use: {listed}");
    Ok(())
}

/// Nobody has this address in the provisioning network: what is sent there is never answered.
const SILENT: &str = "http://10.77.0.99:8080";

/// Refused at submit; and where submit could not ask, by the controller. A user can always have it
/// so: the plugin runs in the user's own process, and here reads a client.toml of the user's own.
pub(crate) fn forbidden_kernel_is_refused_twice(case: &Case<'_>) -> Result<()> {
    let sbatch = [
        "sbatch",
        "-v",
        "--parsable",
        "--chdir=/",
        "--output=/dev/null",
        "--bmc-kernel=only-for-bob",
        "--wrap=true",
    ];
    ensure_refused(&case.alice(&sbatch)?, &["kernel only-for-bob is not open to user alice"])?;

    let forged = format!("server = \"{SILENT}\"\npartitions = [\"bmc\"]\n");
    fs::write(case.cluster.dir().join("home/alice/forged.toml"), forged)?;
    let start = Instant::now();
    let forged = ["env", "BMC_CLIENT_CONFIG=/home/alice/forged.toml"];
    let output = case.alice(&[&forged[..], &sbatch].concat())?;
    let seconds = start.elapsed().as_secs_f64();
    ensure_contains(&String::from_utf8_lossy(&output.stderr), "accepted without a check: ")?;
    let job: u32 = check(output)?.trim().parse()?;
    // A second of the plugin's, and what sbatch itself needs on a busy machine.
    ensure!((0.9..3.0).contains(&seconds), "sbatch waited {seconds:.1} s for a silent bootsrv");

    let comment = case.wait_held(job, 60)?;
    let sentence = "[bare-metal container] kernel only-for-bob is not open to user alice. ";
    ensure!(comment.starts_with(sentence), "{comment}");
    // It never came to a boot: bootsrv has no try of it.
    ensure_refused(&bmc(case.cluster, &["status", &job.to_string()])?, &["did not use"])
}

/// A line the kernel refuses is the job's fault: held with that line, the node is spared.
pub(crate) fn refused_setting_holds_the_job(case: &Case<'_>) -> Result<()> {
    let job = case.submit(&["--bmc-kernel=refused-setting"], "true")?;
    let comment = case.wait_held(job, BOOT_SECONDS)?;
    let line = ": the kernel refused the setting sysctl kernel.no_such_parameter = 1: ";
    ensure_contains(&comment, line)?;
    case.wait_all_off()?;
    for node in case.cluster.nodes() {
        let reason = case.reason(node)?;
        ensure!(reason.is_empty(), "{node} was drained for a user's mistake: {reason}");
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
