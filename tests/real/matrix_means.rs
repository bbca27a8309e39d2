//! What the cases of the failure matrix (docs/failures.md) do to nodes, and how they wait for it.

use crate::case::{Case, ensure_contains};
use anyhow::{Context, Result, anyhow, ensure};
use serde_json::{Value, json};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};
use tests::chassis::qmp;
use tests::cluster::Node;
use tests::product::{bmc, check, wait_until};

/// Consoles are looked at so often: iPXE loads kernel and initrd within a fraction of a second.
const LOOK: Duration = Duration::from_millis(5);
/// iPXE has its script.
pub(crate) const LOADING: &str = "loading kernel and initrd";
/// The agent is about to fetch everything.
pub(crate) const PLAN: &str = "plan received";

/// The cable between the node and everything but its baseboard controller.
pub(crate) fn plug(case: &Case<'_>, node: Node, is_in: bool) -> Result<()> {
    let to = if is_in { "up" } else { "down" };
    case.cluster.check(&["ip", "link", "set", &node.tap(), to])?;
    Ok(())
}

/// The same cable, out and in again after some seconds; returns at once.
pub(crate) fn unplug_for(case: &Case<'_>, node: Node, seconds: u32) -> Result<()> {
    let tap = node.tap();
    let script = format!("ip link set {tap} down; sleep {seconds}; ip link set {tap} up");
    case.cluster.check(&[
        "setsid",
        "--fork",
        "sh",
        "-c",
        &format!("({script}) >/dev/null 2>&1"),
    ])?;
    Ok(())
}

/// The machine stands still: it has power, and nothing in it does anything any more.
pub(crate) fn freeze(case: &Case<'_>, node: Node) -> Result<()> {
    tell_machine(case, node, "stop")
}

/// It goes on where it stood still.
pub(crate) fn thaw(case: &Case<'_>, node: Node) -> Result<()> {
    tell_machine(case, node, "cont")
}

fn tell_machine(case: &Case<'_>, node: Node, command: &str) -> Result<()> {
    let socket = case.cluster.dir().join(format!("nodes/{node}/qmp"));
    // A machine that has just got its power may not listen yet.
    wait_until(Duration::from_secs(5), &format!("{node} is told to {command}"), || {
        Ok(qmp::command(&socket, command, json!({})).is_ok())
    })
}

/// What is done to a node as soon as its console has said something once more.
pub(crate) struct Cue<'a> {
    pub(crate) node: Node,
    pub(crate) text: &'static str,
    pub(crate) then: &'a (dyn Fn(Node) -> Result<()> + Sync),
}

/// Submits the jobs and waits for all cues, in whatever order they come.
pub(crate) fn on_cue<T>(
    case: &Case<'_>,
    cues: &[Cue<'_>],
    submit: impl FnOnce() -> Result<T>,
) -> Result<T> {
    let known = cues.iter().map(|cue| Ok(case.cluster.console(cue.node)?.len()));
    let known = known.collect::<Result<Vec<_>>>()?;
    let deadline = Instant::now() + Duration::from_secs(90);
    // Each by itself: what is done to one node must not come later because of another.
    thread::scope(|scope| {
        let wait = |(cue, known)| scope.spawn(move || on_one_cue(case, cue, known, deadline));
        let waiting: Vec<_> = cues.iter().zip(known).map(wait).collect();
        let jobs = submit();
        for one in waiting {
            one.join().map_err(|_| anyhow!("waiting for a cue panicked"))??;
        }
        jobs
    })
}

/// `known`: how much of the console is from before.
fn on_one_cue(case: &Case<'_>, cue: &Cue<'_>, known: usize, deadline: Instant) -> Result<()> {
    while !case.cluster.console(cue.node)?.get(known..).unwrap_or_default().contains(cue.text) {
        ensure!(Instant::now() < deadline, "{} did not say {:?}", cue.node, cue.text);
        sleep(LOOK);
    }
    (cue.then)(cue.node)
}

/// Waits until a job's only node is in that state, or a later one of these.
pub(crate) fn wait_state(case: &Case<'_>, job: u32, states: &[&str], seconds: u64) -> Result<()> {
    let what = format!("job {job}'s node is {}", states.join(" or "));
    wait_until(Duration::from_secs(seconds), &what, || {
        Ok(states.contains(&state(case, job)?.as_str()))
    })
    .with_context(|| case.describe(job))
}

/// The state of a job's only node; empty: bootsrv does not know the job yet.
pub(crate) fn state(case: &Case<'_>, job: u32) -> Result<String> {
    let output = bmc(case.cluster, &["status", &job.to_string(), "--json"])?;
    if !output.status.success() {
        return Ok(String::new());
    }
    let status: Value = serde_json::from_slice(&output.stdout)?;
    let state = status.pointer("/nodes/0/state").and_then(Value::as_str);
    Ok(state.unwrap_or_default().to_owned())
}

/// Waits until a node is out of use for that reason; gives the reason.
pub(crate) fn wait_reason(
    case: &Case<'_>,
    node: Node,
    begin: &str,
    seconds: u64,
) -> Result<String> {
    wait_until(Duration::from_secs(seconds), &format!("{node}: {begin}"), || {
        Ok(case.reason(node)?.starts_with(begin))
    })
    .with_context(|| {
        format!("the reason of {node} is {:?}", case.reason(node).unwrap_or_default())
    })?;
    // Slurm ends a drain with its power-down, and it is made again.
    wait_until(Duration::from_secs(20), &format!("{node} is out of use"), || {
        let shown = case.slurm_node(node)?;
        Ok(shown.contains("DRAIN") || shown.contains("State=DOWN"))
    })
    .with_context(|| case.slurm_node(node).unwrap_or_default())?;
    case.reason(node)
}

/// Waits until the machine has no power: the truth, and not what its controller says.
pub(crate) fn wait_dark(case: &Case<'_>, node: Node, seconds: u64) -> Result<()> {
    let what = format!("{node} has no power");
    wait_until(Duration::from_secs(seconds), &what, || Ok(!case.cluster.is_on(node)))
}

/// The job came through at its first try, and none of the nodes is blamed for anything.
pub(crate) fn ensure_unharmed(case: &Case<'_>, job: u32, nodes: &[Node]) -> Result<()> {
    ensure!(case.field(job, "Restarts")? == "0", "another try: {}", case.describe(job));
    for node in nodes {
        let reason = case.reason(*node)?;
        // Slurm's own mark of a node that goes off after its job.
        let usual = reason.is_empty() || reason.starts_with("POWER_DOWN_ASAP ");
        ensure!(usual, "{node} is blamed: {reason}");
    }
    Ok(())
}

/// As an admin who has repaired the nodes.
pub(crate) fn clear(case: &Case<'_>, nodes: &str, expected: &[&str]) -> Result<()> {
    let said = check(bmc(case.cluster, &["node", "clear", nodes])?)?;
    expected.iter().try_for_each(|expected| ensure_contains(&said, expected))
}

/// What bootsrv has written to its log so far.
pub(crate) fn bootsrv_log(case: &Case<'_>) -> Result<String> {
    let path = case.cluster.dir().join("log/services/bootsrv.log");
    Ok(String::from_utf8_lossy(&std::fs::read(path)?).into_owned())
}
