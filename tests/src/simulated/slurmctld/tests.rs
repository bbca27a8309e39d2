//! A job's life in the stand-in, word for word as bootsrv and the hooks say it.

use super::{Call, Job, Partition, Slurmctld, Slurmd, Timing};
use crate::simulated::dice::Dice;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::sleep;

const SECOND: Duration = Duration::from_secs(1);

/// A cluster of so many nodes whose time is simulated.
fn cluster(nodes: usize, stays_on: bool) -> (Arc<Slurmctld>, UnboundedReceiver<Call>) {
    let timing = Timing {
        suspend_timeout: 60 * SECOND,
        resume_timeout: 300 * SECOND,
        slurmd_timeout: 40 * SECOND,
        requeue_delay: 20 * SECOND,
        suspend_time: 10 * SECOND,
        completing: SECOND / 2,
    };
    let (calls, called) = unbounded_channel();
    let names = (1..=nodes).map(|number| format!("n{number}").parse().unwrap()).collect();
    let partitions = vec![Partition { name: "p0".into(), nodes, stays_on }];
    let tally = Arc::default();
    let slurmctld =
        Arc::new(Slurmctld::new(names, partitions, timing, Dice::new(1, 1), tally, calls));
    tokio::spawn(Arc::clone(&slurmctld).run());
    (slurmctld, called)
}

fn state(slurmctld: &Slurmctld, node: &str) -> String {
    let line = slurmctld.scontrol(&["show", "node", "-o", node]).unwrap();
    let state = line.split_whitespace().find_map(|word| word.strip_prefix("State="));
    state.unwrap().to_owned()
}

fn slurmd(job: u32) -> Slurmd {
    Slurmd { job: Some(job), release: String::new() }
}

/// The programs that were started, without their arguments.
fn programs(called: &mut UnboundedReceiver<Call>) -> Vec<String> {
    let mut names = Vec::new();
    while let Ok(call) = called.try_recv() {
        names.push(format!("{call:?}").split('(').next().unwrap().to_owned());
    }
    names
}

#[tokio::test(start_paused = true)]
async fn a_job_powers_its_node_up_runs_and_gives_it_back() {
    let (slurmctld, mut called) = cluster(1, false);
    assert_eq!(state(&slurmctld, "n1"), "IDLE+CLOUD+POWERED_DOWN");
    slurmctld.submit(Job::new(1, 0, 1, 5 * SECOND));
    sleep(SECOND).await;
    assert_eq!(state(&slurmctld, "n1"), "ALLOCATED+CLOUD+NOT_RESPONDING+POWERING_UP");
    assert_eq!(programs(&mut called), ["Prolog", "Resume"]);
    slurmctld.registered(0, slurmd(1));
    slurmctld.scontrol(&["update", "nodename=n1", "state=power_down_asap"]).unwrap();
    slurmctld.prolog_ended(1, 0, 0);
    sleep(SECOND).await;
    assert_eq!(state(&slurmctld, "n1"), "ALLOCATED+CLOUD+DRAIN");
    let shown = slurmctld.scontrol(&["show", "job", "-o", "1"]).unwrap();
    assert!(shown.contains("JobState=RUNNING"), "{shown}");
    sleep(6 * SECOND).await;
    assert_eq!(programs(&mut called), ["Epilog", "Suspend"]);
    assert_eq!(state(&slurmctld, "n1"), "IDLE+CLOUD+POWERING_DOWN");
    slurmctld.power_changed(0, false);
    slurmctld.scontrol(&["update", "nodename=n1", "state=resume"]).unwrap();
    assert_eq!(state(&slurmctld, "n1"), "IDLE+CLOUD+POWERED_DOWN");
    slurmctld.judge_rest();
    assert!(slurmctld.all_broken().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_failed_prolog_requeues_and_a_hold_keeps_its_sentence() {
    let (slurmctld, mut called) = cluster(2, false);
    slurmctld.submit(Job::new(1, 0, 1, SECOND));
    sleep(SECOND).await;
    slurmctld.prolog_ended(1, 0, 4);
    let job = slurmctld.job(1).unwrap();
    assert_eq!((job.restarts, job.nodes.len()), (1, 0));
    slurmctld.scontrol(&["update", "jobid=1", "starttime=now"]).unwrap();
    sleep(SECOND).await;
    slurmctld.scontrol(&["update", "jobid=1", "comment=why"]).unwrap();
    slurmctld.scontrol(&["requeuehold", "1"]).unwrap();
    assert_eq!(slurmctld.jobs_left(), 0);
    assert_eq!(slurmctld.job(1).unwrap().comment, "why");
    let started = programs(&mut called);
    assert_eq!(started, ["Prolog", "Resume", "Epilog", "Prolog", "Resume", "Epilog"]);
}

#[tokio::test(start_paused = true)]
async fn words_are_refused_as_slurm_refuses_them() {
    let (slurmctld, _called) = cluster(1, false);
    let refused = |words: &[&str]| slurmctld.scontrol(words).unwrap_err();
    assert!(refused(&["show", "job", "-o", "9"]).contains("Invalid job id"));
    assert!(refused(&["update", "nodename=n1", "state=resume"]).contains("Invalid node state"));
    assert!(refused(&["update", "nodename=n7", "state=down"]).contains("Invalid node name"));
    assert!(slurmctld.all_broken().is_empty());
    slurmctld.scontrol(&["reconfigure"]).unwrap_err();
    assert_eq!(slurmctld.all_broken().len(), 1, "a word that the stand-in does not know is told");
}

#[tokio::test(start_paused = true)]
async fn broken_promises_are_seen() {
    let (slurmctld, _called) = cluster(2, false);
    // The wrong job's boot.
    slurmctld.submit(Job::new(1, 0, 1, 100 * SECOND));
    sleep(SECOND).await;
    let place = slurmctld.job(1).unwrap().nodes[0];
    slurmctld.registered(place, slurmd(7));
    slurmctld.prolog_ended(1, 0, 0);
    sleep(SECOND).await;
    let broken = slurmctld.all_broken();
    assert!(broken.len() == 1 && broken[0].contains("starts on a node that runs"), "{broken:?}");
    // Switched off while it runs, without a word.
    slurmctld.registered(place, slurmd(1));
    slurmctld.power_changed(place, false);
    sleep(20 * SECOND).await;
    assert!(slurmctld.all_broken()[1].contains("switched off under job 1"));
    // Neither the job nor its node comes to rest.
    slurmctld.judge_rest();
    let broken = slurmctld.all_broken().join("\n");
    assert!(broken.contains("is not at rest") && broken.contains("job 1 has no end"), "{broken}");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_stays_on_is_given_to_the_next_job_and_off_later() {
    let (slurmctld, mut called) = cluster(1, true);
    slurmctld.submit(Job::new(1, 0, 1, SECOND));
    sleep(SECOND).await;
    slurmctld.registered(0, slurmd(1));
    slurmctld.prolog_ended(1, 0, 0);
    sleep(3 * SECOND).await;
    assert_eq!(state(&slurmctld, "n1"), "IDLE+CLOUD");
    slurmctld.submit(Job::new(2, 0, 1, SECOND));
    sleep(SECOND).await;
    slurmctld.registered(0, slurmd(2));
    slurmctld.prolog_ended(2, 0, 0);
    sleep(20 * SECOND).await;
    let started = programs(&mut called);
    assert_eq!(started, ["Prolog", "Resume", "Epilog", "Prolog", "Epilog", "Suspend"]);
    assert!(slurmctld.all_broken().is_empty());
}
