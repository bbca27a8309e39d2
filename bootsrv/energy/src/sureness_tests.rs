//! Whether the truth lies where the figures say, counted over many simulated boots. The power is steps in
//! time, so that its integral is a sum of rectangles, worked out here without the code under test.

#![expect(
    clippy::cast_possible_truncation,
    reason = "the truths are worked out in floating point, far inside the range of the integers"
)]

use super::*;
use crate::tests::Random;
use protocol::energy::{AccuracyBasis, Bounds};

const SECOND: i64 = 1_000_000_000;
const T0: i64 = 1_790_000_000 * SECOND;
/// Of each boot, in seconds: firmware, boot loader, kernel, init, waiting, job, shutdown, settling. The
/// second and the fifth are too short for one reading a second.
const LENGTHS: [f64; 8] = [63.0, 2.0, 13.0, 11.0, 0.4, 300.0, 20.0, 8.0];
const STAGES: [Stage; 8] = [
    Stage::Firmware,
    Stage::BootLoader,
    Stage::KernelAndInitrd,
    Stage::Init,
    Stage::WaitForPeers,
    Stage::Job,
    Stage::Shutdown,
    Stage::Settle,
];

impl Random {
    fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.below(1_000_001) as f64 / 1e6
    }
}

/// Watts from a moment on, in seconds since T0.
struct Signal(Vec<(f64, f64)>);

impl Signal {
    fn at(&self, seconds: f64) -> f64 {
        self.0.iter().take_while(|step| step.0 <= seconds).last().map_or(0.0, |step| step.1)
    }

    /// Joules between two moments.
    fn truth(&self, from: f64, to: f64) -> f64 {
        let ends = self.0.iter().skip(1).map(|step| step.0).chain([f64::INFINITY]);
        let pieces = self.0.iter().zip(ends);
        pieces.map(|(step, end)| step.1 * (end.min(to) - step.0.max(from)).max(0.0)).sum()
    }

    /// The mean of the seconds before, as many controllers show it.
    fn mean_at(&self, seconds: f64, window: f64) -> f64 {
        self.truth(seconds - window, seconds) / window
    }
}

/// A node that is off, boots, works in turns of some seconds, and goes off; and when its stages begin.
fn boot(random: &mut Random) -> (Signal, Vec<f64>) {
    let levels = [60.0, 45.0, 95.0, 70.0, 55.0, 110.0, 65.0, 4.0];
    let (mut steps, mut begins) = (vec![(-100.0, 4.0)], Vec::new());
    let mut now = random.between(0.0, 1.0);
    for (level, length) in levels.into_iter().zip(LENGTHS) {
        begins.push(now);
        let (end, level) =
            (now + length * random.between(0.9, 1.1), level * random.between(0.9, 1.1));
        // Settling is quiet; all else goes up and down by a fifth, each stage at a pace of its own.
        let half = random.between(1.5, 6.0);
        let swing = if level < 10.0 { 0.0 } else { 0.2 };
        let mut sign = 1.0;
        while now < end {
            steps.push((now, level * (1.0 + sign * swing)));
            sign = -sign;
            now += half;
        }
        now = end;
    }
    begins.push(now);
    (Signal(steps), begins)
}

/// What a meter shows of it once a second or so, from before the boot until after it.
fn readings(random: &mut Random, end: f64, mut watts: impl FnMut(f64) -> f64) -> Vec<Sample> {
    let mut samples = Vec::new();
    let mut now = -5.0 + random.between(0.0, 1.0);
    while now < end + 5.0 {
        let milliwatts = watts(now).round() as i64 * 1_000;
        samples.push(Sample { unix_ns: T0 + (now * 1e9) as i64, milliwatts });
        now += random.between(0.95, 1.05);
    }
    samples
}

fn record(samples: &[Sample], begins: &[f64], options: &Options) -> Integral {
    let at = |seconds: f64| T0 + (seconds * 1e9) as i64;
    let (end, starts) = begins.split_last().unwrap();
    let marks: Vec<Mark> = STAGES
        .iter()
        .zip(starts)
        .map(|(&stage, &from)| Mark { stage, from_unix_ns: at(from) })
        .collect();
    integrate(samples, &marks, at(*end), options)
}

/// Of how many, how many.
#[derive(Debug, Default, Clone, Copy)]
struct Share(u32, u32);

impl Share {
    fn count(&mut self, is_so: bool) {
        self.0 += u32::from(is_so);
        self.1 += 1;
    }

    fn percent(self) -> f64 {
        100.0 * f64::from(self.0) / f64::from(self.1)
    }
}

/// How often the truth lies within what is stated, for the figures of each stage, all bounds, and totals.
/// `meter_off`: by which part of what it shows the meter is off, at most.
fn coverage(boots: u64, meter_off: f64, by: fn(&Uncertainty) -> i64) -> ([Share; 8], Share, Share) {
    let (mut stages, mut bounded, mut totals) = <([Share; 8], Share, Share)>::default();
    for seed in 0..boots {
        let random = &mut Random(seed);
        let (signal, begins) = boot(random);
        let off = 1.0 + random.between(-meter_off, meter_off);
        let samples = readings(random, begins[8], |now| signal.at(now) * off);
        let record = record(&samples, &begins, &Options::default());
        let within = |energy: Option<i64>, sure: &Uncertainty, truth: f64| {
            (energy.unwrap() as f64 - truth * 1e3).abs() <= by(sure) as f64
        };
        for (number, stage) in record.stages.iter().enumerate() {
            let truth = signal.truth(begins[number], begins[number + 1]);
            match (&stage.uncertainty, &stage.bounds) {
                (Some(sure), None) => {
                    stages[number].count(within(stage.energy_millijoules, sure, truth));
                }
                (None, Some(Bounds { least_millijoules, most_millijoules })) => {
                    let stated = *least_millijoules as f64..=*most_millijoules as f64;
                    bounded.count(stated.contains(&(truth * 1e3)));
                }
                other => panic!("{other:?}"),
            }
        }
        let truth = signal.truth(begins[0], begins[8]);
        totals.count(within(record.total_millijoules, &record.uncertainty.unwrap(), truth));
    }
    (stages, bounded, totals)
}

#[test]
fn ninety_five_of_a_hundred_truths_lie_within_what_is_stated() {
    let by: [fn(&Uncertainty) -> i64; 2] = [|u| u.random_millijoules, |u| u.millijoules];
    for (meter_off, by) in [0.0, 0.05].into_iter().zip(by) {
        let (stages, bounded, totals) = coverage(1_000, meter_off, by);
        let figures = stages.into_iter().filter(|share| share.1 > 0);
        for share in figures.clone().chain([bounded, totals]) {
            assert!(share.percent() >= 90.0, "{meter_off}: {stages:?} {bounded:?} {totals:?}");
        }
        let all = figures
            .chain([totals])
            .fold(Share(0, 0), |all, one| Share(all.0 + one.0, all.1 + one.1));
        assert!(all.percent() >= 95.0, "{meter_off}: {all:?} {stages:?}");
        // The two that are too short, and no others, have bounds.
        assert_eq!((stages[1].1, stages[4].1, bounded.1), (0, 0, 2_000), "{stages:?}");
    }
}

/// What is stated is no wider than it is worth: a total within 1 % and the long stages within 5 % but
/// for the meter's own accuracy.
#[test]
fn what_is_stated_is_worth_something() {
    let random = &mut Random(7);
    let (signal, begins) = boot(random);
    let samples = readings(random, begins[8], |now| signal.at(now));
    let record = record(&samples, &begins, &Options::default());
    let share = |sure: Option<Uncertainty>, of: Option<i64>| {
        sure.unwrap().random_millijoules as f64 / of.unwrap() as f64
    };
    assert!(share(record.uncertainty, record.total_millijoules) < 0.025, "{record:?}");
    for stage in [0, 5] {
        let stage = &record.stages[stage];
        assert!(share(stage.uncertainty, stage.energy_millijoules) < 0.05, "{stage:?}");
    }
}

/// A controller that shows the mean of the last five seconds is late by half of them. Who knows it gets
/// the boot right; who does not is off by several per cent, and what is stated does not hold.
#[test]
fn a_lag_that_is_known_is_taken_back() {
    let mut errors = [0.0_f64; 2];
    for seed in 0..100 {
        let random = &mut Random(seed);
        let (signal, begins) = boot(random);
        let samples = readings(random, begins[8], |now| signal.mean_at(now, 5.0));
        let boots = signal.truth(begins[0], begins[5]) * 1e3;
        for (lag_ns, error) in [5 * SECOND / 2, 0].into_iter().zip(&mut errors) {
            let options = Options { lag_ns, refresh_ns: 5 * SECOND, ..Options::default() };
            let record = record(&samples, &begins, &options);
            let energies = record.stages.iter().take(5).map(|one| one.energy_millijoules.unwrap());
            *error = error.max((energies.sum::<i64>() as f64 - boots).abs() / boots);
        }
    }
    let [known, ignored] = errors;
    assert!(known < 0.03, "{known}");
    assert!(ignored > 0.03, "{ignored}");
}

#[test]
fn a_bridge_makes_a_figure_unsure_and_a_missing_edge_takes_its_sureness_away() {
    let samples: Vec<Sample> = (0..=900)
        .filter(|second| !(400..=430).contains(second))
        .map(|second| Sample {
            unix_ns: T0 + second * SECOND,
            milliwatts: if second % 7 < 3 { 120_000 } else { 80_000 },
        })
        .collect();
    let job = |from: i64, to: i64| {
        let mark = Mark { stage: Stage::Job, from_unix_ns: T0 + from * SECOND };
        integrate(&samples, &[mark], T0 + to * SECOND, &Options::default())
    };
    let random = |one: &Integral| one.uncertainty.unwrap().random_millijoules;
    // Twice: 32 s anywhere between 80 and 120 W, 32 · 40/√12; 868 readings that differ by 40 W twice in
    // seven seconds, 868 s · √(40² · 2/7 / 2) / √870; watts that are rounded, 900 · 1/√12.
    let truth = 2_000.0 * (369.5_f64.powi(2) + 444.9_f64.powi(2) + 259.8_f64.powi(2)).sqrt();
    let (with, without) = (random(&job(0, 900)), random(&job(440, 900)));
    assert!((with as f64 / truth - 1.0).abs() < 0.03, "{with} {truth}");
    assert!(without < with);
    assert_eq!(job(0, 950).uncertainty, None, "the last 45 s were not read");
    // Mostly bridged: 40 s of 80 - 0.5 - 10 W, or of 120 + 0.5 + 10 W, by a meter that may be 5 % off.
    let bridged = job(395, 435).stages[0].clone();
    let expected = Bounds { least_millijoules: 2_641_000, most_millijoules: 5_481_000 };
    assert_eq!((bridged.uncertainty, bridged.bounds), (None, Some(expected)));
}

#[test]
fn what_the_site_states_of_its_meters_replaces_the_assumption() {
    let samples: Vec<Sample> = (0..=100)
        .map(|second| Sample { unix_ns: T0 + second * SECOND, milliwatts: 100_000 })
        .collect();
    let stated = Accuracy { parts_per_million: 10_000, basis: AccuracyBasis::Stated };
    let [assumed, stated] = [Accuracy::ASSUMED, stated].map(|accuracy| {
        let mark = Mark { stage: Stage::Job, from_unix_ns: T0 };
        let options = Options { accuracy, ..Options::default() };
        integrate(&samples, &[mark], T0 + 100 * SECOND, &options).uncertainty.unwrap()
    });
    assert_eq!(assumed.random_millijoules, stated.random_millijoules);
    // 10 kJ, 5 % and 1 % of it over √3, twice: 577 J and 115 J, besides what is random.
    let of_meter = |one: Uncertainty| {
        let (all, random) = (one.millijoules as f64, one.random_millijoules as f64);
        (all * all - random * random).sqrt() / 1e3
    };
    assert!((of_meter(assumed) - 577.35).abs() < 0.1, "{assumed:?}");
    assert!((of_meter(stated) - 115.47).abs() < 0.1, "{stated:?}");
}
