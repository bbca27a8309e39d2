//! From which length of a run on it does a kernel earn back what booting it cost?
//!
//! Kernel A is what the node would run anyway, kernel B has to be booted for the job and shut down after
//! it. A run of length L on A takes L·b/a on B, so that B is even once L·(1 − b/a) is its overhead.

use crate::statistics::{Interval, Summary, gain, quotient};
use protocol::runs::Run;

/// Runs of each kernel that a comparison should have; with fewer the interval is wide.
pub const RUNS_WANTED: u32 = 5;

const NS_PER_SECOND: f64 = 1e9;

/// What the runs of one kernel took.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figures {
    /// The job, in seconds; `None`: there are no runs.
    pub job_seconds: Option<Summary>,
    /// The job, in millijoules, of the runs of which they are known.
    pub job_millijoules: Option<Summary>,
    /// All that is not the job, in seconds.
    pub overhead_seconds: Option<Summary>,
    /// The same in millijoules, less what the nodes would have drawn idle.
    pub overhead_millijoules: Option<Summary>,
}

/// Kernel A against kernel B.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Comparison {
    /// What the node would run anyway.
    pub a: Figures,
    /// What is booted for the job.
    pub b: Figures,
    /// In time.
    pub time: BreakEven,
    /// In energy.
    pub energy: BreakEven,
}

/// One answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BreakEven {
    /// The part of A's figure that B saves, with its 95 % interval; `None`: it cannot be told.
    pub gain: Option<Interval>,
    /// From when on B pays off.
    pub verdict: Verdict,
}

/// Whether there is a length from which on B pays off.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Verdict {
    /// From a run of that many seconds on A.
    BreaksEven(Interval),
    /// B saves nothing: the whole interval of its gain is at or below zero.
    Never,
    /// It cannot be told.
    Undetermined(Lack),
}

/// What is missing for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lack {
    /// Two runs of each kernel of which the figure is known.
    Runs,
    /// Two runs of B of which the overhead is known.
    OverheadRuns,
    /// A difference that stands out of the scatter of the runs.
    Difference,
    /// An overhead: less than nothing is left of it without what the nodes would have drawn idle.
    Overhead,
}

/// Compares the runs of two kernels, which must have done the same work.
///
/// `idle_milliwatts`: what one node draws where it is not booted for the job; of every node it is taken
/// off the overhead's energy for the overhead's time. `None`: nothing is.
#[must_use]
pub fn compare(a: &[Run], b: &[Run], idle_milliwatts: Option<f64>) -> Comparison {
    let (a, b) = (figures(a, idle_milliwatts), figures(b, idle_milliwatts));
    let seconds = a.job_seconds.map_or(0.0, |seconds| seconds.mean);
    let power = |energy: Summary| energy.mean / seconds;
    let time = break_even(a.job_seconds, b.job_seconds, b.overhead_seconds, |_| 1.0);
    let energy = break_even(a.job_millijoules, b.job_millijoules, b.overhead_millijoules, power);
    Comparison { a, b, time, energy }
}

#[expect(clippy::cast_precision_loss, reason = "2^53 ns are 104 days, and 2^53 mJ are 2.5 GWh")]
fn figures(runs: &[Run], idle_milliwatts: Option<f64>) -> Figures {
    let seconds = |ns: i64| ns as f64 / NS_PER_SECOND;
    let all = |value: &dyn Fn(&Run) -> Option<f64>| {
        Summary::of(&runs.iter().filter_map(value).collect::<Vec<f64>>())
    };
    Figures {
        job_seconds: all(&|run| Some(seconds(run.job_ns))),
        job_millijoules: all(&|run| Some(run.job_millijoules? as f64)),
        overhead_seconds: all(&|run| Some(seconds(run.overhead_ns))),
        overhead_millijoules: all(&|run| {
            let idle = idle_milliwatts.unwrap_or(0.0) * run.nodes.len() as f64;
            Some(run.overhead_millijoules? as f64 - idle * seconds(run.overhead_ns))
        }),
    }
}

/// The overhead by the gain is the length in A's own figure; `per_second`: how much of that figure A has
/// a second, its mean power for energies. A's runs at one power scatter together in time and energy, so
/// that power counts as exact. Overhead and B's figure count as independent.
pub(crate) fn break_even(
    a: Option<Summary>,
    b: Option<Summary>,
    overhead: Option<Summary>,
    per_second: impl Fn(Summary) -> f64,
) -> BreakEven {
    let unknown = |lack| BreakEven { gain: None, verdict: Verdict::Undetermined(lack) };
    let (Some(a), Some(b)) = (a, b) else { return unknown(Lack::Runs) };
    let Some(gain) = gain(&a, &b) else {
        let few = a.count.min(b.count) < 2;
        return unknown(if few { Lack::Runs } else { Lack::Difference });
    };
    let told = |verdict| BreakEven { gain: Some(gain), verdict };
    let overhead = overhead.and_then(|overhead| overhead.interval());
    if overhead.is_some_and(|overhead| overhead.value < 0.0) {
        return told(Verdict::Undetermined(Lack::Overhead));
    }
    // Whatever the overhead is: nothing ever pays for it.
    if gain.high <= 0.0 {
        return told(Verdict::Never);
    }
    let Some(overhead) = overhead else {
        return told(Verdict::Undetermined(Lack::OverheadRuns));
    };
    let Some(length) = quotient(overhead, gain) else {
        return told(Verdict::Undetermined(Lack::Difference));
    };
    let per_second = per_second(a);
    told(Verdict::BreaksEven(Interval {
        value: length.value / per_second,
        low: length.low / per_second,
        high: length.high / per_second,
    }))
}
