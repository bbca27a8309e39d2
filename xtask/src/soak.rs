//! `cargo xtask soak`: the failure matrix again and again on the virtual cluster, the searches that are too
//! long for a test run, and simulated nodes with random faults against the real bootsrv, until something
//! breaks a promise or the list is through. Every storm prints its seed.

use crate::run::{run as start, run_with};
use crate::{build, demo, setup};
use anyhow::Result;
use std::time::{SystemTime, UNIX_EPOCH};

/// One run of `vcluster-storm`.
struct Storm {
    what: &'static str,
    arguments: &'static [&'static str],
}

/// In a minute on a quiet machine: what CI has time for.
const QUICK: [Storm; 1] = [Storm {
    what: "128 nodes, 150 jobs, everything that can go wrong, bootsrv killed now and then",
    arguments: &[
        "--nodes=128",
        "--jobs=150",
        "--job-nodes=6",
        "--faults=0.5",
        "--kill-every=25",
        "--minutes=4",
    ],
}];

/// 10,000 jobs and more, in some hours.
const LONG: [Storm; 5] = [
    Storm {
        what: "1,000 nodes that all boot at once; power commands ignored, downloads cut",
        arguments: &[
            "--nodes=1000",
            "--jobs=50",
            "--job-nodes=20",
            "--equal",
            "--stay-on=0",
            "--minutes=30",
            "--strict",
        ],
    },
    Storm { what: "2,500 jobs", arguments: &FAULTS },
    Storm { what: "2,500 jobs", arguments: &FAULTS },
    Storm { what: "2,500 jobs", arguments: &FAULTS },
    Storm { what: "2,500 jobs", arguments: &FAULTS },
];

const FAULTS: [&str; 6] = [
    "--nodes=250",
    "--jobs=2500",
    "--job-nodes=32",
    "--faults=1",
    "--kill-every=90",
    "--minutes=90",
];

/// How often the cases of the failure matrix must pass in a row.
const MATRIX_TIMES: u32 = 3;
/// How their names begin.
const MATRIX: &str = "matrix_";

/// Builds, and runs everything; `seed`: of the first storm, the others count on from it.
pub(crate) fn run(quick: bool, seed: Option<u64>) -> Result<()> {
    if quick {
        setup::run()?;
        build::run_all()?;
        return storms(&QUICK, seed);
    }
    demo::prepare()?;
    let cases = build::programs().join("vcluster-test");
    for time in 1..=MATRIX_TIMES {
        println!("== failure matrix, {time} of {MATRIX_TIMES}");
        start(&cases.to_string_lossy(), [MATRIX])?;
    }
    println!("== every way in which two faults of the hardware and a restart can meet");
    start("cargo", ["test", "-p", "bootsrv", "--lib", "model_check", "--", "--ignored"])?;
    println!("== a simulated week with all faults");
    let week = ["test", "-p", "bootsrv", "--lib", "a_week_with_faults"];
    run_with("cargo", week, &[("SIMULATED_HOURS", "168")])?;
    storms(&LONG, seed)
}

/// The sample for a run of all tests, which has built everything.
pub(crate) fn sample() -> Result<()> {
    storms(&QUICK, None)
}

fn storms(storms: &[Storm], seed: Option<u64>) -> Result<()> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let first = seed.unwrap_or(since.as_secs());
    let program = build::programs().join("vcluster-storm");
    for (seed, storm) in (first..).zip(storms) {
        println!("== seed {seed}: {}", storm.what);
        let seed = format!("--seed={seed}");
        let arguments = storm.arguments.iter().copied().chain([seed.as_str()]);
        start(&program.to_string_lossy(), arguments)?;
    }
    Ok(())
}
