//! bootsrv is away for some seconds in the middle of a boot: the job starts all the same, at its
//! first try, and no node is blamed.

use crate::case::{BOOT_SECONDS, Case, ensure_contains};
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};
use tests::product::wait_until;

const SHOW_THP: &str = "cat /sys/kernel/mm/transparent_hugepage/enabled";
/// How long bootsrv is away.
const AWAY: Duration = Duration::from_secs(5);
/// The console is looked at so often: kernel and initrd are there within a fraction of a second.
const LOOK: Duration = Duration::from_millis(5);

/// The boot script was served; kernel, initrd and token are about to be fetched.
pub(crate) fn bootsrv_is_away_while_the_kernel_loads(case: &Case<'_>) -> Result<()> {
    survives(case, "loading kernel and initrd", "script_served", "agent_started")
}

/// The agent has its plan; artifacts and secrets are about to be fetched.
pub(crate) fn bootsrv_is_away_while_the_agent_starts(case: &Case<'_>) -> Result<()> {
    survives(case, "plan received", "plan_received", "root_ready")
}

/// Kills bootsrv when the node prints `cue`; the marks show that it was away between the two.
fn survives(case: &Case<'_>, cue: &str, before: &str, after: &str) -> Result<()> {
    let node = case.node(1)?;
    let printed = || Ok::<_, anyhow::Error>(case.cluster.console(node)?.matches(cue).count());
    let known = printed()?;
    let job = case.submit(&["-w", "n1", "--bmc-kernel=thp-off"], SHOW_THP)?;
    let deadline = Instant::now() + Duration::from_secs(60);
    while printed()? == known {
        ensure!(
            Instant::now() < deadline,
            "{node} has not printed {cue:?}\n{}",
            case.describe(job)
        );
        sleep(LOOK);
    }
    case.cluster.stop_service("bootsrv", "KILL")?;
    // Marks are back-dated when a report comes through, so they are some milliseconds off.
    let middle = (SystemTime::now() + AWAY / 2).duration_since(SystemTime::UNIX_EPOCH)?.as_nanos();
    sleep(AWAY);
    case.cluster.start_service("bootsrv")?;
    case.wait(job, "COMPLETED", BOOT_SECONDS)?;
    ensure_contains(&case.output(job), "[never]")?;
    ensure!(case.field(job, "Restarts")? == "0", "another try was needed\n{}", case.describe(job));
    wait_until(Duration::from_secs(60), "no node is drained", || {
        case.cluster.nodes().try_fold(true, |all, node| {
            let shown = case.slurm_node(node)?;
            Ok(all && shown.contains("POWERED_DOWN") && !shown.contains("DRAIN"))
        })
    })?;
    let status = case.json(&["status", &job.to_string()])?;
    let (before, after) = (mark(&status, before)?, mark(&status, after)?);
    ensure!(before < middle && middle < after, "it was not away then: {middle}, {status}");
    Ok(())
}

fn mark(status: &Value, name: &str) -> Result<u128> {
    let marks = status.pointer("/nodes/0/timeline").and_then(Value::as_array);
    let found = marks.into_iter().flatten().find(|mark| mark.get("mark") == Some(&name.into()));
    let at = found.and_then(|mark| mark.get("unix_ns")?.as_u64());
    at.map(u128::from).with_context(|| format!("no mark {name} in {status}"))
}

/// A `client.toml` that nobody can read holds a job that asks for a kernel, after three tries and with
/// the mistake; repaired and released, it runs. A job that asks for nothing is not stopped.
pub(crate) fn broken_client_toml_holds_who_asks(case: &Case<'_>) -> Result<()> {
    // Accepted while the file is right.
    let asks = case.submit(&["-w", "n1", "--hold", "--bmc-kernel=thp-off"], SHOW_THP)?;
    let silent = case.submit(&["-w", "n2", "--hold"], "true")?;
    let broken = |client: &str| format!("{client}\ntypo = 1\n");
    case.with_changed("etc/client.toml", broken, || {
        for job in [asks, silent] {
            case.cluster.check(&["scontrol", "release", &job.to_string()])?;
        }
        wait_until(Duration::from_secs(90), "the job is held", || {
            // Not after the two minutes that Slurm waits; refused while the prolog runs.
            let job = format!("jobid={asks}");
            case.cluster.run("root", &["scontrol", "update", &job, "starttime=now"])?;
            Ok(case.field(asks, "Priority")? == "0" && case.field(asks, "JobState")? == "PENDING")
        })
        .with_context(|| case.describe(asks))?;
        let comment = case.comment(asks)?;
        ensure_contains(&comment, "held after 3 tries: ")?;
        ensure_contains(&comment, "client.toml")?;
        // It waits for its node, which stays off: nothing has put it back.
        ensure!(case.field(silent, "JobState")? == "CONFIGURING", "{}", case.describe(silent));
        ensure!(case.field(silent, "Restarts")? == "0", "{}", case.describe(silent));
        case.cluster.check(&["scancel", &silent.to_string()]).map(drop).map_err(Into::into)
    })?;
    case.cluster.check(&["scontrol", "release", &asks.to_string()])?;
    case.wait(asks, "COMPLETED", BOOT_SECONDS)?;
    ensure_contains(&case.output(asks), "[never]")
}

/// Slurm runs epilog for jobs whose prolog never reached bootsrv too.
pub(crate) fn epilog_of_an_unknown_job_is_content(case: &Case<'_>) -> Result<()> {
    let program = "/usr/libexec/bare-metal-container/epilog";
    let words = ["env", "SLURM_JOB_ID=4000000", "SLURM_JOB_PARTITION=bmc", program];
    let output = case.cluster.run("slurm", &words)?;
    if !output.status.success() {
        bail!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}
