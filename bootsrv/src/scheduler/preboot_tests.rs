//! Which nodes are booted ahead, and for whom.

use super::*;
use crate::deployment::State;

fn name(text: &str) -> NodeName {
    text.parse().unwrap()
}

fn job(id: u32, start: i64, nodes: &[&str]) -> PendingJob {
    PendingJob {
        job: JobId(id),
        user: "alice".into(),
        uid: 2001,
        account: None,
        partition: "bmc".into(),
        start_unix_seconds: start,
        nodes: nodes.iter().map(|node| name(node)).collect(),
        submit_unix_seconds: 0,
    }
}

fn rows() -> Vec<NodeRow> {
    ["n1", "n2", "n3"].map(NodeRow::example).into()
}

fn shown(flags: &[(&str, &str)]) -> HashMap<NodeName, SlurmNode> {
    let node = |flags: &str| SlurmNode {
        flags: flags.split('+').map(String::from).collect(),
        ..SlurmNode::default()
    };
    flags.iter().map(|(text, flags)| (name(text), node(flags))).collect()
}

fn chosen(jobs: &[PendingJob], room: usize, done: &Done) -> Vec<(u32, String)> {
    let rows = rows();
    let off = shown(&[
        ("n1", "IDLE+CLOUD+POWERED_DOWN+PLANNED"),
        ("n2", "IDLE+POWERED_DOWN"),
        ("n3", "ALLOCATED"),
    ]);
    let free = free(&rows, &off, &[]);
    let chosen = choose(jobs, &free, room, 1_000, done);
    chosen.into_iter().map(|(job, node)| (job.job.0, node.to_string())).collect()
}

#[test]
fn nodes_boot_for_the_job_that_starts_first() {
    let jobs = [job(8, 1_200, &["n1", "n2", "n3"]), job(7, 1_100, &["n1", "n3"])];
    let none = Done::new();
    let expected = [(7, "n1".to_owned()), (8, "n2".to_owned())];
    assert_eq!(chosen(&jobs, 9, &none), expected);
    assert_eq!(chosen(&jobs, 1, &none), expected[..1]);
    assert_eq!(chosen(&jobs, 0, &none), []);
    let done = Done::from([(JobId(7), name("n1"))]);
    assert_eq!(chosen(&jobs[1..], 9, &done), [], "once is enough");
}

#[test]
fn a_job_that_starts_later_is_not_booted_for_yet() {
    let later = job(7, 1_000 + AHEAD_SECONDS, &["n1"]);
    assert_eq!(chosen(&[later], 9, &Done::new()), []);
    let overdue = job(7, 900, &["n1"]);
    assert_eq!(chosen(&[overdue], 9, &Done::new()).len(), 1);
}

#[test]
fn only_a_node_that_is_off_and_nobodys_is_free() {
    for flags in [
        "IDLE",
        "ALLOCATED+POWERED_DOWN",
        "IDLE+DRAIN+POWERED_DOWN",
        "DOWN+POWERED_DOWN",
        "IDLE+POWERING_DOWN",
        "IDLE+POWERED_DOWN+POWERING_UP",
    ] {
        assert!(free(&rows(), &shown(&[("n1", flags)]), &[]).is_empty(), "{flags}");
    }
    let off = shown(&[("n1", "IDLE+POWERED_DOWN")]);
    let one = |state| [Deployment { state, job: None, ..Deployment::example() }];
    assert_eq!(free(&rows(), &off, &one(State::Settling)).len(), 1);
    assert!(free(&rows(), &off, &one(State::Booting)).is_empty());
    let in_maintenance = NodeRow { maintenance: Some("fan".into()), ..NodeRow::example("n1") };
    assert!(free(&[in_maintenance], &off, &[]).is_empty());
    assert_eq!(room(&one(State::Booting)), NODES_AHEAD_MAX - 1);
    assert_eq!(room(&[Deployment::example()]), NODES_AHEAD_MAX, "a job's node is not ahead");
}
