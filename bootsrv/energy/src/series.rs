//! Readings for the eye: as they are, or so few that a picture can hold them, with every peak still there.

use crate::{Options, Sample, clean};
use protocol::power_series::PowerPoint;

/// Readings to be drawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Series {
    /// In the order of time.
    pub points: Vec<PowerPoint>,
    /// Readings they are made of: those that can be one.
    pub readings: u32,
    /// Points stand for several readings.
    pub is_reduced: bool,
}

/// At most `points_max` points (at least one). More readings than that are put together by equal spans of
/// time; a span without any has no point.
#[must_use]
pub fn series(samples: &[Sample], options: &Options, points_max: u32) -> Series {
    let in_order = clean::in_order(samples, options.gap_allowed_ns());
    let readings = u32::try_from(in_order.len()).unwrap_or(u32::MAX);
    let is_reduced = readings > points_max;
    let points: Vec<PowerPoint> = if is_reduced {
        let first = in_order.first().map_or(0, |sample| sample.unix_ns);
        let last = in_order.last().map_or(0, |sample| sample.unix_ns);
        // Times are not negative, so that a difference fits.
        let span = (last - first) / i64::from(points_max.max(1)) + 1;
        let same = |left: &Sample, right: &Sample| {
            (left.unix_ns - first) / span == (right.unix_ns - first) / span
        };
        in_order.chunk_by(same).filter_map(together).collect()
    } else {
        in_order.chunks(1).filter_map(together).collect()
    };
    Series { points, readings, is_reduced }
}

fn together(readings: &[Sample]) -> Option<PowerPoint> {
    let (first, last) = (readings.first()?, readings.last()?);
    let powers = || readings.iter().map(|sample| sample.milliwatts);
    let count = i64::try_from(readings.len()).ok()?;
    Some(PowerPoint {
        unix_ns: first.unix_ns + (last.unix_ns - first.unix_ns) / 2,
        milliwatts: powers().sum::<i64>() / count,
        least_milliwatts: powers().min()?,
        most_milliwatts: powers().max()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(readings: &[(i64, i64)], points_max: u32) -> Series {
        let sample = |&(unix_ns, milliwatts)| Sample { unix_ns, milliwatts };
        let samples: Vec<Sample> = readings.iter().map(sample).collect();
        series(&samples, &Options::default(), points_max)
    }

    fn point(unix_ns: i64, [least, mean, most]: [i64; 3]) -> PowerPoint {
        PowerPoint { unix_ns, milliwatts: mean, least_milliwatts: least, most_milliwatts: most }
    }

    #[test]
    fn few_readings_stay_as_they_are_but_for_what_cannot_be_one() {
        let series = of(&[(10, 5), (20, -1), (30, 7), (40, i64::MAX)], 2);
        let points = vec![point(10, [5; 3]), point(30, [7; 3])];
        assert_eq!(series, Series { points, readings: 2, is_reduced: false });
        assert_eq!(of(&[], 2), Series { points: vec![], readings: 0, is_reduced: false });
    }

    #[test]
    fn many_are_put_together_by_time() {
        // Spans of 34 from 0 on; none in the second.
        let series = of(&[(0, 10), (4, 30), (20, 20), (70, 5), (100, 8)], 3);
        let points = vec![point(10, [10, 20, 30]), point(85, [5, 6, 8])];
        assert_eq!(series, Series { points, readings: 5, is_reduced: true });
    }

    #[test]
    fn every_peak_survives_wherever_it_is() {
        const SECOND: i64 = 1_000_000_000;
        for (peak, points_max) in [(0, 2_000), (4_999, 2_000), (9_998, 7), (5_000, 1)] {
            let power = |second| if second == peak { 900_000 } else { 100_000 - second };
            let readings: Vec<_> = (0..9_999).map(|at| (at * SECOND, power(at))).collect();
            let series = of(&readings, points_max);
            assert!(series.is_reduced && series.points.len() <= points_max as usize);
            assert_eq!(series.readings, 9_999);
            let most = series.points.iter().map(|point| point.most_milliwatts).max();
            assert_eq!(most, Some(900_000), "{peak} of {points_max}");
            let least = series.points.iter().map(|point| point.least_milliwatts).min();
            assert_eq!(least, readings.iter().map(|reading| reading.1).min());
            assert!(series.points.is_sorted_by(|left, right| left.unix_ns < right.unix_ns));
        }
    }

    #[test]
    fn the_ends_of_time_do_not_overflow() {
        let series = of(&[(0, 1), (1, 2), (i64::MAX, 3)], 2);
        assert_eq!(series.points, [point(0, [1, 1, 2]), point(i64::MAX, [3; 3])]);
    }
}
