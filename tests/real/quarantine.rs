//! A node that fails is put aside with its reason, an admin is told of it, and frees it.

use crate::case::{BOOT_SECONDS, Case, ensure_contains};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::time::Duration;
use tests::cluster::Fault;
use tests::product::{bmc, check, wait_until};

/// Between two comparisons of bootsrv's, and a little, in seconds.
const ROUND: u64 = 20;

/// A boot that fails gives a strike and a drain that says so; `bmc doctor` names the node, `bmc node
/// clear` frees it, and the next job runs on it. An admin's own drain is no business of the clearing.
pub(crate) fn failed_node_is_cleared(case: &Case<'_>) -> Result<()> {
    let node = case.node(3)?;
    let clear = |more: &[&str]| check(bmc(case.cluster, &[&["node", "clear"], more].concat())?);
    // What the cases before have left.
    clear(&["n[1-4]"])?;
    case.cluster.fault(node, Fault::IgnorePower)?;
    let failing = case.submit(&["-w", "n3"], "true")?;
    let strike = || Ok(case.reason(node)?.contains("(strike 1)"));
    wait_until(Duration::from_secs(BOOT_SECONDS), "n3 has a strike", strike)
        .with_context(|| case.describe(failing))?;
    case.cluster.check(&["scancel", &failing.to_string()])?;
    ensure!(case.reason(node)?.starts_with("stays off: "), "{}", case.reason(node)?);
    let shown = case.json(&["node", "show", "n3"])?;
    ensure!(shown.pointer("/strikes") == Some(&Value::from(1)), "{shown}");
    ensure!(shown.pointer("/last_failure_unix_ns").is_some_and(Value::is_i64), "{shown}");
    case.cluster.fault(node, Fault::None)?;
    case.wait_all_off()?;

    let named = || Ok(finding(case, "n3", "own_drain")?.is_some());
    wait_until(Duration::from_secs(2 * ROUND), "bmc doctor names n3", named)?;
    let output = bmc(case.cluster, &["doctor"])?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.code() == Some(1), "{}: {text}", output.status);
    ensure_contains(&text, "bmc node clear n3")?;

    ensure_contains(&clear(&["n[2-3]", "--dry-run"])?, "n3: 1 strike forgotten; its drain ends: ")?;
    ensure!(strike()?, "a dry run has changed something: {}", case.reason(node)?);
    let cleared = clear(&["n[2-3]"])?;
    ensure_contains(&cleared, "n2: nothing was held against it\n")?;
    ensure_contains(&cleared, "n3: 1 strike forgotten; its drain ends: stays off: ")?;
    wait_until(Duration::from_secs(20), "n3 is not drained any more", || {
        Ok(!case.slurm_node(node)?.contains("DRAIN"))
    })?;
    ensure_contains(&clear(&["n3"])?, "n3: nothing was held against it")?;
    ensure!(case.run(&["-w", "n3"], "hostname")?.trim() == node.to_string(), "not on n3");
    case.wait_all_off()?;
    well_again(case)
}

/// bmc doctor has no node for an admin once everything is at rest.
fn well_again(case: &Case<'_>) -> Result<()> {
    let is_admins = |one: &Value| {
        one.pointer("/mended_by").is_some_and(|by| by == "admin")
            && one.pointer("/node").is_some_and(Value::is_string)
    };
    let limit = Duration::from_secs(90);
    wait_until(limit, "no node needs an admin", || Ok(!findings(case)?.iter().any(is_admins)))
        .with_context(|| format!("{:?}", findings(case)))
}

/// Clearing a node spares the drain of an admin, who sees why it is still out of use.
pub(crate) fn clearing_spares_an_admins_drain(case: &Case<'_>) -> Result<()> {
    let node = case.node(2)?;
    let drain = ["scontrol", "update", "nodename=n2", "state=drain", "reason=fan broken"];
    case.cluster.check(&drain)?;
    let told = || Ok(finding(case, "n2", "admin_drain")?.is_some());
    wait_until(Duration::from_secs(2 * ROUND), "bmc doctor tells of the drain", told)?;
    let said = check(bmc(case.cluster, &["node", "clear", "n2"])?)?;
    ensure_contains(&said, "not the boot server's doing: fan broken")?;
    // slurmctld has heard of it by then, if it heard anything.
    std::thread::sleep(Duration::from_secs(ROUND));
    ensure_contains(&case.slurm_node(node)?, "DRAIN")?;
    ensure!(case.reason(node)?.starts_with("fan broken"), "{}", case.reason(node)?);
    let unknown = bmc(case.cluster, &["node", "clear", "n2,n99"])?;
    ensure!(unknown.status.code() == Some(2), "{}", unknown.status);
    let alice = case.alice(&["bmc", "node", "clear", "n2"])?;
    ensure!(alice.status.code() == Some(77), "a user may: {}", alice.status);
    Ok(())
}

/// The finding of that kind about a node.
fn finding(case: &Case<'_>, node: &str, kind: &str) -> Result<Option<Value>> {
    let is = |one: &Value, key: &str, value: &str| one.pointer(key) == Some(&Value::from(value));
    let all = findings(case)?;
    Ok(all.into_iter().find(|one| is(one, "/node", node) && is(one, "/kind", kind)))
}

fn findings(case: &Case<'_>) -> Result<Vec<Value>> {
    let output = bmc(case.cluster, &["doctor", "--json"])?;
    // 1: something needs an admin.
    ensure!(matches!(output.status.code(), Some(0 | 1)), "bmc doctor: {}", output.status);
    let doctor: Value = serde_json::from_slice(&output.stdout)?;
    let findings = doctor.pointer("/findings").and_then(Value::as_array);
    findings.cloned().context("bmc doctor --json has no findings")
}
