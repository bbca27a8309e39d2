//! The product on real parts: real slurmctld and munge, real network boots in QEMU, real IPMI.
//!
//! `cargo xtask test` runs it; `cargo xtask test --only NAME` runs the cases whose name contains
//! NAME. All cases share one cluster and run one after the other: each leaves every node off and
//! allocatable, and that is checked too.

mod case;
mod energy;
mod faults;
mod jobs;
mod limits;
mod restarts;
mod secrets;

use anyhow::{Context, Result};
use case::Case;
use std::process::ExitCode;
use std::time::Instant;
use tests::cluster::{Cluster, Options};
use tests::product::{self, Assets};

/// One case.
type Test = fn(&Case) -> Result<()>;

/// Name and what it proves, in the order they run.
const CASES: [(&str, Test); 17] = [
    ("two_kernels", jobs::two_kernels),
    ("other_release", jobs::other_release),
    ("two_nodes_at_once", jobs::two_nodes_at_once),
    ("srun_interactively", jobs::srun_interactively),
    ("queued_job_starts_at_once", jobs::queued_job_starts_at_once),
    ("settings_are_effective", jobs::settings_are_effective),
    ("unknown_kernel_is_refused", limits::unknown_kernel_is_refused),
    ("forbidden_kernel_is_refused_twice", limits::forbidden_kernel_is_refused_twice),
    ("refused_setting_holds_the_job", limits::refused_setting_holds_the_job),
    ("cancel_while_booting", limits::cancel_while_booting),
    ("admins_drain_stays", limits::admins_drain_stays),
    ("bad_nodes_are_drained_and_the_job_goes_on", faults::bad_nodes_are_drained),
    ("all_nodes_bad_holds_the_job", faults::all_nodes_bad_holds_the_job),
    ("bootsrv_is_killed_while_booting", restarts::bootsrv_is_killed_while_booting),
    ("slurmctld_restarts_while_prolog_waits", restarts::slurmctld_restarts_while_prolog_waits),
    ("no_secret_is_seen", secrets::no_secret_is_seen),
    ("energy_agrees_with_the_truth", energy::agrees_with_the_truth),
];

/// Four nodes: two good ones, one more to break, and the last with two hardware threads.
const NODES: u8 = 4;

fn main() -> ExitCode {
    let filters: Vec<String> = std::env::args().skip(1).collect();
    match run(&filters) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(failed) => {
            eprintln!("{failed} case(s) failed");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("real: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(filters: &[String]) -> Result<usize> {
    let dir = format!("/var/tmp/bare-metal-container/test-{}", std::process::id());
    let options = Options { dir: dir.clone().into(), nodes: NODES, ..Options::default() };
    let assets = Assets::beside(&options.program_dir);
    let start = Instant::now();
    let cluster = product::up(options, &assets).context("bringing the cluster up")?;
    println!("cluster up after {:.1} s in {dir}", start.elapsed().as_secs_f64());
    let mut failed = 0;
    for (name, test) in CASES.iter().filter(|case| wanted(case.0, filters)) {
        let start = Instant::now();
        let result = run_case(&cluster, *test);
        let seconds = start.elapsed().as_secs_f64();
        match result {
            Ok(()) => println!("ok      {name} ({seconds:.1} s)"),
            Err(error) => {
                failed += 1;
                println!("FAILED  {name} ({seconds:.1} s): {error:#}");
            }
        }
    }
    failed += usize::from(!leaves_nothing(cluster, failed)?);
    Ok(failed)
}

fn wanted(name: &str, filters: &[String]) -> bool {
    filters.is_empty() || filters.iter().any(|filter| name.contains(filter))
}

fn run_case(cluster: &Cluster, test: Test) -> Result<()> {
    let case = Case::new(cluster);
    let result = test(&case);
    let tidied = case.tidy().context("tidying up after the case");
    result.and(tidied)
}

/// `down` leaves no process, and what it wrote is in one directory. After a failure that is kept.
fn leaves_nothing(cluster: Cluster, failed: usize) -> Result<bool> {
    let dir = cluster.dir().to_owned();
    cluster.down()?;
    let mark = dir.to_string_lossy().into_owned();
    let own = std::process::id().to_string();
    let mut left = Vec::new();
    for entry in std::fs::read_dir("/proc")?.flatten() {
        let arguments = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let arguments = String::from_utf8_lossy(&arguments).replace('\0', " ");
        if arguments.contains(&mark) && entry.file_name() != own.as_str() {
            left.push(arguments);
        }
    }
    let mounts = std::fs::read_to_string("/proc/self/mounts")?;
    left.extend(mounts.lines().filter(|line| line.contains(&mark)).map(String::from));
    for line in &left {
        println!("FAILED  down_leaves_nothing: {line}");
    }
    if failed == 0 && left.is_empty() {
        println!("ok      down_leaves_nothing");
        std::fs::remove_dir_all(&dir)?;
    } else {
        println!("kept: {}", dir.display());
    }
    Ok(left.is_empty())
}
