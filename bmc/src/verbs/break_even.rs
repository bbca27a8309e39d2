//! `bmc breakeven`: from which run length on a kernel pays for its boot, by the recorded runs.

use super::break_even_text::{answer, notes, text};
use crate::cli::BreakEvenArgs;
use crate::failure::refused;
use crate::output;
use crate::server::Server;
use energy::{BreakEven, Comparison, Figures, Interval, Summary, Verdict, compare};
use protocol::names::{JobReference, KernelName};
use protocol::runs::{Run, Runs};
use serde::Serialize;

const MILLIWATTS: f64 = 1_000.0;

/// Asks and returns what to print.
pub(crate) fn run<S: Server>(
    args: &BreakEvenArgs,
    connect: impl FnOnce() -> anyhow::Result<S>,
) -> anyhow::Result<String> {
    let [a, b] = kernels(&args.kernels)?;
    let server = connect()?;
    let since = args.since.map(|since| since.as_nanosecond().max(0).try_into());
    let since: Option<i64> = since.transpose()?;
    let ask = |kernel: &KernelName| server.runs(kernel, args.node.as_ref(), since);
    let report = report(picked([ask(a)?, ask(b)?], &args.jobs)?, args.idle_watts);
    if args.json { output::json(&json(&report)) } else { Ok(text(&report)) }
}

/// All that is told of two kernels.
#[derive(Debug)]
pub(super) struct Report {
    /// What was compared.
    pub(super) runs: [Runs; 2],
    /// Idle power of a node, if it was given.
    pub(super) idle_watts: Option<f64>,
    /// What came of it.
    pub(super) comparison: Comparison,
}

pub(super) fn report(runs: [Runs; 2], idle_watts: Option<f64>) -> Report {
    let [a, b] = &runs;
    let comparison = compare(&a.runs, &b.runs, idle_watts.map(|watts| watts * MILLIWATTS));
    Report { runs, idle_watts, comparison }
}

fn kernels(named: &[KernelName]) -> anyhow::Result<[&KernelName; 2]> {
    let hint = "Name what the node would run anyway, then what is booted for the job: \
                --kernel A --kernel B.";
    match named {
        [a, b] if a == b => {
            Err(refused(format!("kernel {a} cannot be compared with itself"), hint))
        }
        [a, b] => Ok([a, b]),
        _ => {
            let count = named.len();
            Err(refused(format!("exactly two kernels are compared, not {count}"), hint))
        }
    }
}

/// Only the runs of these jobs; each has to have one. No jobs: all runs.
fn picked(mut runs: [Runs; 2], jobs: &[JobReference]) -> anyhow::Result<[Runs; 2]> {
    let all = || runs.iter().flat_map(|of| &of.runs);
    let lost = jobs.iter().find(|job| !all().any(|run| is_of(run, **job)));
    if let Some(job) = lost {
        let [a, b] = [&runs[0].kernel, &runs[1].kernel];
        return Err(refused(
            format!("job {job} has no finished run on kernel {a} or {b}"),
            "Only a job of yours counts that ended, on nodes without a fault that are released.",
        ));
    }
    if !jobs.is_empty() {
        for of in &mut runs {
            of.runs.retain(|run| jobs.iter().any(|job| is_of(run, *job)));
        }
    }
    Ok(runs)
}

/// A plain id stands for the tasks and components of that job too, as in `bmc energy`.
fn is_of(run: &Run, job: JobReference) -> bool {
    match (job, run.reference) {
        (
            JobReference::Job(id),
            JobReference::ArrayTask(of, _) | JobReference::Component(of, _),
        ) => id == of,
        (_, reference) => job == reference,
    }
}

#[derive(Serialize)]
struct JsonReport<'a> {
    kernels: [JsonKernel<'a>; 2],
    idle_watts: Option<f64>,
    time: JsonAnswer,
    energy: JsonAnswer,
    notes: Vec<String>,
}

#[derive(Serialize)]
struct JsonKernel<'a> {
    job_seconds: Option<JsonMean>,
    job_millijoules: Option<JsonMean>,
    overhead_seconds: Option<JsonMean>,
    overhead_millijoules: Option<JsonMean>,
    #[serde(flatten)]
    runs: &'a Runs,
}

#[derive(Serialize)]
struct JsonMean {
    count: u32,
    mean: f64,
    standard_deviation: Option<f64>,
}

#[derive(Serialize)]
struct JsonAnswer {
    verdict: &'static str,
    /// Of the first kernel's run.
    seconds: Option<JsonInterval>,
    /// Part of the first kernel's figure.
    saved: Option<JsonInterval>,
    text: String,
}

#[derive(Serialize)]
struct JsonInterval {
    value: f64,
    low: f64,
    high: f64,
}

fn json(report: &Report) -> JsonReport<'_> {
    let Comparison { a, b, time, energy } = &report.comparison;
    let [of_a, of_b] = &report.runs;
    let mean = |of: Option<Summary>| {
        of.map(|of| JsonMean { count: of.count, mean: of.mean, standard_deviation: of.deviation })
    };
    let kernel = |runs, of: &Figures| JsonKernel {
        job_seconds: mean(of.job_seconds),
        job_millijoules: mean(of.job_millijoules),
        overhead_seconds: mean(of.overhead_seconds),
        overhead_millijoules: mean(of.overhead_millijoules),
        runs,
    };
    let interval = |of: Interval| JsonInterval { value: of.value, low: of.low, high: of.high };
    let told = |of: &BreakEven, what| {
        let (verdict, seconds) = match of.verdict {
            Verdict::BreaksEven(length) => ("breaks_even", Some(interval(length))),
            Verdict::Never => ("never", None),
            Verdict::Undetermined(_) => ("undetermined", None),
        };
        JsonAnswer {
            verdict,
            seconds,
            saved: of.gain.map(interval),
            text: answer(report, of, what),
        }
    };
    JsonReport {
        kernels: [kernel(of_a, a), kernel(of_b, b)],
        idle_watts: report.idle_watts,
        time: told(time, "time"),
        energy: told(energy, "energy"),
        notes: notes(report),
    }
}

#[cfg(test)]
mod tests {
    use super::super::break_even_text::tests::runs;
    use super::*;

    #[test]
    fn exactly_two_kernels_are_compared() {
        let told = |names: &[&str]| {
            let names: Vec<KernelName> = names.iter().map(|name| name.parse().unwrap()).collect();
            kernels(&names).map(|_| ()).map_err(|error| error.to_string())
        };
        assert_eq!(told(&["a", "b"]), Ok(()));
        let one = told(&["a"]).unwrap_err();
        assert!(one.starts_with("exactly two kernels are compared, not 1. Name what"), "{one}");
        assert!(told(&["a", "b", "c"]).unwrap_err().contains("not 3"));
        assert!(told(&["a", "a"]).unwrap_err().starts_with("kernel a cannot be compared"));
    }

    #[test]
    fn jobs_are_picked_by_id_task_or_component() {
        let mut of_a = runs("a", &[(1.0, None), (2.0, None), (3.0, None)]);
        of_a.runs[1].reference = "42_7".parse().unwrap();
        of_a.runs[2].reference = "42_8".parse().unwrap();
        let of_b = runs("b", &[(1.0, None)]);
        let told = |jobs: &[&str]| {
            let jobs: Vec<JobReference> = jobs.iter().map(|job| job.parse().unwrap()).collect();
            let picked = picked([of_a.clone(), of_b.clone()], &jobs);
            picked.map(|of| of.map(|of| of.runs.len())).map_err(|error| error.to_string())
        };
        assert_eq!(told(&[]), Ok([3, 1]));
        assert_eq!(told(&["42"]), Ok([2, 0]));
        assert_eq!(told(&["42_7", "1"]), Ok([2, 1]));
        let lost = told(&["42_7", "42_9"]).unwrap_err();
        assert!(lost.starts_with("job 42_9 has no finished run on kernel a or b. Only"), "{lost}");
    }

    #[test]
    fn json_has_the_runs_their_means_and_the_answers() {
        let of_a = runs("a", &[(961.0, Some(55.0)), (962.0, None)]);
        let of_b = runs("b", &[(827.0, Some(45.0)), (828.0, Some(46.0))]);
        let json = serde_json::to_value(json(&report([of_a, of_b], None))).unwrap();
        assert_eq!(json["kernels"][0]["kernel"], "a");
        assert_eq!(json["kernels"][0]["runs"].as_array().unwrap().len(), 2);
        assert_eq!(json["kernels"][0]["job_seconds"]["mean"], 961.5);
        assert_eq!(json["kernels"][0]["job_millijoules"]["count"], 1);
        assert!(json["kernels"][0]["job_millijoules"]["standard_deviation"].is_null());
        assert_eq!(json["time"]["verdict"], "breaks_even");
        assert!(json["time"]["seconds"]["low"].as_f64() < json["time"]["seconds"]["high"].as_f64());
        assert_eq!(json["energy"]["verdict"], "undetermined");
        assert!(json["energy"]["seconds"].is_null() && json["energy"]["saved"].is_null());
        assert!(json["notes"][0].as_str().unwrap().contains("the same work"));
    }
}
