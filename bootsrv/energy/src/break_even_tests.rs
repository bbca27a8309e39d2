//! The break-even against published figures, against energy.md's, and against dice.

use crate::break_even::{BreakEven, Lack, Verdict, break_even, compare};
use crate::paper::{
    HYPER_THREADS_OFF, I7_BOOT_ELSEWHERE, MEASURED, REDIS_CORE2QUAD_SAVED, REJECTED, repeated,
};
use crate::statistics::{Interval, Summary, fieller, gain, quotient, student};
use protocol::runs::Run;

/// Five runs with that mean and that coefficient of variation.
fn five(mean: f64, variation: f64) -> Summary {
    Summary { count: 5, mean, deviation: Some(mean * variation) }
}

fn in_time(a: Summary, b: Summary, overhead: f64) -> BreakEven {
    break_even(Some(a), Some(b), Some(five(overhead, 0.0)), |_| 1.0)
}

#[track_caller]
fn length(of: BreakEven) -> Interval {
    match of.verdict {
        Verdict::BreaksEven(length) => length,
        other @ (Verdict::Never | Verdict::Undetermined(_)) => panic!("{other:?}"),
    }
}

/// Two-sided 95 %: column t.975 of the table in NIST/SEMATECH e-Handbook of Statistical Methods, 1.3.6.7.2.
/// Between them, for fractions, there is no table: those lie between their neighbours.
#[test]
fn quantiles_are_those_of_published_tables() {
    for (freedom, quantile) in [
        (1.0, 12.706),
        (2.0, 4.303),
        (3.0, 3.182),
        (4.0, 2.776),
        (5.0, 2.571),
        (6.0, 2.447),
        (7.0, 2.365),
        (8.0, 2.306),
        (9.0, 2.262),
        (10.0, 2.228),
        (15.0, 2.131),
        (20.0, 2.086),
        (30.0, 2.042),
        (60.0, 2.000),
        (100.0, 1.984),
        (1_000.0, 1.962),
    ] {
        let found = student(freedom);
        assert!((found - quantile).abs() < 0.000_51, "{freedom}: {found}, not {quantile}");
    }
    // Closed forms: tan(0.475·π), and 2p·√(2/(1 − 4p²)) with p = 0.475.
    let exact = [(0.475 * std::f64::consts::PI).tan(), 0.95 * (2.0 / (1.0_f64 - 0.9025)).sqrt()];
    for (freedom, exact) in [1.0, 2.0].into_iter().zip(exact) {
        let found = student(freedom);
        assert!((found - exact).abs() < 1e-6 * exact, "{freedom}: {found}, not {exact}");
    }
    assert!((4.303..12.706).contains(&student(1.1)), "{}", student(1.1));
    assert!(student(2.5) < 4.303 && student(2.5) > 3.182);
    assert!(student(7.3) < 2.365 && student(7.3) > 2.306);
}

#[test]
fn the_papers_machines_break_even_where_its_figures_say() {
    for row in HYPER_THREADS_OFF {
        let [seconds, joules] = [row.seconds, row.joules].map(|pair| pair.map(|x| five(x, 0.0)));
        let time = length(in_time(seconds[0], seconds[1], row.boot_seconds));
        assert_eq!(time.value.round(), row.break_even[0], "{}", row.machine);
        assert!((time.high - time.low).abs() < 1e-4, "what does not scatter is exact: {time:?}");
        let energy = |boot: f64| {
            let power = joules[0].mean / seconds[0].mean;
            let told =
                break_even(Some(joules[0]), Some(joules[1]), Some(five(boot, 0.0)), |_| power);
            length(told).value.round()
        };
        assert_eq!(energy(row.boot_joules), row.break_even[1], "{}", row.machine);
        if row.machine == "i7" {
            assert_eq!(energy(I7_BOOT_ELSEWHERE.0), I7_BOOT_ELSEWHERE.1);
        }
    }
    // The paper has only what was saved: however long the run was, this is less than nothing.
    for seconds in [100.0, 1_000.0, 10_000.0] {
        let (a, b) = (five(seconds, 0.0), five(seconds - REDIS_CORE2QUAD_SAVED, 0.0));
        assert_eq!(in_time(a, b, 28.1).verdict, Verdict::Never);
    }
}

#[test]
fn the_papers_misprints_are_found() {
    let names: Vec<&str> = REJECTED.iter().map(|(row, _)| *row).collect();
    assert_eq!(repeated(&MEASURED), ["Table VI, power, Xeon"]);
    assert!(names[0].starts_with("Table VI, power, Xeon"));
    let [i7, _] = &HYPER_THREADS_OFF;
    let (printed, elsewhere) = (i7.boot_joules / i7.boot_seconds, I7_BOOT_ELSEWHERE.0 / 31.0);
    assert!(printed > 2.0 * elsewhere, "{printed} W against {elsewhere} W");
    assert!(names[1].contains("1805.3"));
    let (printed, true_rate) = (2.99, 41_943.0 / 12_783.8);
    assert!((true_rate / printed - 1.0_f64).abs() > 0.05);
    assert!(names[2].contains("2.99"));
    assert!(REJECTED.iter().all(|(_, reason)| !reason.is_empty()));
}

/// energy.md, 6.9: runs that scatter by 1 %.
#[test]
fn five_runs_that_scatter_by_one_percent() {
    let of = |told: BreakEven| {
        let length = length(told);
        [length.low, length.value, length.high].map(f64::round)
    };
    let i7 = in_time(five(961.4, 0.01), five(827.1, 0.01), 35.4);
    // energy.md has [233, 278]: Fieller's upper end is 278.6, that of a plain error propagation 278.4.
    assert_eq!(of(i7), [233.0, 253.0, 279.0]);
    // A gain of 2 %: energy.md has 5,020 s [3,120, 13,240], with the normal distribution's quantile. By
    // Student's with eight degrees of freedom five runs tell less than that.
    let (a, b, overhead) = (five(1_000.0, 0.01), five(980.0, 0.01), 100.4);
    assert_eq!(of(in_time(a, b, overhead)), [2_936.0, 5_020.0, 17_926.0]);
    let normal = fieller(1_000.0, 20.0, 980.0, 0.000_02 * 980.0_f64.powi(2), 1.96).unwrap();
    let exact = Interval { value: overhead, low: overhead, high: overhead };
    let normal = quotient(exact, normal).unwrap();
    assert!((normal.low / 3_120.0 - 1.0).abs() < 0.01, "{normal:?}");
    assert!((normal.high / 13_240.0 - 1.0).abs() < 0.03, "{normal:?}");
}

#[test]
fn a_verdict_says_what_can_be_told() {
    let verdict = |a, b| in_time(five(a, 0.01), five(b, 0.01), 35.4).verdict;
    let spread = Verdict::Undetermined(Lack::Difference);
    assert!(matches!(verdict(100.0, 98.0), Verdict::BreaksEven(_)));
    assert_eq!(verdict(100.0, 99.0), spread, "within the scatter");
    assert_eq!(verdict(100.0, 100.0), spread);
    assert_eq!(verdict(100.0, 101.0), spread);
    assert_eq!(verdict(100.0, 102.0), Verdict::Never);
    let (a, b) = (five(100.0, 0.01), five(90.0, 0.01));
    let one = Summary::of(&[90.0]);
    let no = |lack| Verdict::Undetermined(lack);
    let told = |a, b, overhead| break_even(a, b, overhead, |_| 1.0).verdict;
    assert_eq!(told(Some(a), one, Some(b)), no(Lack::Runs));
    assert_eq!(told(None, Some(b), Some(b)), no(Lack::Runs));
    assert_eq!(told(Some(a), Some(b), None), no(Lack::OverheadRuns));
    assert_eq!(told(Some(a), Some(b), one), no(Lack::OverheadRuns));
    assert_eq!(told(Some(b), Some(a), None), Verdict::Never, "whatever the overhead is");
    assert_eq!(told(Some(a), Some(b), Some(five(-1.0, 0.0))), no(Lack::Overhead));
    let free = told(Some(a), Some(b), Some(five(0.0, 0.0)));
    assert_eq!(free, Verdict::BreaksEven(Interval { value: 0.0, low: 0.0, high: 0.0 }));
}

/// Fieller's interval of the ratio and Welch's of the difference agree on what differs from zero.
#[test]
fn the_gain_spans_zero_exactly_where_the_difference_does() {
    let mut dice = Dice(7);
    for _ in 0..200 {
        let runs = |dice: &mut Dice, mean: f64, count: usize| {
            Summary::of(&(0..count).map(|_| dice.normal(mean, 2.0)).collect::<Vec<_>>()).unwrap()
        };
        let (a, b) = (runs(&mut dice, 100.0, 4), runs(&mut dice, 99.0, 7));
        let of = |one: Summary| one.deviation.unwrap().powi(2) / f64::from(one.count);
        let spread = of(a).powi(2) / 3.0 + of(b).powi(2) / 6.0;
        let half = student((of(a) + of(b)).powi(2) / spread) * (of(a) + of(b)).sqrt();
        let gain = gain(&a, &b).unwrap();
        let difference = a.mean - b.mean;
        assert_eq!(gain.low > 0.0, difference - half > 0.0, "{gain:?} {difference} {half}");
        assert_eq!(gain.high < 0.0, difference + half < 0.0, "{gain:?} {difference} {half}");
    }
}

/// The proof of the interval: the true break-even lies in it as often as it says, with an overhead that
/// scatters too.
#[test]
fn the_true_value_is_inside_as_often_as_promised() {
    let (mut dice, mut inside, rounds) = (Dice(42), 0, 1_000);
    let truth = 35.4 / (1.0 - 827.1 / 961.4);
    for _ in 0..rounds {
        let mut five = |mean: f64, variation: f64| {
            let runs: Vec<f64> = (0..5).map(|_| dice.normal(mean, mean * variation)).collect();
            Summary::of(&runs)
        };
        let (a, b) = (five(961.4, 0.01), five(827.1, 0.02));
        let length = length(break_even(a, b, five(35.4, 0.05), |_| 1.0));
        inside += i32::from((length.low..=length.high).contains(&truth));
    }
    let part = f64::from(inside) / f64::from(rounds);
    assert!((0.94..0.975).contains(&part), "{part}");
}

#[test]
fn an_unknown_energy_takes_nothing_from_the_times_and_idle_power_is_taken_off() {
    let run = |seconds: i64, energy: Option<i64>| Run {
        reference: "1".parse().unwrap(),
        restart_count: 0,
        kernel: "k".parse().unwrap(),
        nodes: vec!["n1".parse().unwrap(), "n2".parse().unwrap()],
        job_ns: seconds * 1_000_000_000,
        job_millijoules: energy,
        overhead_ns: 10_000_000_000,
        overhead_millijoules: energy.map(|_| 4_000_000),
        ended_unix_ns: 1,
    };
    let a = [run(100, Some(30_000_000)), run(101, Some(30_100_000)), run(102, None)];
    let b = [run(80, Some(20_000_000)), run(81, Some(20_100_000))];
    let told = compare(&a, &b, None);
    assert_eq!((told.a.job_seconds.unwrap().count, told.a.job_millijoules.unwrap().count), (3, 2));
    assert_eq!(told.b.overhead_millijoules.unwrap().mean, 4_000_000.0);
    // 4 kJ by 10 kJ that 101 s save.
    let energy = length(told.energy).value;
    assert!((energy - 40.4).abs() < 0.1, "{energy}");
    let idle = compare(&a, &b, Some(50_000.0));
    assert_eq!(
        idle.b.overhead_millijoules.unwrap().mean,
        3_000_000.0,
        "50 W of two nodes for 10 s"
    );
    assert_eq!(idle.time, told.time);
    let unknown = compare(&a, &[run(80, None), run(81, None)], None);
    assert_eq!(unknown.energy.verdict, Verdict::Undetermined(Lack::Runs));
    assert!(matches!(unknown.time.verdict, Verdict::BreaksEven(_)));
    assert_eq!(compare(&[], &b, None).time.verdict, Verdict::Undetermined(Lack::Runs));
}

/// The same throws each time (a linear congruential generator by Knuth).
struct Dice(u64);

impl Dice {
    /// Above 0, at most 1.
    fn uniform(&mut self) -> f64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let high = u32::try_from(self.0 >> 32).unwrap();
        (f64::from(high) + 1.0) / (f64::from(u32::MAX) + 1.0)
    }

    /// By Box and Muller.
    fn normal(&mut self, mean: f64, deviation: f64) -> f64 {
        let (radius, turn) =
            ((-2.0 * self.uniform().ln()).sqrt(), std::f64::consts::TAU * self.uniform());
        mean + deviation * radius * turn.cos()
    }
}
