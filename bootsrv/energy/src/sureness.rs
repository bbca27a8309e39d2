//! How sure the energy between two moments is: a standard uncertainty from independent terms, expanded by
//! two (JCGM 100:2008). docs/energy.md has the terms and why they are as they are.
//!
//! In floating point: IEEE 754 gives the same bits wherever it runs, as only the four operations and square
//! roots are used.

use crate::curve::Curve;
use crate::{Options, Sample};
use protocol::energy::{Bounds, Uncertainty};

/// Coverage factor: about 95 %.
const K: f64 = 2.0;
/// A uniform distribution of this width has the standard deviation 1.
const UNIFORM: f64 = 12.0;
/// The power does not step once at an edge as the model says, but rings and ramps: simulated boots needed so
/// much more (ADR 0021).
const EDGE_SAFETY: f64 = 1.3;
/// Standard uncertainty of a mark's time: how far a notice may be from what it tells of. Seconds.
const MARK_SECONDS: f64 = 0.2;
/// Readings on either side of an edge whose range is taken for the step there.
const NEIGHBOURS: usize = 2;
/// Shorter than so many of the meter's steps in time: it cannot be told from its neighbours.
const STEPS_MIN: i64 = 3;
/// Part of the range of the readings around it by which a power that was not read may lie outside of it.
const UNSEEN: f64 = 0.25;
/// A stage of which more than one part in so many is bridged has bounds only.
const ESTIMATED_PART: i64 = 2;

/// Judges energies by the readings around them.
#[derive(Debug)]
pub(crate) struct Sureness<'a> {
    curve: &'a Curve,
    options: &'a Options,
}

impl<'a> Sureness<'a> {
    pub(crate) fn new(curve: &'a Curve, options: &'a Options) -> Self {
        Self { curve, options }
    }

    /// How sure an energy is; `None`: a part of it has no reading, so that it is a lower bound.
    pub(crate) fn of(&self, from: i64, to: i64, millijoules: i64) -> Option<Uncertainty> {
        if self.curve.gaps(from, to).iter().any(|gap| !gap.bridged) {
            return None;
        }
        let random = [
            self.sampling(from, to),
            self.bridges(from, to),
            self.quantum(from, to),
            self.edge(from),
            self.edge(to),
        ];
        let random: f64 = random.into_iter().map(square).sum();
        let total = random + square(self.calibration(millijoules));
        Some(Uncertainty {
            millijoules: whole(K * total.sqrt()),
            random_millijoules: whole(K * random.sqrt()),
        })
    }

    /// What an energy lies between, where it is too short for its readings or mostly bridged: as if the
    /// whole of it had been near the lowest or the highest power that was read around it.
    pub(crate) fn bounds(
        &self,
        from: i64,
        to: i64,
        millijoules: i64,
        estimated: i64,
    ) -> Option<Bounds> {
        let is_short = to.saturating_sub(from) < STEPS_MIN.saturating_mul(self.step_ns());
        let is_bridged = estimated.saturating_mul(ESTIMATED_PART) > millijoules;
        let (low, high) = self.range(from, to).filter(|_| is_short || is_bridged)?;
        let half = self.options.quantum_milliwatts as f64 / 2.0 + UNSEEN * (high - low);
        let off = self.accuracy();
        let length = seconds(from, to);
        let least = ((low - half) * length * (1.0 - off)).max(0.0);
        Some(Bounds {
            least_millijoules: whole(least.floor()),
            most_millijoules: whole((high + half) * length * (1.0 + off)),
        })
    }

    /// Of reading now and then what changes all the time: half the mean square of the successive
    /// differences is the variance, which no slow drift enlarges (von Neumann 1941).
    fn sampling(&self, from: i64, to: i64) -> f64 {
        let points = self.curve.around(from, to, 1);
        let steps: Vec<f64> = points
            .iter()
            .zip(points.iter().skip(1))
            .filter(|(left, right)| !self.curve.is_gap(left.0, right.0))
            .map(|(left, right)| square(milliwatts(right.0) - milliwatts(left.0)))
            .collect();
        if steps.is_empty() {
            return 0.0;
        }
        let variance = steps.iter().sum::<f64>() / (2.0 * count(&steps));
        let inside = self.curve.around(from, to, 0).len().max(1) as f64;
        (seconds(from, to) - self.bridged_seconds(from, to)) * (variance / inside).sqrt()
    }

    /// Of bridges: the power may have been anything between the lowest and the highest reading. Not of
    /// the two at its ends, which are alike where a node was off in between.
    fn bridges(&self, from: i64, to: i64) -> f64 {
        let bridged = self.bridged_seconds(from, to);
        let (low, high) = self.range(from, to).filter(|_| bridged > 0.0).unwrap_or_default();
        bridged * (high - low) / UNIFORM.sqrt()
    }

    /// Of rounding: a power that does not change is rounded the same way each time, so that more readings
    /// do not help.
    fn quantum(&self, from: i64, to: i64) -> f64 {
        seconds(from, to) * self.options.quantum_milliwatts as f64 / UNIFORM.sqrt()
    }

    /// Of an edge: the power steps there, and nobody knows where between two readings; nor when
    /// exactly the mark was.
    fn edge(&self, at: i64) -> f64 {
        let points = self.curve.around(at, at, NEIGHBOURS);
        let is_first = points.first().is_none_or(|(sample, _)| sample.unix_ns >= at);
        let is_last = points.last().is_none_or(|(sample, _)| sample.unix_ns <= at);
        let (low, high) = extent(points.iter().map(|point| point.0)).unwrap_or_default();
        // With no reading on one side the power may have been 0 there.
        let low = if is_first || is_last { low.min(0.0) } else { low };
        let step = seconds(0, self.step_ns());
        EDGE_SAFETY * (high - low) * (square(step) / UNIFORM + square(MARK_SECONDS)).sqrt()
    }

    /// Of the meter: anything between the two limits is as likely (JCGM 100:2008, 4.3.7).
    fn calibration(&self, millijoules: i64) -> f64 {
        2.0 * self.accuracy() * millijoules as f64 / UNIFORM.sqrt()
    }

    fn accuracy(&self) -> f64 {
        f64::from(self.options.accuracy.parts_per_million) / 1e6
    }

    /// The time between two values that can be told apart.
    fn step_ns(&self) -> i64 {
        self.options.period_ns.max(self.options.refresh_ns)
    }

    fn bridged_seconds(&self, from: i64, to: i64) -> f64 {
        let gaps = self.curve.gaps(from, to);
        let bridged = gaps.iter().filter(|gap| gap.bridged);
        bridged.map(|gap| seconds(0, gap.duration_ns)).sum()
    }

    /// Lowest and highest reading in it and next to it, milliwatts.
    fn range(&self, from: i64, to: i64) -> Option<(f64, f64)> {
        extent(self.curve.around(from, to, NEIGHBOURS).iter().map(|point| point.0))
    }
}

fn extent(samples: impl Iterator<Item = Sample>) -> Option<(f64, f64)> {
    samples.map(milliwatts).fold(None, |so_far, one| {
        let (low, high) = so_far.unwrap_or((one, one));
        Some((low.min(one), high.max(one)))
    })
}

fn milliwatts(sample: Sample) -> f64 {
    sample.milliwatts as f64
}

fn seconds(from: i64, to: i64) -> f64 {
    to.saturating_sub(from) as f64 / 1e9
}

fn square(value: f64) -> f64 {
    value * value
}

fn count(values: &[f64]) -> f64 {
    values.len() as f64
}

/// Whole millijoules, rounded up: nothing is made surer by rounding.
#[expect(
    clippy::cast_possible_truncation,
    reason = "a conversion to an integer stops at the ends of its range"
)]
pub(crate) fn whole(millijoules: f64) -> i64 {
    millijoules.ceil() as i64
}
