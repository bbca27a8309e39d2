//! Readings as they arrived → readings in order of time, one a moment, all of them plausible.
//!
//! Knows nothing of stages or energy.

use crate::{MILLIWATTS_MAX, Sample};

/// Drops what cannot be a reading, sorts late ones in, ignores those of a clock that was set back
/// by more than `late_max_ns`, and joins those of the same moment.
pub(crate) fn in_order(samples: &[Sample], late_max_ns: i64) -> Vec<Sample> {
    let mut newest = i64::MIN;
    let mut kept: Vec<Sample> = samples
        .iter()
        .copied()
        .filter(|sample| sample.unix_ns >= 0 && (0..=MILLIWATTS_MAX).contains(&sample.milliwatts))
        .filter(|sample| {
            let in_time = sample.unix_ns >= newest.saturating_sub(late_max_ns);
            newest = newest.max(sample.unix_ns);
            in_time
        })
        .collect();
    kept.sort_unstable_by_key(|sample| sample.unix_ns);
    kept.chunk_by(|left, right| left.unix_ns == right.unix_ns).filter_map(mean).collect()
}

/// Readings of one moment as one; the mean, so that their order does not matter.
fn mean(same_moment: &[Sample]) -> Option<Sample> {
    let first = same_moment.first()?;
    let count = i64::try_from(same_moment.len()).ok()?;
    // Each is at most MILLIWATTS_MAX, so that the sum fits for more readings than memory holds.
    let sum: i64 = same_moment.iter().map(|sample| sample.milliwatts).sum();
    Some(Sample { unix_ns: first.unix_ns, milliwatts: sum / count })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(unix_ns: i64, milliwatts: i64) -> Sample {
        Sample { unix_ns, milliwatts }
    }

    #[test]
    fn late_readings_find_their_place_and_those_of_a_clock_set_back_are_dropped() {
        let arrived = [
            sample(100, 1),
            sample(102, 3),
            sample(101, 2), // late by 1
            sample(95, 9),  // a clock set back by 7: longer than 5
            sample(97, 4),  // exactly 5 behind the newest: still late
            sample(103, 5),
        ];
        let expected =
            [sample(97, 4), sample(100, 1), sample(101, 2), sample(102, 3), sample(103, 5)];
        assert_eq!(in_order(&arrived, 5), expected);
    }

    #[test]
    fn readings_of_one_moment_count_as_their_mean() {
        let arrived = [sample(1, 10), sample(2, 7), sample(1, 20), sample(2, 7)];
        assert_eq!(in_order(&arrived, 5), [sample(1, 15), sample(2, 7)]);
    }

    #[test]
    fn what_cannot_be_a_reading_is_refused_and_zero_is_a_reading() {
        let arrived = [
            sample(1, -1),
            sample(2, 0),
            sample(3, MILLIWATTS_MAX),
            sample(4, MILLIWATTS_MAX + 1),
            sample(5, i64::MAX),
        ];
        assert_eq!(in_order(&arrived, 5), [sample(2, 0), sample(3, MILLIWATTS_MAX)]);
    }

    #[test]
    fn a_refused_reading_does_not_move_the_clock() {
        assert_eq!(in_order(&[sample(1_000, -1), sample(1, 5)], 5), [sample(1, 5)]);
    }

    #[test]
    fn the_ends_of_time_do_not_overflow() {
        let arrived = [sample(i64::MIN, 1), sample(0, 1), sample(i64::MAX, 1), sample(-1, 1)];
        assert_eq!(in_order(&arrived, 5), [sample(0, 1), sample(i64::MAX, 1)]);
    }
}
