//! The energy record against the exact counter of the power model.

use crate::case::{BOOT_SECONDS, Case};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tests::product::record::{number, whole};

/// The bound for a job of three minutes or more.
const PERCENT_MAX: f64 = 2.0;

/// Within 2 % in total, and the stages add up to the total exactly.
pub(crate) fn agrees_with_the_truth(case: &Case<'_>) -> Result<()> {
    let node = case.node(1)?;
    // Busy and idle in turns, so that the power is no straight line.
    let script = "for i in 1 2 3 4 5 6; do timeout 15 sh -c 'while :; do :; done'; sleep 15; done";
    let job = case.submit(&["-w", "n1", "--bmc-kernel=thp-off"], script)?;
    case.wait(job, "COMPLETED", BOOT_SECONDS + 240)?;
    case.wait_all_off()?;
    std::thread::sleep(std::time::Duration::from_secs(6));
    let record = case.json(&["energy", &job.to_string()])?;
    let of_node = record.pointer("/0/nodes/0").context("no node in the record")?;
    let total = whole(of_node)?;
    let stages = of_node.get("stages").and_then(Value::as_array).context("no stages")?;

    let first = stages.first().context("no stage")?;
    let last = stages.last().context("no stage")?;
    let from = number(first, "from_unix_ns")?;
    let to = number(last, "from_unix_ns")? + number(last, "duration_ns")?;
    let log = case.cluster.power_log(node)?;
    let truth = log
        .between(u64::try_from(from)?, u64::try_from(to)?)
        .context("the model has no log of it")?;
    let truth = i64::try_from(truth)?;
    #[expect(
        clippy::cast_precision_loss,
        reason = "a percentage for people; joules of minutes fit"
    )]
    let percent = (total - truth) as f64 * 100.0 / truth as f64;
    println!(
        "        {total} mJ recorded, {truth} mJ by the model's counter: {percent:+.2} % (simulated)"
    );
    ensure!(percent.abs() <= PERCENT_MAX, "{percent:+.2} % from the truth");
    let sure = of_node.pointer("/uncertainty/random_millijoules").and_then(Value::as_i64);
    let sure = sure.context("nothing is said of how sure the total is")?;
    ensure!((total - truth).abs() <= sure, "it is not within ± {sure} mJ, as stated");
    Ok(())
}
