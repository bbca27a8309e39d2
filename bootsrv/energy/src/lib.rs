//! From power readings and stage boundaries to the energy of each stage.
//!
//! A pure function of its arguments: it reads no clock, talks to no meter and keeps no state, so
//! that the stored samples replay to identical figures. All arithmetic is in integers; the stages'
//! energies add up to the total to the last millijoule, because each is the difference of one
//! cumulative integral rounded down at its two ends.

mod break_even;
#[cfg(test)]
mod break_even_tests;
mod clean;
mod curve;
mod footprint;
#[cfg(test)]
mod paper;
mod record;
mod run;
mod series;
mod statistics;
mod sureness;
#[cfg(test)]
mod sureness_tests;
#[cfg(test)]
mod tests;

pub use break_even::{BreakEven, Comparison, Figures, Lack, RUNS_WANTED, Verdict, compare};
pub use footprint::footprint;
pub use record::{job_energy, node_energy};
pub use run::{Parts, parts};
pub use series::{Series, series};
pub use statistics::{Interval, Summary};

use curve::Curve;
use protocol::energy::{Accuracy, Gap, Stage, StageEnergy, Uncertainty};
use sureness::Sureness;

/// Version of the method. Any change that gives other figures for the same samples raises it.
/// 2: states how sure each figure is, moves readings by the meter's lag, and gives bounds instead of
/// figures where a stage is too short for its readings.
pub const METHOD_VERSION: u32 = 2;

/// Highest reading taken for real, in milliwatts (100 kW for one node); higher ones are refused.
pub const MILLIWATTS_MAX: i64 = 100_000_000;

/// Longest time between two readings that is no gap however fast the meter is asked, nanoseconds.
pub const GAP_MIN_NS: i64 = 5_000_000_000;

/// Most gaps listed; the last one listed then reaches to the end of the last one found.
pub const GAPS_MAX: usize = 1_000;

/// One power reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// When it was taken, nanoseconds since 1970. Earlier readings are refused.
    pub unix_ns: i64,
    /// Milliwatts. Negative readings and those above [`MILLIWATTS_MAX`] are refused.
    pub milliwatts: i64,
}

/// Begin of a stage; it lasts until the next mark, or until the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// Which stage begins.
    pub stage: Stage,
    /// When, nanoseconds since 1970.
    pub from_unix_ns: i64,
}

/// What a reading says about the time around it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Semantics {
    /// The power at that moment: between two readings it runs along a straight line (trapezoid).
    #[default]
    Instantaneous,
    /// The power from that moment until the next reading (sample and hold).
    Held,
}

/// How the readings are to be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// What one reading means.
    pub semantics: Semantics,
    /// Nominal time between two readings, nanoseconds.
    pub period_ns: i64,
    /// Time in which the meter makes a new value, nanoseconds.
    pub refresh_ns: i64,
    /// How far a value lies behind the power it shows, nanoseconds: half the window of a mean, the time
    /// constant of a smoothed value.
    pub lag_ns: i64,
    /// Step between two values the meter can show, milliwatts.
    pub quantum_milliwatts: i64,
    /// How far it may be off.
    pub accuracy: Accuracy,
}

impl Default for Options {
    /// Instantaneous readings of whole watts, one a second, as the Data Center Manageability Interface
    /// gives them; its accuracy assumed.
    fn default() -> Self {
        Self {
            semantics: Semantics::Instantaneous,
            period_ns: 1_000_000_000,
            refresh_ns: 1_000_000_000,
            lag_ns: 0,
            quantum_milliwatts: 1_000,
            accuracy: Accuracy::ASSUMED,
        }
    }
}

impl Options {
    /// The longest time without a reading that is not flagged: three periods, at least
    /// [`GAP_MIN_NS`]. At the edges the nearest reading is held for as long.
    #[must_use]
    pub fn gap_allowed_ns(&self) -> i64 {
        self.period_ns.saturating_mul(3).max(GAP_MIN_NS)
    }
}

/// The energy of one deployment, without its names: see [`node_energy`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Integral {
    /// One per mark, without holes or overlaps.
    pub stages: Vec<StageEnergy>,
    /// Exactly the sum of the stages before [`Stage::Idle`], or of all; `None` if any of them is, or
    /// there is none.
    pub total_millijoules: Option<i64>,
    /// How sure the total is; `None`: it is unknown, or a lower bound.
    pub uncertainty: Option<Uncertainty>,
    /// How accurate the meter was taken to be.
    pub accuracy: Accuracy,
    /// Readings used.
    pub samples: u32,
    /// Gaps longer than allowed, in order of time, cut to the time from first mark to end.
    pub gaps: Vec<Gap>,
}

/// Integrates readings over stages.
///
/// `samples` come in the order they arrived. One that is late by no more than the allowed gap is
/// put in its place; one that lies further back is the work of a clock that was set back and is
/// ignored, which leaves a gap until the clock has caught up. Readings of the same moment count as
/// their mean.
///
/// `marks` come in order; one that lies before its predecessor is moved to it, and one after `end`
/// to the end, so that the stages neither overlap nor leave holes.
#[must_use]
pub fn integrate(samples: &[Sample], marks: &[Mark], end: i64, options: &Options) -> Integral {
    let allowed = options.gap_allowed_ns();
    let mut in_order = clean::in_order(samples, allowed);
    for sample in &mut in_order {
        sample.unix_ns = sample.unix_ns.saturating_sub(options.lag_ns);
    }
    let curve = Curve::new(in_order, options.semantics, allowed);
    let sureness = Sureness::new(&curve, options);
    let stages = stages(&curve, &sureness, marks, end);
    let own = || stages.iter().take_while(|stage| stage.stage != Stage::Idle);
    let total = own().map(|stage| stage.energy_millijoules).sum::<Option<i64>>();
    let has_own = own().next().is_some();
    let from = marks.first().map_or(end, |mark| mark.from_unix_ns.min(end));
    let last = own().last().map_or(from, |stage| stage.from_unix_ns + stage.duration_ns);
    Integral {
        uncertainty: total.and_then(|total| sureness.of(from, last, total)),
        accuracy: options.accuracy,
        total_millijoules: total.filter(|_| has_own),
        stages,
        samples: curve.samples_used(from, end),
        gaps: curve.gaps(from, end),
    }
}

fn stages(curve: &Curve, sureness: &Sureness<'_>, marks: &[Mark], end: i64) -> Vec<StageEnergy> {
    let Some(first) = marks.first() else { return Vec::new() };
    let mut from = first.from_unix_ns.min(end);
    let origin = curve.at(from);
    let mut before = origin.since(origin);
    let next_begins = marks.iter().skip(1).map(|mark| mark.from_unix_ns).chain([end]);
    let mut stages = Vec::with_capacity(marks.len());
    for (mark, next) in marks.iter().zip(next_begins) {
        let to = next.clamp(from, end);
        let after = curve.at(to).since(origin);
        let energy = after.millijoules - before.millijoules;
        // The two integrals are rounded on their own, so the part may come out 1 mJ above the whole.
        let estimated = (after.estimated_millijoules - before.estimated_millijoules).min(energy);
        let covered = curve.covers(from, to);
        let known = covered.then_some(energy);
        let bounds = known.and_then(|_| sureness.bounds(from, to, energy, estimated));
        let uncertainty = known.filter(|_| bounds.is_none());
        stages.push(StageEnergy {
            stage: mark.stage,
            from_unix_ns: from,
            duration_ns: to.saturating_sub(from),
            energy_millijoules: known,
            estimated_millijoules: if covered { estimated } else { 0 },
            uncertainty: uncertainty.and_then(|energy| sureness.of(from, to, energy)),
            bounds,
        });
        (from, before) = (to, after);
    }
    stages
}
