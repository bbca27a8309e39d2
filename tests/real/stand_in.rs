//! The stand-in for slurmctld that a thousand simulated nodes have, beside the real one: for the same
//! state both must print what bootsrv reads in the same way, and refuse in the same words.

use crate::case::{BOOT_SECONDS, Case};
use anyhow::{Context as _, Result, ensure};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tests::product::wait_until;
use tests::simulated::dice::Dice;
use tests::simulated::slurmctld::{Job, Partition, Slurmctld, Slurmd, Timing};

/// What bootsrv looks for in a state (`bootsrv/src/slurm.rs`); MIXED is what a node with a second CPU
/// has instead of ALLOCATED.
const FLAGS: [&str; 8] = [
    "IDLE",
    "DOWN",
    "DRAIN",
    "POWERED_DOWN",
    "POWERING_UP",
    "POWERING_DOWN",
    "NOT_RESPONDING",
    "COMPLETING",
];

/// What bootsrv sees in a line of `scontrol show node -o`.
fn essence(line: &str) -> (BTreeSet<&str>, bool, bool) {
    let value = |key: &str| line.split_whitespace().find_map(|word| word.strip_prefix(key));
    let state = value("State=").unwrap_or_default();
    let words = state.split('+').map(|word| word.trim_end_matches('*'));
    let mut flags: BTreeSet<&str> = words.filter(|word| FLAGS.contains(word)).collect();
    if state.contains('*') {
        flags.insert("NOT_RESPONDING");
    }
    let has_job = ["ALLOCATED", "MIXED"].iter().any(|word| state.contains(word));
    if has_job {
        flags.insert("ALLOCATED");
    }
    // Of a node that is off nobody asks since when its slurmd runs.
    let is_off =
        ["POWERED_DOWN", "POWERING_UP", "POWERING_DOWN"].iter().any(|one| flags.contains(one));
    let started = value("SlurmdStartTime=").is_some_and(|at| at.parse::<i64>().is_ok() && !is_off);
    (flags, started, value("AvailableFeatures=").is_some() && value("ActiveFeatures=").is_some())
}

/// The stand-in with one node that is off, ticking for itself.
fn stand_in() -> Result<Arc<Slurmctld>> {
    let second = Duration::from_secs(1);
    let timing = Timing {
        suspend_timeout: second * 600,
        resume_timeout: second * 600,
        slurmd_timeout: second * 600,
        requeue_delay: second * 120,
        suspend_time: second * 600,
        completing: second / 4,
    };
    let (calls, called) = tokio::sync::mpsc::unbounded_channel();
    let partitions = vec![Partition { name: "bmc".into(), nodes: 1, stays_on: false }];
    let (dice, tally) = (Dice::new(1, 1), Arc::default());
    let slurmctld =
        Arc::new(Slurmctld::new(vec!["n1".parse()?], partitions, timing, dice, tally, calls));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let own = Arc::clone(&slurmctld);
    std::thread::spawn(move || {
        let _programs = called;
        runtime.block_on(own.run());
    });
    Ok(slurmctld)
}

/// Off, powering up, running, powering down, off: the same in both.
pub(crate) fn the_stand_in_prints_as_slurm_does(case: &Case<'_>) -> Result<()> {
    let stand_in = stand_in()?;
    let agree = |when: &str, seconds: u64| {
        let real = || {
            case.cluster.check(&[
                "env",
                "SLURM_TIME_FORMAT=%s",
                "scontrol",
                "show",
                "node",
                "-o",
                "n1",
            ])
        };
        let ours = || stand_in.scontrol(&["show", "node", "-o", "n1"]).unwrap_or_default();
        let agreed =
            wait_until(Duration::from_secs(seconds), &format!("both agree {when}"), || {
                Ok(essence(&real()?) == essence(&ours()))
            });
        agreed.with_context(|| {
            format!("{when}\nreal: {}\nours: {}", real().unwrap_or_default(), ours())
        })
    };
    agree("while the node is off", 5)?;
    refusals_agree(case, &stand_in)?;

    let job = case.submit(&["-w", "n1"], "sleep 20")?;
    stand_in.submit(Job::new(1, 0, 1, Duration::from_secs(3600)));
    agree("while the node powers up", 30)?;
    case.wait(job, "RUNNING", BOOT_SECONDS)?;
    stand_in.registered(0, Slurmd { job: Some(1), release: String::new() });
    stand_in
        .scontrol(&["update", "nodename=n1", "state=power_down_asap"])
        .map_err(anyhow::Error::msg)?;
    stand_in.prolog_ended(1, 0, 0);
    agree("while the job runs", 5)?;
    case.wait(job, "COMPLETED", BOOT_SECONDS)?;
    stand_in.cancel_one();
    case.wait_all_off()?;
    // What bootsrv has said to the real one when it saw the node off, a moment after it was.
    stand_in.scontrol(&["update", "nodename=n1", "state=resume"]).map_err(anyhow::Error::msg)?;
    agree("when the node is off again", 30)
}

fn refusals_agree(case: &Case<'_>, stand_in: &Slurmctld) -> Result<()> {
    for words in [
        &["show", "job", "-o", "4000000"][..],
        &["update", "jobid=4000000", "starttime=now"],
        &["update", "nodename=n1", "state=resume"],
    ] {
        let real = case.cluster.run("root", &[&["scontrol"], words].concat())?;
        let real_text = String::from_utf8_lossy(&real.stderr).into_owned();
        let ours = stand_in.scontrol(words);
        ensure!(
            real.status.success() == ours.is_ok(),
            "scontrol {words:?}: {real_text} against {ours:?}"
        );
        // After "scontrol error:" or the like, Slurm's own sentence.
        let sentence = |text: &str| text.rsplit(": ").next().unwrap_or_default().trim().to_owned();
        let (real, ours) = (sentence(&real_text), sentence(&ours.err().unwrap_or_default()));
        let same = ["Invalid job id specified", "Invalid node state specified"]
            .map(|text| real.contains(text) == ours.contains(text));
        ensure!(same == [true, true], "scontrol {words:?}: {real} against {ours}");
    }
    Ok(())
}
