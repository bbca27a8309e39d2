//! The texts of `bmc breakeven`, whole.

use super::super::break_even::report;
use super::*;
use protocol::runs::Runs;

/// Runs on n1 of these seconds and kilojoules, with a boot of 35.4 s and 1.8 kJ; jobs 1, 2, …
pub(crate) fn runs(kernel: &str, figures: &[(f64, Option<f64>)]) -> Runs {
    let run = |(job, (seconds, kilojoules)): (usize, &(f64, Option<f64>))| Run {
        reference: (job + 1).to_string().parse().unwrap(),
        restart_count: 0,
        kernel: kernel.parse().unwrap(),
        nodes: vec!["n1".parse().unwrap()],
        job_ns: format!("{:.0}", seconds * 1e9).parse().unwrap(),
        job_millijoules: kilojoules.map(|energy| format!("{:.0}", energy * 1e6).parse().unwrap()),
        overhead_ns: 35_400_000_000,
        overhead_millijoules: kilojoules.map(|_| 1_805_300),
        ended_unix_ns: 1,
    };
    Runs {
        kernel: kernel.parse().unwrap(),
        runs: figures.iter().enumerate().map(run).collect(),
        tries_max: 1_000,
        is_cut: false,
    }
}

/// Five runs about these figures, with a standard deviation of 1 % of each.
fn five(kernel: &str, seconds: f64, kilojoules: Option<f64>) -> Runs {
    // Their mean is 0 and their sample variance 1.
    let offsets = [-1.264_911, -0.632_456, 0.0, 0.632_456, 1.264_911];
    let figures = offsets.map(|offset| {
        let factor = 1.0 + offset / 100.0;
        (seconds * factor, kilojoules.map(|energy| energy * factor))
    });
    runs(kernel, &figures)
}

fn told(a: Runs, b: Runs, idle_watts: Option<f64>) -> String {
    text(&report([a, b], idle_watts))
}

fn line(text: &str, begin: &str) -> String {
    text.lines().find(|line| line.starts_with(begin)).unwrap_or_default().to_owned()
}

#[test]
fn a_kernel_that_pays_off() {
    let (a, b) = (five("default", 961.4, Some(55.315)), five("no-threads", 827.1, Some(45.364)));
    let expected = "\
KERNEL      RUNS        SECONDS           JOULES
default        5  961.40 ± 9.61  55315.0 ± 553.2
no-threads     5  827.10 ± 8.27  45364.0 ± 453.6

to boot no-threads and to shut it down: 35.40 ± 0.00 s, 1805.3 ± 0.0 J

time:   pays off from a run of 253 s on default [233, 279] (95 %); no-threads saves 14.0 % [12.7, 15.2]
energy: pays off from a run of 174 s on default [164, 187] (95 %); no-threads saves 18.0 % [16.8, 19.2]

- This holds if all these runs did the same work and succeeded, which cannot be seen here: pick them with --job.
- default counts as what the nodes run anyway: only the boot of no-threads is counted.
- What the nodes would have drawn without that boot is not known, and nothing is taken off for it: --idle-watts.
- ±: standard deviation between runs; [ ]: 95 % interval.
";
    assert_eq!(told(a, b, None), expected);
}

#[test]
fn a_kernel_that_never_pays_off_and_one_of_which_it_cannot_be_told() {
    let (a, b) = (five("a", 100.0, Some(5.0)), five("b", 103.0, Some(4.98)));
    let text = told(a, b, None);
    assert_eq!(line(&text, "time"), "time:   never: b takes more time: 3.0 % [1.5, 4.5]");
    let expected = "energy: undetermined: b saves 0.4 % [-1.1, 1.8], and that may be nothing: more runs \
                    would tell";
    assert_eq!(line(&text, "energy"), expected);
}

#[test]
fn what_is_unknown_is_never_zero() {
    let a = runs("a", &[(100.0, None), (101.0, Some(5.0))]);
    let b = runs("b", &[(80.0, None)]);
    let expected = "\
KERNEL  RUNS          SECONDS                          JOULES
a          2    100.50 ± 0.71  5000.0 ± unknown (1 of 2 runs)
b          1  80.00 ± unknown                         unknown

to boot b and to shut it down: 35.40 ± unknown s, unknown J

time:   undetermined: two runs of each kernel are needed of which the time is known
energy: undetermined: two runs of each kernel are needed of which the energy is known

- This holds if all these runs did the same work and succeeded, which cannot be seen here: pick them with --job.
- a counts as what the nodes run anyway: only the boot of b is counted.
- What the nodes would have drawn without that boot is not known, and nothing is taken off for it: --idle-watts.
- ±: standard deviation between runs; [ ]: 95 % interval.
- Few runs: 2 of a, 1 of b; 5 or more of each are advised.
";
    assert_eq!(told(a, b, None), expected);
    let text = told(runs("a", &[]), runs("b", &[]), None);
    assert_eq!(line(&text, "a "), "a          0  unknown  unknown");
}

#[test]
fn idle_power_is_taken_off_and_too_much_of_it_is_told() {
    let told = |watts| {
        let (a, b) = (five("a", 961.4, Some(55.315)), five("b", 827.1, Some(45.364)));
        told(a, b, Some(watts))
    };
    let text = told(31.04);
    assert_eq!(
        line(&text, "to boot"),
        "to boot b and to shut it down: 35.40 ± 0.00 s, 706.5 ± 0.0 J"
    );
    assert!(line(&text, "energy").contains("pays off from a run of 68.3 s on a"), "{text}");
    assert!(text.contains("\n- 31.04 W a node are taken off the energy of that boot, as idle.\n"));
    let text = told(60.0);
    let expected = "energy: undetermined: the idle power is more than the mean power of the boot";
    assert_eq!(line(&text, "energy"), expected);
}

#[test]
fn runs_that_are_hard_to_compare_are_told() {
    let (a, mut b) = (five("a", 100.0, None), five("b", 80.0, None));
    b.runs[0].nodes = vec!["n2".parse().unwrap()];
    b.is_cut = true;
    let text = told(a.clone(), b.clone(), None);
    assert!(text.contains("\n- The runs were on different nodes, and"), "{text}");
    assert!(text.contains("\n- Only the newest 1000 starts of jobs with b were looked at.\n"));
    b.runs[0].nodes.push("n1".parse().unwrap());
    assert!(told(a, b, None).contains("\n- The runs had different numbers of nodes"));
}
