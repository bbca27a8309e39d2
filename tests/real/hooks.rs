//! A site's own PrologSlurmctld and EpilogSlurmctld, run by ours.

use crate::case::{BOOT_SECONDS, Case};
use anyhow::{Result, ensure};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;
use tests::product::wait_until;

/// What the site's scripts write: who ran, for which job, in which partition.
const LOG: &str = "log/slurm/site-scripts.log";
/// As the scripts see it.
const LOG_INSIDE: &str = "/var/log/slurm/site-scripts.log";
/// A partition that is not ours, on one of our nodes: its jobs only get as far as their prolog.
const FOREIGN: [&str; 6] = [
    "scontrol",
    "create",
    "partitionname=foreign",
    "nodes=n4",
    "oversubscribe=exclusive",
    "state=up",
];

/// Both run for our jobs and for foreign ones; a prolog that fails puts the job back into the queue,
/// as slurm.conf(5) says, without a boot.
pub(crate) fn site_scripts_are_chained(case: &Case<'_>) -> Result<()> {
    let add = |client: &str| {
        format!(
            "{client}\nsite_prolog = \"/etc/bare-metal-container/site-prolog\"\n\
             site_epilog = \"/etc/bare-metal-container/site-epilog\"\n"
        )
    };
    write_script(case, "site-prolog", 0)?;
    write_script(case, "site-epilog", 0)?;
    case.cluster.check(&FOREIGN)?;
    let result = case.with_changed("etc/client.toml", add, || {
        ours_and_foreign(case)?;
        failing_prolog(case)
    });
    case.cluster.check(&["scontrol", "delete", "partitionname=foreign"])?;
    result
}

fn ours_and_foreign(case: &Case<'_>) -> Result<()> {
    let foreign = case.submit(&["--partition=foreign"], "true")?;
    let ours = case.submit(&["-w", "n1", "--bmc-kernel=thp-off"], "true")?;
    wait_for(case, &format!("prolog {foreign} foreign"))?;
    case.cluster.check(&["scancel", &foreign.to_string()])?;
    wait_for(case, &format!("epilog {foreign} foreign"))?;
    case.wait(ours, "COMPLETED", BOOT_SECONDS)?;
    wait_for(case, &format!("prolog {ours} bmc"))?;
    wait_for(case, &format!("epilog {ours} bmc"))?;
    let prologs = log(case).matches(&format!("prolog {ours} ")).count();
    ensure!(prologs == 1, "the site's prolog ran {prologs} times:\n{}", log(case));
    let status = case.json(&["status", &ours.to_string()])?;
    ensure!(status.pointer("/kernel").and_then(|k| k.as_str()) == Some("thp-off"), "{status}");
    Ok(())
}

fn failing_prolog(case: &Case<'_>) -> Result<()> {
    write_script(case, "site-prolog", 1)?;
    let node = case.node(2)?;
    let job = case.submit(&["-w", "n2"], "true")?;
    wait_for(case, &format!("prolog {job} bmc"))?;
    wait_until(Duration::from_secs(30), "the job is back in the queue", || {
        Ok(case.field(job, "JobState")? == "PENDING" && case.field(job, "Restarts")? == "1")
    })?;
    ensure!(case.is_off(node)?, "n2 was powered on although the site's prolog failed");
    case.cluster.check(&["scancel", &job.to_string()])?;
    Ok(())
}

fn write_script(case: &Case<'_>, name: &str, code: u8) -> Result<()> {
    let path = case.cluster.dir().join("etc").join(name);
    let what = name.trim_start_matches("site-");
    let text = format!(
        "#!/bin/sh\necho \"{what} $SLURM_JOB_ID $SLURM_JOB_PARTITION\" >> {LOG_INSIDE}\nexit {code}\n"
    );
    fs::write(&path, text)?;
    Ok(fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?)
}

fn log(case: &Case<'_>) -> String {
    fs::read_to_string(case.cluster.dir().join(LOG)).unwrap_or_default()
}

fn wait_for(case: &Case<'_>, line: &str) -> Result<()> {
    let what = format!("the site's log has {line:?}");
    wait_until(Duration::from_secs(30), &what, || Ok(log(case).lines().any(|one| one == line)))
}
