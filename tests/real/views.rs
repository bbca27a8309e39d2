//! What people look at and switch by hand: lists, a boot while it happens, a node without a job.

use crate::case::{BOOT_SECONDS, Case, ensure_contains};
use anyhow::{Context, Result, ensure};
use std::collections::BTreeSet;
use std::process::Stdio;
use std::time::Duration;
use tests::cluster::Node;
use tests::product::{bmc, check, wait_until};

/// `=help` and `=list` in each command, for both options: a table, and nothing is submitted.
pub(crate) fn choices_are_listed(case: &Case<'_>) -> Result<()> {
    for command in ["sbatch", "srun", "salloc"] {
        for word in ["help", "list"] {
            let kernels = check(case.alice(&[command, &format!("--bmc-kernel={word}")])?)?;
            let images = check(case.alice(&[command, &format!("--bmc-image={word}")])?)?;
            let begins = |words: [&str; 2]| {
                kernels.lines().any(|line| line.split_whitespace().zip(words).all(|(a, b)| a == b))
            };
            ensure!(begins(["KERNEL", "DESCRIPTION"]), "{command} {word}: {kernels}");
            ensure!(begins(["*", "6.1-cloud"]) && begins(["thp-off", "transparent"]), "{kernels}");
            ensure!(!kernels.contains("only-for-bob"), "alice is shown what is bob's: {kernels}");
            ensure_contains(&images, "\n* debian12  node image, ")?;
        }
    }
    let bobs = check(case.cluster.run("bob", &["sbatch", "--bmc-kernel=list"])?)?;
    ensure!(bobs.contains("\n  only-for-bob ") && bobs.contains(" open to one user\n"), "{bobs}");
    let queue = case.cluster.check(&["squeue", "--noheader"])?;
    ensure!(queue.is_empty(), "a list was submitted: {queue}");
    Ok(())
}

/// A boot as its user sees it (`bmc status --watch`, the comment in squeue) and its admin (the
/// console); beside it, on n3, a boot without a job.
pub(crate) fn a_boot_is_seen(case: &Case<'_>) -> Result<()> {
    let node = case.node(3)?;
    let said = check(bmc(case.cluster, &["node", "boot", "n3", "--kernel", "6.12-cloud"])?)?;
    ensure_contains(&said, "n3 boots")?;
    let job = case.submit(&["-w", "n1", "--bmc-kernel=thp-off"], "sleep 3")?;
    let number = job.to_string();
    let registered = || Ok(case.field(job, "JobState")? != "PENDING");
    wait_until(Duration::from_secs(30), "the job is allocated", registered)?;
    // bootsrv knows the job when prolog has asked.
    let known = || Ok(case.alice(&["bmc", "status", &number])?.status.success());
    wait_until(Duration::from_secs(30), "bootsrv knows the job", known)?;
    let watch = case
        .cluster
        .command("alice", &["bmc", "status", &number, "--watch"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut comments = BTreeSet::new();
    wait_until(Duration::from_secs(BOOT_SECONDS), "the job runs", || {
        comments.insert(check(case.alice(&["squeue", "-h", "-o%T %k", "-j", &number])?)?);
        Ok(case.field(job, "JobState")? == "RUNNING")
    })?;
    let progress = "CONFIGURING [bare-metal container] 0 of 1 nodes ready, n1 ";
    let steps = comments.iter().filter(|comment| comment.starts_with(progress)).count();
    ensure!(steps >= 2, "the comment did not tell of the boot: {comments:?}");

    check_boot_without_job(case, node)?;
    case.wait(job, "COMPLETED", 60)?;
    let watched = watch.wait_with_output().context("waiting for bmc status --watch")?;
    // However wide the columns are.
    let watched = check(watched)?.split_whitespace().collect::<Vec<_>>().join(" ");
    for text in [
        "try 1: booting user alice, partition bmc, kernel thp-off, image debian12 NODE",
        " DETAIL n1 starting ",
        "try 1: ready ",
        " DETAIL n1 settling ",
        "try 1: ended ",
        " job_started ",
        "/sys/kernel/mm/transparent_hugepage/enabled always madvise [never] n1",
    ] {
        ensure_contains(&watched, text)?;
    }
    let console = check(bmc(case.cluster, &["node", "console", "n1"])?)?;
    ensure_contains(&console, "node-agent")
}

/// Slurm has the node with the kernel that was named; then it is switched off by hand.
fn check_boot_without_job(case: &Case<'_>, node: Node) -> Result<()> {
    let shown = || case.json(&["node", "show", &node.to_string()]);
    wait_until(Duration::from_secs(BOOT_SECONDS), &format!("{node} is ready"), || {
        Ok(shown()?.pointer("/state").is_some_and(|state| state == "ready"))
    })?;
    ensure!(shown()?.pointer("/job").is_some_and(serde_json::Value::is_null), "{}", shown()?);
    ensure_contains(&case.slurm_node(node)?, "OS=Linux 6.12.")?;
    let name = node.to_string();
    let asked = check(bmc(case.cluster, &["node", "power", &name, "status"])?)?;
    ensure_contains(&asked, &format!("{node}: power is on, "))?;
    check(bmc(case.cluster, &["node", "power", &name, "off", "--yes"])?)?;
    wait_until(Duration::from_secs(30), &format!("{node} is off"), || case.is_off(node))
}

/// A node in maintenance is drained with that reason and gets no job, until it is ended.
pub(crate) fn maintenance_keeps_a_node_out(case: &Case<'_>) -> Result<()> {
    let node = case.node(2)?;
    let words = ["node", "maintenance", "n2"];
    let bmc = |more: &[&str]| check(bmc(case.cluster, &[&words, more].concat())?);
    ensure_contains(&bmc(&["--reason", "fan 3"])?, "n2 is kept out of use: fan 3")?;
    let in_slurm = |reason: &str| {
        let limit = Duration::from_secs(10);
        wait_until(limit, &format!("n2's reason is {reason:?}"), || {
            let shown = case.reason(node)?;
            Ok(shown.split(" [").next() == Some(reason))
        })
    };
    in_slurm("maintenance: fan 3")?;
    let job = case.submit(&["-w", "n2"], "true")?;
    std::thread::sleep(Duration::from_secs(4));
    let state = case.field(job, "JobState")?;
    ensure!(state == "PENDING" && case.is_off(node)?, "{}", case.describe(job));
    ensure_contains(&bmc(&["--end"])?, "n2 may be used again")?;
    in_slurm("")?;
    wait_until(Duration::from_secs(60), "the job gets n2", || {
        Ok(case.field(job, "JobState")? == "CONFIGURING")
    })
}
