//! Does a kernel pay off: from what real jobs on two kernels left behind.

use crate::case::{BOOT_SECONDS, Case, ensure_contains};
use anyhow::{Context, Result, bail, ensure};
use protocol::energy::{JobEnergy, Stage};
use serde_json::Value;
use tests::product::{bmc, check};

const A: &str = "thp-always";
const B: &str = "thp-off";
/// Work that takes half as long on B.
const WORK: &str = "if grep -q '\\[never\\]' /sys/kernel/mm/transparent_hugepage/enabled; then sleep 6; else sleep 12; fi";

/// Two runs on either kernel give a verdict, and the run length is what the records say by hand; a user sees
/// own runs only.
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
    case.wait_all_off()?;
    let mut parts = Vec::new();
    for job in &jobs {
        parts.push(seconds(case, *job)?);
    }
    let list = jobs.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let words = ["breakeven", "--kernel", A, "--kernel", B, "--job", &list];
    let report = case.json(&words)?;
    let told = number(&report, "/time/seconds/value").with_context(|| report.to_string())?;
    let [(a1, _), (a2, _), (b1, t1), (b2, t2)] = parts[..] else { bail!("{parts:?}") };
    let (a, b, boot) = (f64::midpoint(a1, a2), f64::midpoint(b1, b2), f64::midpoint(t1, t2));
    let expected = boot / (1.0 - b / a);
    ensure!((told / expected - 1.0).abs() < 0.001, "{told} s, and {expected} s by hand: {report}");
    let (low, high) =
        (number(&report, "/time/seconds/low")?, number(&report, "/time/seconds/high")?);
    ensure!(low <= told && told <= high, "{report}");
    ensure!(report.pointer("/energy/verdict") == Some(&"breaks_even".into()), "{report}");
    let shown = check(bmc(case.cluster, &words)?)?;
    ensure_contains(&shown, "time:   pays off from a run of ")?;
    println!(
        "        {}",
        shown.lines().find(|line| line.starts_with("time:")).unwrap_or_default()
    );
    let own = check(case.alice(&[&["bmc"], &words[..]].concat())?)?;
    ensure!(own == shown, "the user sees other runs than root: {own}");
    let first = jobs.first().context("no job")?.to_string();
    let drawn = check(case.alice(&["bmc", "energy", &first, "--svg", "-"])?)?;
    ensure!(drawn.starts_with("<svg ") || drawn.starts_with("<?xml "), "{drawn}");
    for expected in [">n1 (ipmi-dcmi, ", ">job starts<", ">energy so far in Wh<"] {
        ensure_contains(&drawn, expected)?;
    }
    let other = case.cluster.run("bob", &[&["bmc"], &words[..]].concat())?;
    ensure!(!other.status.success(), "a stranger sees a user's runs");
    Ok(())
}

/// How long the job's stage took, and all its others together.
fn seconds(case: &Case<'_>, job: u32) -> Result<(f64, f64)> {
    let tries: Vec<JobEnergy> = serde_json::from_value(case.json(&["energy", &job.to_string()])?)?;
    let node = tries.first().and_then(|one| one.nodes.first()).context("no record")?;
    let sum = |is_job: bool| -> f64 {
        let stages = node.stages.iter().filter(|stage| (stage.stage == Stage::Job) == is_job);
        stages.map(|stage| stage.duration_ns as f64 / 1e9).sum()
    };
    Ok((sum(true), sum(false)))
}

fn number(report: &Value, pointer: &str) -> Result<f64> {
    report.pointer(pointer).and_then(Value::as_f64).with_context(|| format!("{pointer} is unknown"))
}
