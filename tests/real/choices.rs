//! Where a choice is made: command line, script, environment, and inside an allocation.

use crate::case::{BOOT_SECONDS, Case, ensure_contains};
use anyhow::{Context, Result, ensure};
use std::fs;
use tests::product::check;

const SHOW: &str = "cat /sys/kernel/mm/transparent_hugepage/enabled";

/// `salloc` boots what its command line names, not its environment form; a step cannot choose
/// another kernel.
pub(crate) fn salloc_boots_and_its_steps_stay(case: &Case<'_>) -> Result<()> {
    let steps = format!(
        "srun {SHOW}; srun --bmc-kernel=thp-always true; echo code $?; srun --bmc-kernel=thp-off echo same"
    );
    let output = case.alice(&[
        "env",
        "SALLOC_BMC_KERNEL=thp-always",
        "salloc",
        "--nodes=1",
        "--chdir=/",
        "--bmc-kernel=thp-off",
        "sh",
        "-c",
        &steps,
    ])?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let printed = check(output)?;
    ensure_contains(&printed, "[never]")?;
    ensure!(printed.contains("code 1") && printed.contains("same"), "{printed}{said}");
    ensure_contains(&said, "--bmc-kernel=thp-always: a step runs on what its job has booted")
}

/// Command line over `#SBATCH` over environment: seen in the environment that slurmctld keeps of a
/// held job, and on a node where the script wins over the environment.
pub(crate) fn command_line_over_script_over_environment(case: &Case<'_>) -> Result<()> {
    let submit = |name: &str, variables: &[&str], options: &[&str], lines: &str| -> Result<u32> {
        let path = case.cluster.dir().join("home/alice").join(name);
        fs::write(&path, format!("#!/bin/sh\n{lines}{SHOW}\n"))?;
        let script = format!("/home/alice/{name}");
        let sbatch = ["sbatch", "--parsable", "--chdir=/", "--output=/home/alice/%j.out"];
        let words = [&["env"], variables, &sbatch, options, &[&script]].concat();
        Ok(check(case.alice(&words)?)?.trim().parse()?)
    };
    let (variable, line) = ("SBATCH_BMC_KERNEL=thp-off", "#SBATCH --bmc-kernel=thp-always\n");
    let runs = submit("script.sh", &[variable], &[], line)?;
    let held = |name, variables: &[&str], options: &[&str], lines| -> Result<Option<String>> {
        let job = submit(name, variables, &[&["--hold"], options].concat(), lines)?;
        let chosen = kept_choice(case, job);
        case.cluster.check(&["scancel", &job.to_string()])?;
        chosen
    };
    let typed = ["--bmc-kernel=rfs-on"];
    let others = ["SALLOC_BMC_KERNEL=thp-off", "SRUN_BMC_KERNEL=thp-off"];
    for (chosen, expected) in [
        (held("all.sh", &[variable], &typed, line)?, Some("rfs-on")),
        (held("both.sh", &[], &typed, line)?, Some("rfs-on")),
        (held("line.sh", &[variable], &[], line)?, Some("thp-always")),
        (held("variable.sh", &[variable], &[], "")?, Some("thp-off")),
        (held("others.sh", &others, &[], "")?, None),
        // Inside a job, and of that job: a new job chooses anew.
        (held("inner.sh", &["SLURM_JOB_ID=7", "BMC_KERNEL=thp-off"], &[], "")?, None),
    ] {
        ensure!(chosen.as_deref() == expected, "{chosen:?} instead of {expected:?}");
    }
    case.wait(runs, "COMPLETED", BOOT_SECONDS)?;
    ensure_contains(&case.output(runs), "[always]")
}

/// `BMC_KERNEL` of a job as slurmctld has saved it.
fn kept_choice(case: &Case<'_>, job: u32) -> Result<Option<String>> {
    let path = format!("spool/slurmctld/hash.{}/job.{job}/environment", job % 10);
    let path = case.cluster.dir().join(path);
    let saved = fs::read(&path).with_context(|| path.display().to_string())?;
    ensure!(saved.len() > 100, "{} is too short to be an environment", path.display());
    let variable = saved.split(|byte| *byte == 0).find_map(|one| {
        // The first one stands behind the length of the list.
        let text = String::from_utf8_lossy(one);
        text.split_once("BMC_KERNEL=")
            .filter(|(before, _)| !before.ends_with('_'))
            .map(|v| v.1.to_owned())
    });
    Ok(variable)
}
