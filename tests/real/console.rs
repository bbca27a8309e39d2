//! What the consoles of failed boots show: n4's comes over its controller, the others' are in files.

use crate::case::{BOOT_SECONDS, Case, ensure_contains, ensure_refused};
use crate::matrix_means::{bootsrv_log, clear, wait_state};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::io::Write;
use std::process::Stdio;
use std::thread::sleep;
use std::time::Duration;
use tests::cluster::{Fault, Node};
use tests::product::{bmc, check, wait_until};

/// How the reason begins of a node whose kernel has panicked, and of one that boots nothing.
const CRASHED: &str = "asked for its boot script again before ";
const SILENT: &str = "did not ask for its boot script within 30 s of power-on";
const PANIC: &str = "Kernel panic";
/// What the controller's own log has of a machine without anything to boot.
const NOTED: &str = "boot 0x10: no bootable media";

/// A kernel that panics is quoted, from either kind of console, although bootsrv was killed meanwhile;
/// its panic is not quoted for what goes wrong with the node the next time.
pub(crate) fn a_failed_boot_is_explained(case: &Case<'_>) -> Result<()> {
    let nodes = [case.node(1)?, case.node(4)?];
    for node in nodes {
        case.cluster.fault(node, Fault::Panic)?;
    }
    let jobs = submit(case)?;
    bootsrv_is_killed(case, jobs[1])?;
    for (node, job) in nodes.into_iter().zip(jobs) {
        let reason = wait_reason(case, node, CRASHED)?;
        ensure_contains(&reason, "; console: ")?;
        ensure_contains(&reason, PANIC)?;
        is_in_status(case, node, job)?;
        let console = check(bmc(case.cluster, &["node", "console", &node.to_string()])?)?;
        ensure_contains(&console, PANIC)?;
        ensure!(!console.contains('\u{1b}'), "escape sequences: {console:?}");
    }
    cancel(case, jobs)?;
    case.wait_all_off()?;
    clear(case, "n1,n4", &["n1: 1 strike", "n4: 1 strike"])?;
    case.wait_allocatable()?;
    for node in nodes {
        ensure_contains(&case.cluster.console(node)?, PANIC)?;
        case.cluster.fault(node, Fault::NoBoot)?;
    }
    let jobs = submit(case)?;
    is_captured_by_one(case, nodes[1])?;
    controller_notes(case, nodes[1])?;
    for node in nodes {
        let reason = wait_reason(case, node, SILENT)?;
        ensure!(!reason.contains(PANIC), "{node}: the panic of the boot before: {reason}");
    }
    wait_until(Duration::from_secs(30), "the controller's log is in the status", || {
        let shown = check(bmc(case.cluster, &["status", &jobs[1].to_string()])?)?;
        Ok(shown.contains("; controller: ") && shown.contains(NOTED))
    })?;
    cancel(case, jobs)?;
    case.wait_all_off()?;
    is_given_back(case, nodes[1])?;
    clear(case, "n1,n4", &["n1: 1 strike", "n4: 1 strike"])
}

/// Waits until a node is out of use for that reason; gives the reason. Slurm may be between two states.
fn wait_reason(case: &Case<'_>, node: Node, begin: &str) -> Result<String> {
    let limit = Duration::from_secs(BOOT_SECONDS);
    let is_so = wait_until(limit, &format!("{node}: {begin}"), || {
        Ok(case.reason(node)?.starts_with(begin))
    });
    let reason = case.reason(node)?;
    is_so.with_context(|| format!("{node} has the reason {reason:?}"))?;
    Ok(reason)
}

/// A job for each of the nodes.
fn submit(case: &Case<'_>) -> Result<[u32; 2]> {
    Ok([case.submit(&["-w", "n1"], "true")?, case.submit(&["-w", "n4"], "true")?])
}

fn cancel(case: &Case<'_>, jobs: [u32; 2]) -> Result<()> {
    jobs.iter()
        .try_for_each(|job| Ok(case.cluster.check(&["scancel", &job.to_string()]).map(drop)?))
}

/// In the middle of a boot. Its session has the console still: it is ended, and the capture goes on.
fn bootsrv_is_killed(case: &Case<'_>, job: u32) -> Result<()> {
    let in_use = || -> Result<usize> {
        Ok(bootsrv_log(case)?.matches("node=n4: another session has its serial console").count())
    };
    let before = in_use()?;
    wait_state(case, job, &["booting"], BOOT_SECONDS)?;
    case.cluster.stop_service("bootsrv", "KILL")?;
    case.cluster.start_service("bootsrv")?;
    wait_until(Duration::from_secs(20), "bootsrv answers", || {
        Ok(bmc(case.cluster, &["node", "list"])?.status.success())
    })?;
    ensure!(in_use()? == before, "its own dead session kept it from the console");
    Ok(())
}

/// The user sees the console's last lines, the panic among them.
fn is_in_status(case: &Case<'_>, node: Node, job: u32) -> Result<()> {
    let job = job.to_string();
    let own = |words: &[&str]| check(case.alice(&[&["bmc", "status", &job], words].concat())?);
    let shown = own(&[])?;
    ensure_contains(&shown, &format!("console of {node} at the end of its boot:\n"))?;
    let status: Value = serde_json::from_str(&own(&["--json"])?)?;
    let lines = status.pointer("/nodes/0/console").and_then(Value::as_array).context(shown)?;
    let has_panic = lines.iter().filter_map(Value::as_str).any(|line| line.contains(PANIC));
    ensure!(has_panic && lines.len() <= 10, "{lines:?}");
    Ok(())
}

/// While a node boots its console is bootsrv's, as ipmitool hears from the same controller; its power
/// commands are not in the way.
fn is_captured_by_one(case: &Case<'_>, node: Node) -> Result<()> {
    wait_until(Duration::from_secs(20), "n4 is on", || Ok(case.cluster.is_on(node)))?;
    // The capture has its session a moment after the power command.
    sleep(Duration::from_secs(3));
    let mut tool = case.cluster.ipmitool_command(node, &["sol", "activate"]);
    let output = tool.stdin(Stdio::null()).output()?;
    ensure_refused(&output, &["SOL payload already active on another session"])?;
    ensure!(!case.is_off(node)?, "n4 is off");
    Ok(())
}

/// Writes a line into the controller's log, as a firmware does.
fn controller_notes(case: &Case<'_>, node: Node) -> Result<()> {
    case.cluster.ipmitool(node, &["sel", "time", "set", "now"])?;
    let record = "raw 0x0a 0x44 0 0 2 0 0 0 0 0x20 0 4 0x1e 0x10 0x6f 0 0xff 0xff";
    case.cluster.ipmitool(node, &record.split(' ').collect::<Vec<_>>())?;
    Ok(())
}

/// ipmitool gets the console when no node boots, and gives it back.
fn is_given_back(case: &Case<'_>, node: Node) -> Result<()> {
    let mut tool = case.cluster.ipmitool_command(node, &["sol", "activate"]);
    // It says there that its input is no terminal.
    tool.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut running = tool.spawn()?;
    let mut keyboard = running.stdin.take().context("no input")?;
    sleep(Duration::from_secs(1));
    keyboard.write_all(b"~.")?;
    let ended =
        wait_until(Duration::from_secs(10), "ipmitool ends", || Ok(running.try_wait()?.is_some()));
    if ended.is_err() {
        running.kill()?;
    }
    let output = running.wait_with_output()?;
    ensure_contains(&String::from_utf8_lossy(&output.stdout), "[SOL Session operational.")?;
    ended
}
