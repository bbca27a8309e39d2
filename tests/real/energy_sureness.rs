//! Whether what the records say of their own sureness holds: each figure of each job that this run has
//! booted nodes for, whatever went wrong with them, against the exact counter of the power model.

use crate::case::{BOOT_SECONDS, Case};
use anyhow::{Context, Result, ensure};
use protocol::energy::{JobEnergy, NodeEnergy};
use std::collections::BTreeMap;
use tests::cluster::Node;
use tests::power::log::PowerLog;
use tests::product::bmc;

/// Figures that are needed to count shares of them.
const FIGURES_MIN: usize = 100;
/// How many of a hundred must hold.
const PERCENT_MIN: usize = 95;
/// Most figures that are shown of those that do not hold.
const SHOWN_MAX: usize = 12;
/// Most further jobs on all nodes, where the run had too few.
const JOBS_MAX: usize = 6;

/// One figure and the truth, in words if it does not hold.
type Figure = Result<(), String>;

/// At least 95 of 100 figures hold, of those with a ± and of those with bounds, without any allowance for
/// the meter's accuracy: the model's meter is exact.
pub(crate) fn energy_is_as_sure_as_it_says(case: &Case<'_>) -> Result<()> {
    let all = format!("-N{}", case.cluster.nodes().count());
    let mut newest = case.submit(&[&all], "sleep 5")?;
    case.wait(newest, "COMPLETED", BOOT_SECONDS)?;
    for _ in 0..JOBS_MAX {
        case.wait_all_off()?;
        if figures(case, newest)?.len() >= FIGURES_MIN {
            break;
        }
        newest = case.submit(&[&all], "sleep 20")?;
        case.wait(newest, "COMPLETED", BOOT_SECONDS)?;
    }
    let figures = figures(case, newest)?;
    let wrong: Vec<&String> = figures.iter().filter_map(|one| one.as_ref().err()).collect();
    let right = figures.len() - wrong.len();
    println!(
        "        {right} of {} figures hold against the model's counter (simulated)",
        figures.len()
    );
    for one in wrong.iter().take(SHOWN_MAX) {
        println!("        not: {one}");
    }
    ensure!(figures.len() >= FIGURES_MIN, "only {} figures", figures.len());
    ensure!(right * 100 >= figures.len() * PERCENT_MIN, "{right} of {} hold", figures.len());
    Ok(())
}

/// All figures of all complete records up to a job.
fn figures(case: &Case<'_>, newest: u32) -> Result<Vec<Figure>> {
    let logs: BTreeMap<String, PowerLog> = case
        .cluster
        .nodes()
        .map(|node: Node| Ok((node.to_string(), case.cluster.power_log(node)?)))
        .collect::<Result<_>>()?;
    let mut figures = Vec::new();
    for job in 1..=newest {
        let output = bmc(case.cluster, &["energy", &job.to_string(), "--json"])?;
        // A job that booted nothing has no record.
        if !output.status.success() {
            continue;
        }
        let tries: Vec<JobEnergy> = serde_json::from_slice(&output.stdout)?;
        for node in tries.iter().flat_map(|one| &one.nodes).filter(|node| node.complete) {
            let log = logs.get(node.node.as_str()).context("a node of another cluster")?;
            of_node(job, node, log, &mut figures)?;
        }
    }
    Ok(figures)
}

fn of_node(job: u32, node: &NodeEnergy, log: &PowerLog, figures: &mut Vec<Figure>) -> Result<()> {
    let truth = |from: i64, to: i64| -> Result<Option<i64>> {
        let truth = log.between(u64::try_from(from)?, u64::try_from(to)?);
        Ok(truth.map(i64::try_from).transpose()?)
    };
    let name = &node.node;
    for stage in node.stages.iter().filter(|stage| stage.duration_ns > 0) {
        let to = stage.from_unix_ns + stage.duration_ns;
        let Some(truth) = truth(stage.from_unix_ns, to)? else { continue };
        let what = || format!("job {job} {name} {:?} of {} ns", stage.stage, stage.duration_ns);
        if let Some(bounds) = stage.bounds {
            let (least, most) = (bounds.least_millijoules, bounds.most_millijoules);
            let holds = (least..=most).contains(&truth);
            let wrong = || format!("{}: {least} to {most} mJ, in truth {truth}", what());
            figures.push(holds.then_some(()).ok_or_else(wrong));
        } else if let (Some(energy), Some(sure)) = (stage.energy_millijoules, stage.uncertainty) {
            let by = sure.random_millijoules;
            let wrong = || format!("{}: {energy} ± {by} mJ, in truth {truth}", what());
            figures.push(
                (energy.abs_diff(truth) <= by.unsigned_abs()).then_some(()).ok_or_else(wrong),
            );
        }
    }
    Ok(())
}
