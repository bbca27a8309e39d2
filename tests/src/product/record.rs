//! The energy record of a node as `bmc energy --json` prints it, and what must be true of it.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// How many stages the record of a job has that went well.
const STAGES: usize = 8;

/// A whole number of a record.
///
/// # Errors
/// When it is not there or not known.
pub fn number(value: &Value, name: &str) -> Result<i64> {
    let number = value.get(name).and_then(Value::as_i64);
    number.with_context(|| format!("{name} is not known: {value}"))
}

/// The node's total in millijoules, of a record that is whole: complete, every stage reached, and
/// the stages add up to the total exactly.
///
/// # Errors
/// When it is not.
pub fn whole(node: &Value) -> Result<i64> {
    ensure!(node.get("complete").and_then(Value::as_bool) == Some(true), "not complete: {node}");
    let total = number(node, "total_millijoules")?;
    let stages = node.get("stages").and_then(Value::as_array).context("no stages")?;
    ensure!(stages.len() == STAGES, "not every stage was reached: {node}");
    let sum =
        stages.iter().map(|stage| number(stage, "energy_millijoules")).sum::<Result<i64>>()?;
    ensure!(sum == total, "the stages add up to {sum} mJ, the total is {total} mJ");
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn record(energies: &[i64], total: i64, complete: bool) -> Value {
        let stages: Vec<Value> =
            energies.iter().map(|energy| json!({ "energy_millijoules": energy })).collect();
        json!({ "complete": complete, "total_millijoules": total, "stages": stages })
    }

    #[test]
    fn only_a_whole_record_has_a_total() {
        let energies = [1, 2, 3, 4, 5, 6, 7, 8];
        assert_eq!(whole(&record(&energies, 36, true)).unwrap(), 36);
        for (energies, total, complete, expected) in [
            (&energies[..], 36, false, "not complete"),
            (&energies[..], 37, true, "add up to 36 mJ, the total is 37 mJ"),
            (&energies[..7], 28, true, "not every stage"),
        ] {
            let error = whole(&record(energies, total, complete)).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        let mut unknown = record(&energies, 36, true);
        unknown["stages"][2]["energy_millijoules"] = Value::Null;
        assert!(whole(&unknown).unwrap_err().to_string().contains("not known"));
    }
}
