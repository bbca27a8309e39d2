//! Runs.

use super::dice::Dice;
use super::machine::{self, Machine};
use super::slurmctld::{Job, Node, Phase, Slurmctld};
use super::world::{Shared, World, go, with};
use super::{bootsrv, faults};
use crate::clock::simulated;
use std::collections::{BTreeMap, VecDeque};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::runtime::Builder;
use tokio::time::{Instant, sleep};

const NODES: usize = 4;
const HOUR: u64 = 3_600;
/// At the end the jobs that still wait get so many hours, with all nodes in service.
const REST_HOURS: u64 = 48;

/// Longest a run may take in real time, beside a part of the simulated one: a part that never waits would
/// stop that.
const REAL_MAX: Duration = Duration::from_secs(1_200);
/// Simulated seconds in one of real time, at least.
const QUICKER: u64 = 120;

/// Ends the tests if it is not dropped in time.
fn watchdog(seed: u64, seconds: u64) -> Sender<()> {
    let limit = REAL_MAX + Duration::from_secs(seconds / QUICKER);
    let (alive, ends) = channel();
    std::thread::spawn(move || {
        if ends.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
            eprintln!("simulation, seed {seed}: time stands still");
            std::process::abort();
        }
    });
    alive
}

/// How a run ended.
#[derive(Debug)]
struct Report {
    counts: BTreeMap<String, u32>,
    broken: Vec<String>,
    digest: u64,
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wrong {
    Nothing,
    Anything,
    TheClock,
}

/// A run of so many seconds.
fn run(seed: u64, seconds: u64, wrong: Wrong) -> Report {
    let _watchdog = watchdog(seed, seconds);
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let report = runtime.block_on(async {
        simulated::set(1_795_000_000_000_000_000);
        let directory = tempfile::tempdir().unwrap();
        let shared = world(seed, directory.path());
        bootsrv::start(&shared);
        for index in 0..NODES {
            go(&shared, machine::run(Arc::clone(&shared), index));
        }
        go(&shared, slurmctld(Arc::clone(&shared)));
        let end = Instant::now() + Duration::from_secs(seconds);
        match wrong {
            Wrong::Nothing => {}
            Wrong::Anything => {
                go(&shared, faults::inject(Arc::clone(&shared), end));
                go(&shared, faults::admin(Arc::clone(&shared)));
            }
            Wrong::TheClock => drop(go(&shared, faults::set_the_clock(Arc::clone(&shared), end))),
        }
        submit(&shared, end).await;
        for _ in 0..REST_HOURS {
            sleep(Duration::from_secs(HOUR)).await;
            if with(&shared, |world| world.slurm.jobs.iter().all(Job::is_over)) {
                break;
            }
            with(&shared, World::return_all);
        }
        // The last of them has left its nodes.
        sleep(Duration::from_secs(HOUR)).await;
        bootsrv::kill(&shared);
        with(&shared, |world| {
            world.judge_rest();
            world.count_ends();
            Report {
                counts: std::mem::take(&mut world.counts),
                broken: std::mem::take(&mut world.broken),
                digest: world.digest,
            }
        })
    });
    simulated::end();
    report
}

fn world(seed: u64, directory: &std::path::Path) -> Shared {
    let (config, hub) = bootsrv::site(directory);
    let store = bootsrv::store(NODES);
    let definitions: Vec<_> =
        store.nodes().unwrap().into_iter().map(|row| row.definition).collect();
    let nodes = definitions.iter().map(|one| Node::new(one.name.clone())).collect();
    Arc::new(Mutex::new(World {
        dice: Dice::new(seed),
        machines: definitions.into_iter().map(Machine::new).collect(),
        slurm: Slurmctld { nodes, ..Slurmctld::default() },
        store,
        config,
        hub,
        app: None,
        next_hook: None,
        calls: vec![],
        deployments: BTreeMap::new(),
        counts: BTreeMap::new(),
        broken: vec![],
        trace: VecDeque::new(),
        digest: 0xcbf2_9ce4_8422_2325,
        start: Instant::now(),
        clock_was_set: false,
    }))
}

async fn slurmctld(shared: Shared) {
    let mut was_away = false;
    loop {
        sleep(Duration::from_secs(1)).await;
        with(&shared, |world| {
            let away = world.slurm_is_away();
            if was_away && !away {
                world.slurmctld_comes_back();
            }
            was_away = away;
            if !away {
                world.tick();
            }
        });
    }
}

async fn submit(shared: &Shared, end: Instant) {
    let mut id = 0;
    while Instant::now() < end {
        let pause = with(shared, |world| {
            id += 1;
            let size = 1 + world.dice.below(NODES / 2);
            let lasts = world.dice.seconds(5, 900);
            let phase = Phase::Pending(Instant::now());
            let job = Job { id, restarts: 0, size, lasts, phase, nodes: vec![], prolog: None };
            world.slurm.jobs.push(job);
            world.dice.seconds(30, 1_800)
        });
        sleep(pause).await;
    }
}

impl World {
    fn count_ends(&mut self) {
        for place in 0..self.slurm.jobs.len() {
            let phase = self.slurm.jobs[place].phase;
            self.count(&format!("jobs {}", phase.name()));
        }
    }
}

fn check(seed: u64, seconds: u64, wrong: Wrong) -> BTreeMap<String, u32> {
    let start = std::time::Instant::now();
    let report = run(seed, seconds, wrong);
    println!(
        "simulation, seed {seed}: {} h simulated in {:.1} s: {:?}",
        seconds / HOUR,
        start.elapsed().as_secs_f64(),
        report.counts
    );
    assert!(
        report.broken.is_empty(),
        "seed {seed}: {} promises broken: {}",
        report.broken.len(),
        report.broken.join("\n")
    );
    report.counts
}

#[test]
fn without_faults_every_job_runs_at_once() {
    let counts = check(1, 6 * HOUR, Wrong::Nothing);
    let ends: Vec<&str> = counts.keys().map(String::as_str).collect();
    assert_eq!(ends, ["jobs done", "started"], "none was held or requeued");
    assert_eq!(counts["jobs done"], counts["started"]);
}

#[test]
fn a_clock_that_is_set_by_hours_costs_no_job_and_no_node() {
    let counts = check(5, 6 * HOUR, Wrong::TheClock);
    let ends: Vec<&str> = counts.keys().map(String::as_str).collect();
    assert_eq!(ends, ["jobs done", "started"], "none was held or requeued");
    assert_eq!(counts["jobs done"], counts["started"]);
}

#[test]
fn a_run_can_be_repeated() {
    let (one, other) = (run(2, 12 * HOUR, Wrong::Anything), run(2, 12 * HOUR, Wrong::Anything));
    assert_eq!(one.digest, other.digest);
    assert_ne!(one.digest, run(3, 12 * HOUR, Wrong::Anything).digest);
}

#[test]
fn a_week_with_faults() {
    // The whole week: SIMULATED_HOURS=168, which takes minutes; another run: SIMULATED_SEED.
    let number = |name, default| std::env::var(name).map_or(default, |text| text.parse().unwrap());
    let (seed, hours) = (number("SIMULATED_SEED", 1), number("SIMULATED_HOURS", 2));
    check(seed, hours * HOUR, Wrong::Anything);
}
