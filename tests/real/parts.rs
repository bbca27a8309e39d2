//! Jobs of several parts: arrays and heterogeneous jobs.

use crate::case::{BOOT_SECONDS, Case, ensure_contains};
use anyhow::{Context, Result, ensure};
use std::fs;
use tests::product::check;

const SHOW: &str = "cat /sys/kernel/mm/transparent_hugepage/enabled; hostname";

/// A heterogeneous job as users write it: the second component asks for another kernel.
const TWO_KERNELS: &str = "#!/bin/sh
#SBATCH --chdir=/home/alice
#SBATCH --output=/home/alice/%j.out
#SBATCH --nodes=1 --bmc-kernel=thp-off
#SBATCH hetjob
#SBATCH --nodes=1 --bmc-kernel=thp-always
srun --het-group=0 cat /sys/kernel/mm/transparent_hugepage/enabled
srun --het-group=1 cat /sys/kernel/mm/transparent_hugepage/enabled
";

/// Every task gets a node of its own with the asked kernel, and a record of its own.
pub(crate) fn array_tasks_get_their_kernel(case: &Case<'_>) -> Result<()> {
    let options = ["--array=0-1", "--output=/home/alice/%A_%a.out", "--bmc-kernel=thp-off"];
    let array = case.submit(&options, SHOW)?;
    let tasks = [format!("{array}_0"), format!("{array}_1")];
    let mut hosts = Vec::new();
    for task in &tasks {
        case.wait(task, "COMPLETED", BOOT_SECONDS)?;
        let printed = case.output(task);
        ensure_contains(&printed, "[never]")?;
        hosts.push(printed.lines().nth(1).context("no host name")?.to_owned());
        // Slurm would give what is said of the array's id to all of its tasks.
        let comment = case.cluster.check(&["squeue", "-h", "-t", "all", "-o%k", "-j", task])?;
        ensure_contains(&comment, "1 of 1 nodes ready")?;
        let record = energy_of(case, task)?;
        ensure!(record.len() == 1 && record.contains(task), "{record:?}");
    }
    ensure!(matches!(&hosts[..], [one, other] if one != other), "the tasks ran on {hosts:?}");
    let mut all = energy_of(case, &array.to_string())?;
    all.sort();
    ensure!(all == tasks, "the array's record has {all:?}");
    Ok(())
}

/// Each component gets its own kernel, from a script and from the command line; one that names
/// none gets the default, not that of the component before it.
pub(crate) fn components_get_their_kernels(case: &Case<'_>) -> Result<()> {
    let script = case.cluster.dir().join("home/alice/components.sh");
    fs::write(&script, TWO_KERNELS)?;
    let submit = |words: &[&str]| -> Result<u32> {
        let words = [&["sbatch", "--parsable"], words].concat();
        Ok(check(case.alice(&words)?)?.trim().parse()?)
    };
    let written = submit(&["/home/alice/components.sh"])?;
    let steps = "for group in 0 1; do srun --het-group=$group cat \
                 /sys/kernel/mm/transparent_hugepage/enabled; done";
    let wrap = format!("--wrap={steps}");
    let first =
        ["--nodes=1", "--bmc-kernel=thp-always", "--chdir=/", "--output=/home/alice/%j.out"];
    let typed = submit(&[&first[..], &[&wrap, ":", "--nodes=1"]].concat())?;
    for (job, expected) in [(written, ["[never]", "[always]"]), (typed, ["[always]", "[madvise]"])]
    {
        for component in [format!("{job}+0"), format!("{job}+1")] {
            case.wait(component, "COMPLETED", BOOT_SECONDS)?;
        }
        let printed = case.output(job);
        let shown: Vec<&str> = printed.lines().collect();
        ensure!(
            shown.len() == 2 && shown.iter().zip(expected).all(|(line, one)| line.contains(one)),
            "expected {expected:?}: {printed}"
        );
        let records = energy_of(case, &job.to_string())?;
        ensure!(records == [format!("{job}+0"), format!("{job}+1")], "{records:?}");
    }
    Ok(())
}

/// The references of the records that alice gets, each of which must have a total.
fn energy_of(case: &Case<'_>, job: &str) -> Result<Vec<String>> {
    let shown = check(case.alice(&["bmc", "energy", job, "--json"])?)?;
    let records: Vec<serde_json::Value> = serde_json::from_str(&shown)?;
    let reference = |record: &serde_json::Value| -> Result<String> {
        let total = record.pointer("/total_millijoules").and_then(serde_json::Value::as_i64);
        ensure!(total.is_some_and(|total| total > 0), "no energy: {record}");
        let reference = record.pointer("/reference").and_then(serde_json::Value::as_str);
        Ok(reference.context("no reference")?.to_owned())
    };
    records.iter().map(reference).collect()
}
