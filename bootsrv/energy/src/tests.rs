//! Figures against truths that were worked out another way: by hand, or by a closed form.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the truths are worked out in floating point, far inside the range of the integers"
)]

use super::*;

const SECOND: i64 = 1_000_000_000;
/// An arbitrary moment in 2026, so that a time taken for a duration shows.
const T0: i64 = 1_790_000_000 * SECOND;

/// Numbers that look random and are the same in each run (splitmix64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, limit: i64) -> i64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        i64::try_from((z ^ (z >> 31)) % u64::try_from(limit).unwrap()).unwrap()
    }
}

fn at(seconds: f64, milliwatts: i64) -> Sample {
    Sample { unix_ns: T0 + (seconds * 1e9).round() as i64, milliwatts }
}

fn marks(at_seconds: &[f64]) -> Vec<Mark> {
    Stage::ALL
        .iter()
        .zip(at_seconds)
        .map(|(&stage, &s)| Mark { stage, from_unix_ns: T0 + (s * 1e9).round() as i64 })
        .collect()
}

fn run(samples: &[Sample], bounds: &[f64], options: &Options) -> Integral {
    let (end, starts) = bounds.split_last().unwrap();
    integrate(samples, &marks(starts), T0 + (end * 1e9).round() as i64, options)
}

fn energies(integral: &Integral) -> Vec<Option<i64>> {
    integral.stages.iter().map(|stage| stage.energy_millijoules).collect()
}

fn gap(from_seconds: i64, seconds: i64, bridged: bool) -> Gap {
    Gap { from_unix_ns: T0 + from_seconds * SECOND, duration_ns: seconds * SECOND, bridged }
}

/// Readings about once a second, with times and powers all over the place, some late, some missing.
fn wild(random: &mut Random, count: usize) -> Vec<Sample> {
    let mut now = T0;
    let mut samples = vec![at(0.0, random.below(700_001))];
    for _ in 0..count {
        now += 200_000_000 + random.below(1_600_000_001);
        if random.below(20) == 0 {
            now += random.below(30 * SECOND);
        }
        let late = if random.below(10) == 0 { random.below(3 * SECOND) } else { 0 };
        samples.push(Sample { unix_ns: now - late, milliwatts: random.below(700_001) });
    }
    samples
}

#[test]
fn constant_power_is_power_times_time_whatever_the_rhythm() {
    // 2.05 s polls are where whole-second arithmetic loses 2.4 %.
    for semantics in [Semantics::Instantaneous, Semantics::Held] {
        for period in [0.1, 0.95, 2.05, 4.9] {
            let samples: Vec<_> = (0..100).map(|i| at(f64::from(i) * period, 107_300)).collect();
            let bounds = [0.0, 1.234, 5.5, 99.0 * period];
            let options = Options { semantics, period_ns: SECOND, ..Options::default() };
            let integral = run(&samples, &bounds, &options);
            // 107.3 W: the truth is 107 300 mJ for each second.
            let truth = (107_300.0 * 99.0 * period).round() as i64;
            assert_eq!(integral.total_millijoules, Some(truth), "{semantics:?} {period}");
            assert_eq!(integral.gaps, []);
            assert_eq!(integral.samples, 100);
            assert!(integral.stages.iter().all(|stage| stage.estimated_millijoules == 0));
        }
    }
}

#[test]
fn a_ramp_is_a_triangle_and_its_parts_are_exact() {
    // P(t) = 10 W/s · t: E(a, b) = 5 J/s² · (b² - a²), whether read every second or every four.
    for step in [1, 2, 4] {
        let samples: Vec<_> =
            (0..=20).step_by(step).map(|s| at(f64::from(s), i64::from(s) * 10_000)).collect();
        let integral = run(&samples, &[0.0, 3.0, 3.5, 20.0], &Options::default());
        assert_eq!(energies(&integral), [Some(45_000), Some(16_250), Some(1_938_750)], "{step}");
        assert_eq!(integral.total_millijoules, Some(2_000_000));
    }
}

#[test]
fn a_falling_ramp_is_exact_too() {
    let samples = [at(0.0, 40_000), at(4.0, 0)];
    let integral = run(&samples, &[0.0, 1.0, 4.0], &Options::default());
    assert_eq!(energies(&integral), [Some(35_000), Some(45_000)]);
}

#[test]
fn held_readings_last_until_the_next_one() {
    let samples = [at(0.0, 10_000), at(2.0, 50_000), at(4.0, 0), at(6.0, 90_000)];
    let held = Options { semantics: Semantics::Held, period_ns: 2 * SECOND, ..Options::default() };
    let integral = run(&samples, &[0.0, 1.0, 3.0, 6.0], &held);
    assert_eq!(energies(&integral), [Some(10_000), Some(60_000), Some(50_000)]);
}

#[test]
fn remainders_are_carried_from_stage_to_stage() {
    // 1 mW: half a millijoule in each stage of half a second.
    let samples = [at(0.0, 1), at(4.0, 1)];
    let integral = run(&samples, &[0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0], &Options::default());
    assert_eq!(energies(&integral), [Some(0), Some(1), Some(0), Some(1), Some(0), Some(1)]);
    assert_eq!(integral.total_millijoules, Some(3));
}

#[test]
fn no_reading_is_unknown_and_never_zero() {
    let integral = run(&[], &[0.0, 10.0, 20.0], &Options::default());
    assert_eq!(energies(&integral), [None, None]);
    assert_eq!(integral.total_millijoules, None);
    assert_eq!(integral.samples, 0);
    assert_eq!(integral.gaps, [gap(0, 20, false)]);
    let refused = [Sample { unix_ns: T0, milliwatts: -1 }];
    assert_eq!(run(&refused, &[0.0, 10.0], &Options::default()).total_millijoules, None);
}

#[test]
fn a_reading_of_zero_is_a_measured_zero() {
    let integral = run(&[at(0.0, 0), at(3.0, 0)], &[0.0, 3.0], &Options::default());
    assert_eq!(integral.total_millijoules, Some(0));
}

#[test]
fn no_stage_is_no_total() {
    let integral = integrate(&[at(0.0, 5), at(1.0, 5)], &[], T0, &Options::default());
    assert_eq!((integral.stages.len(), integral.total_millijoules), (0, None));
    assert_eq!(integral.gaps, []);
}

#[test]
fn one_stage_without_readings_makes_the_total_unknown() {
    let samples = [at(0.0, 10_000), at(1.0, 10_000)];
    let integral = run(&samples, &[0.0, 1.0, 6.0, 60.0], &Options::default());
    assert_eq!(energies(&integral), [Some(10_000), Some(50_000), None]);
    assert_eq!(integral.total_millijoules, None);
    assert_eq!(integral.gaps, [gap(6, 54, false)]);
}

#[test]
fn a_stage_outside_the_readings_is_unknown_on_either_side_even_if_it_is_empty() {
    // The readings reach from 15 s to 26 s.
    let samples = [at(20.0, 10_000), at(21.0, 10_000)];
    let bounds = [0.0, 0.0, 14.9, 20.0, 20.0, 26.0, 40.0, 40.0];
    let integral = run(&samples, &bounds, &Options::default());
    let known: Vec<_> = energies(&integral).iter().map(Option::is_some).collect();
    assert_eq!(known, [false, false, true, true, true, false, false]);
    assert_eq!(integral.stages[3].energy_millijoules, Some(0));
}

#[test]
fn the_nearest_reading_is_held_at_the_edges_for_the_allowed_gap_only() {
    // Allowed: 5 s. The readings reach from -5 + 10 to 20 + 5.
    let samples = [at(10.0, 20_000), at(15.0, 20_000), at(20.0, 30_000)];
    let integral = run(&samples, &[0.0, 10.0, 20.0, 40.0], &Options::default());
    assert_eq!(energies(&integral), [Some(100_000), Some(225_000), Some(150_000)]);
    assert_eq!(integral.gaps, [gap(0, 5, false), gap(25, 15, false)]);
    assert_eq!(integral.samples, 3);

    let just_inside = run(&samples, &[5.0, 25.0], &Options::default());
    assert_eq!(just_inside.gaps, []);
}

#[test]
fn one_reading_speaks_for_its_surroundings() {
    let integral = run(&[at(10.0, 20_000)], &[8.0, 12.0], &Options::default());
    assert_eq!(integral.total_millijoules, Some(80_000));
    assert_eq!(integral.samples, 1);
}

#[test]
fn a_long_gap_is_bridged_by_a_line_flagged_and_counted() {
    for semantics in [Semantics::Instantaneous, Semantics::Held] {
        let options = Options { semantics, period_ns: SECOND, ..Options::default() };
        // 10 s from 100 W to 200 W are 1500 J; its first 4 s, up to 140 W, 4 · 120 = 480 J.
        let samples = [at(0.0, 100_000), at(2.0, 100_000), at(12.0, 200_000), at(13.0, 200_000)];
        let integral = run(&samples, &[0.0, 6.0, 13.0], &options);
        assert_eq!(energies(&integral), [Some(680_000), Some(1_220_000)], "{semantics:?}");
        let estimated: Vec<_> = integral.stages.iter().map(|s| s.estimated_millijoules).collect();
        assert_eq!(estimated, [480_000, 1_020_000]);
        assert_eq!(integral.gaps, [gap(2, 10, true)]);
    }
}

#[test]
fn a_gap_begins_just_above_five_seconds_or_three_periods() {
    for (period, allowed) in [(SECOND, 5 * SECOND), (4 * SECOND, 12 * SECOND), (0, 5 * SECOND)] {
        let options = Options { period_ns: period, ..Options::default() };
        assert_eq!(options.gap_allowed_ns(), allowed);
        for (over, gaps) in [(0, 0), (1, 1)] {
            let to = T0 + allowed + over;
            let samples = [at(0.0, 5_000), Sample { unix_ns: to, milliwatts: 5_000 }];
            let mark = Mark { stage: Stage::Job, from_unix_ns: T0 };
            let integral = integrate(&samples, &[mark], to, &options);
            assert_eq!(integral.gaps.len(), gaps, "{period} {over}");
            assert_eq!(integral.stages[0].estimated_millijoules > 0, gaps == 1);
        }
    }
}

#[test]
fn gaps_are_cut_to_the_stages() {
    let samples = [at(0.0, 1_000), at(100.0, 1_000)];
    let integral = run(&samples, &[40.0, 50.0], &Options::default());
    assert_eq!(integral.gaps, [gap(40, 10, true)]);
    assert_eq!(integral.stages[0].estimated_millijoules, 10_000);
    assert_eq!(integral.stages[0].energy_millijoules, Some(10_000));
    assert_eq!(integral.samples, 2);
}

#[test]
fn a_clock_set_back_is_ignored_with_a_gap() {
    let mut samples: Vec<_> = (0..=20).map(|s| at(f64::from(s), 100_000)).collect();
    // The clock goes back by 15 s and shows 900 W there until it has caught up.
    samples.extend((5..12).map(|s| at(f64::from(s), 900_000)));
    samples.extend((30..=40).map(|s| at(f64::from(s), 100_000)));
    let integral = run(&samples, &[0.0, 40.0], &Options::default());
    assert_eq!(integral.total_millijoules, Some(4_000_000));
    assert_eq!(integral.gaps, [gap(20, 10, true)]);
}

#[test]
fn marks_out_of_order_neither_overlap_nor_leave_holes() {
    let samples: Vec<_> = (0..=20).map(|s| at(f64::from(s), 10_000)).collect();
    let integral = run(&samples, &[0.0, 8.0, 4.0, 30.0, 20.0], &Options::default());
    let spans: Vec<_> = integral
        .stages
        .iter()
        .map(|stage| ((stage.from_unix_ns - T0) / SECOND, stage.duration_ns / SECOND))
        .collect();
    assert_eq!(spans, [(0, 8), (8, 0), (8, 12), (20, 0)]);
    assert_eq!(energies(&integral), [Some(80_000), Some(0), Some(120_000), Some(0)]);
    assert_eq!(integral.total_millijoules, Some(200_000));
}

#[test]
fn more_gaps_than_are_listed_are_still_covered_by_the_last_one() {
    // Pairs of readings 1 s apart, with 9 s of nothing between the pairs.
    let samples: Vec<_> = (0..1_500)
        .flat_map(|i| [at(f64::from(i) * 10.0, 1_000), at(f64::from(i) * 10.0 + 1.0, 1_000)])
        .collect();
    let integral = run(&samples, &[0.0, 14_991.0], &Options::default());
    assert_eq!(integral.gaps.len(), GAPS_MAX);
    assert_eq!(integral.gaps[998], gap(9_981, 9, true));
    assert_eq!(integral.gaps[999], gap(9_991, 14_990 - 9_991, true));
    // Without pairs the gaps touch and are one.
    let rare: Vec<_> = (0..1_500).map(|i| at(f64::from(i) * 10.0, 1_000)).collect();
    assert_eq!(run(&rare, &[0.0, 14_990.0], &Options::default()).gaps, [gap(0, 14_990, true)]);
}

#[test]
fn splitting_the_time_anywhere_leaves_the_sum_unchanged() {
    let mut random = Random(1);
    for round in 0..300 {
        let samples = wild(&mut random, 60);
        let semantics = [Semantics::Instantaneous, Semantics::Held][round % 2];
        let options = Options { semantics, period_ns: SECOND, ..Options::default() };
        let from = T0 + random.below(20 * SECOND);
        let end = from + 1 + random.below(60 * SECOND);
        let whole =
            integrate(&samples, &[Mark { stage: Stage::Job, from_unix_ns: from }], end, &options);
        let mut cuts: Vec<i64> = (0..7).map(|_| from + random.below(end - from)).collect();
        cuts.push(from);
        cuts.sort_unstable();
        let parts: Vec<_> = Stage::ALL
            .iter()
            .zip(cuts)
            .map(|(&stage, from_unix_ns)| Mark { stage, from_unix_ns })
            .collect();
        let split = integrate(&samples, &parts, end, &options);
        let known: i64 = split.stages.iter().filter_map(|stage| stage.energy_millijoules).sum();
        assert_eq!(known, whole.total_millijoules.unwrap_or(0), "round {round}");
        assert_eq!((split.gaps, split.samples), (whole.gaps, whole.samples));
        let length: i64 = split.stages.iter().map(|stage| stage.duration_ns).sum();
        assert_eq!(length, end - from);
        for stage in &split.stages {
            let energy = stage.energy_millijoules.unwrap_or(0);
            assert!((0..=energy).contains(&stage.estimated_millijoules));
        }
    }
}

#[test]
fn moving_everything_in_time_changes_no_energy() {
    let mut random = Random(2);
    for _ in 0..200 {
        let samples = wild(&mut random, 40);
        let starts = [0, 7 * SECOND + 13, 19 * SECOND + 7];
        let shift = random.below(i64::MAX / 2);
        let figures = |by: i64| {
            let moved: Vec<_> =
                samples.iter().map(|s| Sample { unix_ns: s.unix_ns + by, ..*s }).collect();
            let marks: Vec<_> = starts
                .iter()
                .map(|start| Mark { stage: Stage::Job, from_unix_ns: T0 + start + by })
                .collect();
            let integral = integrate(&moved, &marks, T0 + 33 * SECOND + by, &Options::default());
            (energies(&integral), integral.total_millijoules, integral.samples)
        };
        assert_eq!(figures(0), figures(shift));
    }
}

#[test]
fn a_thousandfold_power_is_a_thousandfold_energy() {
    let mut random = Random(3);
    for _ in 0..200 {
        let samples: Vec<_> = wild(&mut random, 40)
            .iter()
            .map(|s| Sample { milliwatts: s.milliwatts / 10, ..*s })
            .collect();
        let scaled: Vec<_> =
            samples.iter().map(|s| Sample { milliwatts: s.milliwatts * 1_000, ..*s }).collect();
        let bounds = [2.0, 9.1, 31.7];
        let once = run(&samples, &bounds, &Options::default()).total_millijoules.unwrap();
        let more = run(&scaled, &bounds, &Options::default()).total_millijoules.unwrap();
        assert!((once * 1_000..(once + 1) * 1_000).contains(&more), "{once} {more}");
    }
}

#[test]
fn the_order_of_late_readings_does_not_matter() {
    let mut random = Random(4);
    for _ in 0..100 {
        let in_order: Vec<_> =
            (0..40_i32).map(|i| at(f64::from(i) * 0.9, random.below(500_000))).collect();
        let mut shuffled = in_order.clone();
        for start in (0..40).step_by(4) {
            shuffled[start..start + 4].rotate_left(random.below(4) as usize);
        }
        let bounds = [0.3, 20.0, 35.0];
        let options = Options::default();
        assert_eq!(run(&in_order, &bounds, &options), run(&shuffled, &bounds, &options));
    }
}

#[test]
fn a_reading_on_the_line_between_its_neighbours_changes_nothing() {
    let (ends, bounds) = ([at(0.0, 100_000), at(4.0, 300_000)], [0.0, 1.0, 3.3, 4.0]);
    let refined = [ends[0], at(1.0, 150_000), at(2.0, 200_000), ends[1]];
    let options = Options::default();
    assert_eq!(
        energies(&run(&ends, &bounds, &options)),
        energies(&run(&refined, &bounds, &options))
    );
}

/// The goal for steps: 1 Hz, 15 minutes, ±20 % with a period above 3 s: within 1 % at the worst.
#[test]
fn a_square_wave_stays_within_one_per_cent() {
    for period in [3.1, 4.7, 7.3] {
        for phase in 0..40 {
            let phase = f64::from(phase) / 40.0;
            let high = |t: f64| (t / period).fract() < 0.5;
            let samples: Vec<_> = (0..=900)
                .map(|s| f64::from(s) + phase)
                .map(|t| at(t, if high(t) { 120_000 } else { 80_000 }))
                .collect();
            let integral = run(&samples, &[0.0, 900.0], &Options::default());
            // Closed form: 80 W all the time and 40 W for the high half of each period.
            let (full, rest) = ((900.0 / period).floor(), 900.0 % period);
            let high_seconds = full * period / 2.0 + rest.min(period / 2.0);
            let truth = 80_000.0 * 900.0 + 40_000.0 * high_seconds;
            let error = (integral.total_millijoules.unwrap() as f64 - truth).abs() / truth;
            assert!(error < 0.01, "period {period} phase {phase}: {error}");
        }
    }
}

/// A smooth load, read with the rhythm of a real poller, against its antiderivative.
#[test]
fn a_slow_sine_stays_within_a_tenth_of_a_per_cent_and_the_trapezoid_beats_holding() {
    let mut random = Random(5);
    let omega = std::f64::consts::TAU / 20.0;
    let power = |t: f64| 150_000.0 + 60_000.0 * (omega * t).sin();
    let antiderivative = |t: f64| 150_000.0 * t - 60_000.0 / omega * (omega * t).cos();
    let mut t = 0.0;
    let mut samples = Vec::new();
    while t < 310.0 {
        samples.push(at(t, power(t).round() as i64));
        t += 0.8 + random.below(400) as f64 / 1_000.0;
    }
    let bounds = [0.0, 45.0, 111.1, 305.0];
    let integral = run(&samples, &bounds, &Options::default());
    let held =
        run(&samples, &bounds, &Options { semantics: Semantics::Held, ..Options::default() });
    let truth = antiderivative(305.0) - antiderivative(0.0);
    let error = |i: &Integral| (i.total_millijoules.unwrap() as f64 - truth).abs() / truth;
    assert!(error(&integral) < 0.001, "{}", error(&integral));
    let stage = |i: &Integral, n: usize| i.stages[n].energy_millijoules.unwrap() as f64;
    let first = antiderivative(45.0) - antiderivative(0.0);
    assert!((stage(&integral, 0) - first).abs() < (stage(&held, 0) - first).abs());
}

/// The i7 row of the paper's kind: a boot, the stages' means, and the sum to the millijoule.
#[test]
fn a_boot_in_steps_comes_out_stage_by_stage() {
    // 62 W for 20 s, 45 W for 10 s, 80 W for 30 s, each step drawn within one nanosecond.
    let step = |s: f64, before: i64, after: i64| {
        let edge = at(s, after);
        [Sample { unix_ns: edge.unix_ns - 1, milliwatts: before }, edge]
    };
    let mut samples: Vec<_> = (0..20).map(|s| at(f64::from(s), 62_000)).collect();
    samples.extend(step(20.0, 62_000, 45_000));
    samples.extend((21..30).map(|s| at(f64::from(s), 45_000)));
    samples.extend(step(30.0, 45_000, 80_000));
    samples.extend((31..=60).map(|s| at(f64::from(s), 80_000)));
    let integral = run(&samples, &[0.0, 20.0, 30.0, 60.0], &Options::default());
    let [firmware, loader, kernel] = energies(&integral)[..] else { panic!("three stages") };
    for (measured, truth) in [(firmware, 1_240_000), (loader, 450_000), (kernel, 2_400_000)] {
        assert!((measured.unwrap() - truth).abs() <= 1, "{measured:?} {truth}");
    }
    assert_eq!(integral.total_millijoules, Some(4_090_000));
}

#[test]
fn the_ends_of_time_and_power_do_not_overflow() {
    let samples = [
        Sample { unix_ns: 0, milliwatts: MILLIWATTS_MAX },
        Sample { unix_ns: i64::MAX, milliwatts: MILLIWATTS_MAX },
    ];
    for semantics in [Semantics::Instantaneous, Semantics::Held] {
        let options = Options { semantics, period_ns: i64::MAX, ..Options::default() };
        let mark = Mark { stage: Stage::Job, from_unix_ns: i64::MIN };
        let integral = integrate(&samples, &[mark], i64::MAX, &options);
        // 100 kW for 2⁶³-1 ns, and as long again before the first reading.
        let truth = 2 * (i128::from(i64::MAX) * i128::from(MILLIWATTS_MAX) / 1_000_000_000);
        let total = i128::from(integral.total_millijoules.unwrap());
        assert!((total - truth).abs() <= 1, "{total} {truth}");
    }
    let falling = [samples[0], Sample { unix_ns: i64::MAX, milliwatts: 0 }];
    let mark = Mark { stage: Stage::Job, from_unix_ns: 0 };
    let integral = integrate(&falling, &[mark], i64::MAX, &Options::default());
    let half = i128::from(i64::MAX) * i128::from(MILLIWATTS_MAX) / 2_000_000_000;
    assert!((i128::from(integral.total_millijoules.unwrap()) - half).abs() <= 1);
}
