//! Does a kernel pay off: from what real jobs on two kernels left behind.

use crate::case::{BOOT_SECONDS, Case, ensure_contains};
use anyhow::{Context, Result, bail, ensure};
use protocol::energy::{JobEnergy, NodeEnergy, Stage};
use serde_json::Value;
use std::time::Duration;
use tests::product::{bmc, check, wait_until};

const A: &str = "thp-always";
const B: &str = "thp-off";
/// Work that takes half as long on B.
const WORK: &str = "if grep -q '\\[never\\]' /sys/kernel/mm/transparent_hugepage/enabled; then sleep 6; else sleep 12; fi";

/// Two runs on either kernel give an answer, and its figures are what the records say by hand; a user sees
/// own runs only, and the picture of one.
pub(crate) fn a_faster_kernel_pays_off(case: &Case<'_>) -> Result<()> {
    let submit = |(node, kernel): (&str, &str)| {
        case.submit(&["-w", node, &format!("--bmc-kernel={kernel}")], WORK)
    };
    let jobs: Vec<u32> = [("n1", A), ("n2", A), ("n3", B), ("n4", B)]
        .into_iter()
        .map(submit)
        .collect::<Result<_>>()?;
    for job in &jobs {
        case.wait(job, "COMPLETED", BOOT_SECONDS)?;
    }
    let mut parts = Vec::new();
    for job in &jobs {
        parts.push(seconds(case, *job)?);
    }
    let list = jobs.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let words = ["breakeven", "--kernel", A, "--kernel", B, "--job", &list];
    let report = case.json(&words)?;
    let [(a1, _), (a2, _), (b1, t1), (b2, t2)] = parts[..] else { bail!("{parts:?}") };
    let (a, b, boot) = (f64::midpoint(a1, a2), f64::midpoint(b1, b2), f64::midpoint(t1, t2));
    let saved = 1.0 - b / a;
    is_near(&report, "/time/saved/value", saved)?;
    // Two runs of each may differ by too much on a busy machine; then that is the answer.
    if report.pointer("/time/verdict") == Some(&"breaks_even".into()) {
        is_near(&report, "/time/seconds/value", boot / saved)?;
    } else {
        ensure_contains(&report.to_string(), "more runs would tell")?;
    }
    let joules =
        |kernel: usize| number(&report, &format!("/kernels/{kernel}/job_millijoules/mean"));
    is_near(&report, "/energy/saved/value", 1.0 - joules(1)? / joules(0)?)?;
    let shown = check(bmc(case.cluster, &words)?)?;
    ensure_contains(&shown, "\ntime:   ")?;
    println!(
        "        {}",
        shown.lines().find(|line| line.starts_with("time:")).unwrap_or_default()
    );
    let own = check(case.alice(&[&["bmc"], &words[..]].concat())?)?;
    ensure!(own == shown, "the user sees other runs than root: {own}");
    let first = jobs.first().context("no job")?.to_string();
    let drawn = check(case.alice(&["bmc", "energy", &first, "--svg", "-"])?)?;
    ensure!(drawn.starts_with("<svg ") || drawn.starts_with("<?xml "), "{drawn}");
    for expected in [">n1 (ipmi-dcmi, ", ">job starts<", ">energy so far in "] {
        ensure_contains(&drawn, expected)?;
    }
    let other = case.cluster.run("bob", &[&["bmc"], &words[..]].concat())?;
    ensure!(!other.status.success(), "a stranger sees a user's runs");
    Ok(())
}

/// How long the job's stage took, and all its others together, once its power has settled.
fn seconds(case: &Case<'_>, job: u32) -> Result<(f64, f64)> {
    let record = || -> Result<NodeEnergy> {
        let mut tries: Vec<JobEnergy> =
            serde_json::from_value(case.json(&["energy", &job.to_string()])?)?;
        tries.pop().and_then(|mut one| one.nodes.pop()).context("no record")
    };
    wait_until(Duration::from_secs(90), "the record is complete", || Ok(record()?.complete))?;
    let node = record()?;
    let sum = |is_job: bool| -> f64 {
        let stages = node.stages.iter().filter(|stage| (stage.stage == Stage::Job) == is_job);
        stages.map(|stage| stage.duration_ns as f64 / 1e9).sum()
    };
    Ok((sum(true), sum(false)))
}

/// Up to what rounding to nanoseconds does.
fn is_near(report: &Value, pointer: &str, by_hand: f64) -> Result<()> {
    let told = number(report, pointer).with_context(|| report.to_string())?;
    ensure!((told / by_hand - 1.0).abs() < 0.001, "{pointer}: {told}, by hand {by_hand}: {report}");
    Ok(())
}

fn number(report: &Value, pointer: &str) -> Result<f64> {
    report.pointer(pointer).and_then(Value::as_f64).with_context(|| format!("{pointer} is unknown"))
}
