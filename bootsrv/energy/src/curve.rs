//! Power over time as the readings draw it, and its integral from its begin to any moment.
//!
//! Knows nothing of stages. Inside, energies are counted in half picojoules (milliwatts times
//! nanoseconds are picojoules; the half makes every trapezoid a whole number) in 128 bits. Readings
//! are bounded by `MILLIWATTS_MAX` and their times by 63 bits, so that nothing here can overflow.

use crate::{GAPS_MAX, Sample, Semantics};
use protocol::energy::Gap;

const HALF_PICOJOULES_PER_MILLIJOULE: i128 = 2_000_000_000;

/// The integral from an arbitrary origin up to some moment, in half picojoules, rounded down.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Cumulative {
    energy: i128,
    estimated: i128,
}

/// An integral between two moments, in millijoules rounded down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Energy {
    pub(crate) millijoules: i64,
    /// Part of it that bridges gaps.
    pub(crate) estimated_millijoules: i64,
}

impl Cumulative {
    /// The energy since an earlier moment.
    pub(crate) fn since(self, origin: Self) -> Energy {
        Energy {
            millijoules: millijoules(self.energy - origin.energy),
            estimated_millijoules: millijoules(self.estimated - origin.estimated),
        }
    }
}

fn millijoules(half_picojoules: i128) -> i64 {
    let whole = half_picojoules.div_euclid(HALF_PICOJOULES_PER_MILLIJOULE);
    // The highest power for the longest time, held at both ends, is a third of the highest i64.
    i64::try_from(whole).unwrap_or(i64::MAX)
}

/// The readings in order, each with the integral from the first one up to it.
#[derive(Debug)]
pub(crate) struct Curve {
    points: Vec<(Sample, Cumulative)>,
    semantics: Semantics,
    allowed_ns: i64,
}

impl Curve {
    /// `samples` are in order of time, one a moment.
    pub(crate) fn new(samples: Vec<Sample>, semantics: Semantics, allowed_ns: i64) -> Self {
        let mut curve = Self { points: Vec::with_capacity(samples.len()), semantics, allowed_ns };
        for sample in samples {
            let so_far = curve.points.last().map_or_else(Cumulative::default, |(left, sum)| {
                curve.piece(*left, *sum, sample, sample.unix_ns)
            });
            curve.points.push((sample, so_far));
        }
        curve
    }

    /// The integral up to `at`. Where nothing is covered it does not grow.
    pub(crate) fn at(&self, at: i64) -> Cumulative {
        let after = self.points.partition_point(|(sample, _)| sample.unix_ns <= at);
        let left = after.checked_sub(1).and_then(|index| self.points.get(index));
        match (left, self.points.get(after)) {
            (None, None) => Cumulative::default(),
            (None, Some((first, _))) => {
                let held_ns = ns_between(at, first.unix_ns).min(self.allowed_ns.into());
                Cumulative { energy: -2 * i128::from(first.milliwatts) * held_ns, estimated: 0 }
            }
            (Some((last, sum)), None) => {
                let held_ns = ns_between(last.unix_ns, at).min(self.allowed_ns.into());
                let held = 2 * i128::from(last.milliwatts) * held_ns;
                Cumulative { energy: sum.energy + held, ..*sum }
            }
            (Some((left, sum)), Some((right, _))) => self.piece(*left, *sum, *right, at),
        }
    }

    /// `sum` at `left` continued to `at`, which lies between the neighbours `left` and `right`.
    fn piece(&self, left: Sample, sum: Cumulative, right: Sample, at: i64) -> Cumulative {
        let is_gap = self.is_gap(left, right);
        let (part, whole) = (ns_between(left.unix_ns, at), ns_between(left.unix_ns, right.unix_ns));
        let level = 2 * i128::from(left.milliwatts) * part;
        let rise = match self.semantics {
            Semantics::Held if !is_gap => 0,
            Semantics::Held | Semantics::Instantaneous => {
                // rise · part² / whole, with the division drawn forward so that it fits 128 bits.
                let rise = i128::from(right.milliwatts - left.milliwatts) * part;
                rise.div_euclid(whole) * part + (rise.rem_euclid(whole) * part).div_euclid(whole)
            }
        };
        let energy = level + rise;
        Cumulative {
            energy: sum.energy + energy,
            estimated: sum.estimated + if is_gap { energy } else { 0 },
        }
    }

    /// The readings between two moments, and `more` on either side.
    pub(crate) fn around(&self, from: i64, to: i64, more: usize) -> &[(Sample, Cumulative)] {
        let first = self.points.partition_point(|(sample, _)| sample.unix_ns < from);
        let end = self.points.partition_point(|(sample, _)| sample.unix_ns <= to);
        let end = end.saturating_add(more).min(self.points.len());
        self.points.get(first.saturating_sub(more)..end).unwrap_or_default()
    }

    pub(crate) fn is_gap(&self, left: Sample, right: Sample) -> bool {
        ns_between(left.unix_ns, right.unix_ns) > self.allowed_ns.into()
    }

    /// First and last moment that a reading speaks for.
    fn reach(&self) -> Option<(i64, i64)> {
        let ((first, _), (last, _)) = (self.points.first()?, self.points.last()?);
        let from = first.unix_ns.saturating_sub(self.allowed_ns);
        Some((from, last.unix_ns.saturating_add(self.allowed_ns)))
    }

    /// Whether readings speak for any part of a stage; of an empty one, for its moment.
    pub(crate) fn covers(&self, from: i64, to: i64) -> bool {
        self.reach().is_some_and(|(first, last)| match from == to {
            true => (first..=last).contains(&from),
            false => from < last && first < to,
        })
    }

    /// How many readings have a part in the integral between two moments.
    pub(crate) fn samples_used(&self, from: i64, to: i64) -> u32 {
        if !self.covers(from, to) {
            return 0;
        }
        let until_from = self.points.partition_point(|(sample, _)| sample.unix_ns <= from);
        let before_to = self.points.partition_point(|(sample, _)| sample.unix_ns < to);
        let first = until_from.saturating_sub(1);
        let end = before_to.saturating_add(1).min(self.points.len());
        u32::try_from(end.saturating_sub(first)).unwrap_or(u32::MAX)
    }

    /// Gaps between two moments: bridged ones, and edges that no reading speaks for.
    pub(crate) fn gaps(&self, from: i64, to: i64) -> Vec<Gap> {
        let mut gaps = Vec::new();
        let mut add = |begin: i64, end: i64, bridged: bool| {
            let (begin, end) = (begin.max(from), end.min(to));
            if begin < end {
                push_gap(&mut gaps, begin, end, bridged);
            }
        };
        let Some((first, last)) = self.reach() else {
            add(from, to, false);
            return gaps;
        };
        add(i64::MIN, first, false);
        for (left, right) in self.points.iter().zip(self.points.iter().skip(1)) {
            if self.is_gap(left.0, right.0) {
                add(left.0.unix_ns, right.0.unix_ns, true);
            }
        }
        add(last, i64::MAX, false);
        gaps
    }
}

/// Adds a gap; one that begins where the last one ended continues it (readings far too rare).
fn push_gap(gaps: &mut Vec<Gap>, begin: i64, end: i64, bridged: bool) {
    let full = gaps.len() >= GAPS_MAX;
    match gaps.last_mut() {
        Some(gap) if full || gap.from_unix_ns.saturating_add(gap.duration_ns) == begin => {
            gap.duration_ns = end.saturating_sub(gap.from_unix_ns);
            gap.bridged &= bridged;
        }
        _ => {
            gaps.push(Gap { from_unix_ns: begin, duration_ns: end.saturating_sub(begin), bridged });
        }
    }
}

fn ns_between(from: i64, to: i64) -> i128 {
    i128::from(to) - i128::from(from)
}
