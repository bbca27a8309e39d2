//! Rows that decide something by themselves: who gets the secrets, and how many tries have failed.

use super::tries::{ALL_OF_ID, ALL_OF_PART, LATEST_OF_ID, LATEST_OF_PART, select};
use super::{NewTry, Store};
use crate::clock::SECOND_NS;
use crate::deployment::{Blame, Failure};
use crate::pin::Pin;
use crate::token;
use protocol::boot::SECRETS_ASKED_SECONDS;
use protocol::names::JobId;

fn asked(job: u32, reference: &str, restart_count: u32) -> NewTry {
    NewTry {
        job: JobId(job),
        reference: reference.parse().unwrap(),
        restart_count,
        user: "alice".into(),
        uid: 2001,
        account: None,
        partition: "bmc".into(),
        kernel: "k".parse().unwrap(),
        image: "i".parse().unwrap(),
        power_off_after: true,
    }
}

fn add_try(store: &Store, restart_count: u32, blame: Option<Blame>) -> i64 {
    let asked = asked(7, "7", restart_count);
    let node = |name: &str| {
        let (kernel, image) = (asked.kernel.clone(), asked.image.clone());
        token::new_deployment(name.parse().unwrap(), kernel, image, Pin::of_nothing())
    };
    let id = store.add_try(&asked, &[node("n1"), node("n2")], 1).unwrap();
    if let Some(blame) = blame {
        for one in store.deployments_of_try(id).unwrap() {
            let failure = Failure { blame, reason: "r".into() };
            store.change(one.id, None, Some(&failure), &[], 2).unwrap();
        }
    }
    id
}

#[test]
fn secrets_go_to_one_boot_and_again_only_soon() {
    let store = Store::in_memory().unwrap();
    let try_id = add_try(&store, 0, None);
    let deployments = store.deployments_of_try(try_id).unwrap();
    let take = |boot_id, second: i64| {
        store.take_secrets(deployments[0].id, boot_id, 100 + second * SECOND_NS).unwrap()
    };
    assert!(take("a", 0));
    let asked = i64::from(SECRETS_ASKED_SECONDS);
    assert!(take("a", asked), "the answer was lost with us, and the agent still asks");
    assert!(!take("b", asked), "another boot, or a thief");
    assert!(take("a", 89));
    assert!(!take("a", 91), "the time counts from the first");
    // Another boot has reported with this token before.
    store.note_agent(deployments[1].id, "a", &[]).unwrap();
    assert!(!store.take_secrets(deployments[1].id, "b", 1).unwrap());
    assert!(store.take_secrets(deployments[1].id, "a", 1).unwrap());
}

#[test]
fn only_tries_of_this_job_that_a_node_failed_count() {
    let store = Store::in_memory().unwrap();
    let count = |id| store.failed_tries(JobId(7), id).unwrap();
    // An older job of the same number.
    add_try(&store, 0, Some(Blame::Node));
    let of_the_older = add_try(&store, 1, Some(Blame::Node));
    assert_eq!(count(of_the_older), 2);
    assert_eq!(count(add_try(&store, 0, None)), 0);
    let failed = add_try(&store, 1, Some(Blame::Node));
    assert_eq!(count(failed), 1, "two bad nodes fail one try");
    // Requeued by its owner, which leads to another start; and a profile that does not fit.
    assert_eq!(count(add_try(&store, 3, None)), 1);
    assert_eq!(count(add_try(&store, 4, Some(Blame::Job))), 1);
    assert_eq!(count(add_try(&store, 5, Some(Blame::Node))), 2);
    assert_eq!(count(failed), 1);
}

/// Slurm gives the last task of an array, and the first component of a heterogeneous job, the id
/// of the whole.
#[test]
fn a_plain_id_stands_for_all_parts() {
    let store = Store::in_memory().unwrap();
    for (job, reference, restart_count) in [
        (10, "9_0", 0),
        (9, "9_2", 0),
        (11, "9_1", 0),
        (10, "9_0", 1),
        (90, "90_0", 0),
        (7, "7", 0),
    ] {
        store.add_try(&asked(job, reference, restart_count), &[], 1).unwrap();
    }
    let tries = |reference: &str| -> Vec<String> {
        let tries = store.tries_of(reference.parse().unwrap()).unwrap();
        tries
            .iter()
            .map(|one| format!("{} {}", one.asked.reference, one.asked.restart_count))
            .collect()
    };
    assert_eq!(tries("9"), ["9_0 0", "9_0 1", "9_1 0", "9_2 0"]);
    assert_eq!(tries("9_0"), ["9_0 0", "9_0 1"]);
    assert_eq!(tries("11"), ["9_1 0"], "its own id is good too");
    assert!(tries("9_7").is_empty() && tries("8").is_empty());
    store.add_try(&asked(12, "9+1", 0), &[], 1).unwrap();
    assert_eq!(tries("9").len(), 5, "9 was an array first, and is a heterogeneous job now");
    let latest = |reference: &str| {
        let latest = store.latest_try_of(reference.parse().unwrap()).unwrap();
        latest.map(|one| format!("{} {}", one.asked.reference, one.asked.restart_count))
    };
    assert_eq!(latest("9_0").unwrap(), "9_0 1");
    assert_eq!(latest("9").unwrap(), "9_2 0", "the task that has the whole's id");
    assert_eq!((latest("9_7"), latest("8")), (None, None));
}

/// Prolog asks ten times a second for each booting job, and the store keeps every try for ever.
#[test]
fn looking_for_a_job_reads_no_other_jobs() {
    let store = Store::in_memory().unwrap();
    for rest in [LATEST_OF_ID, LATEST_OF_PART, ALL_OF_ID, ALL_OF_PART] {
        let connection = store.lock();
        let mut plan = connection.prepare(&format!("EXPLAIN QUERY PLAN {}", select(rest))).unwrap();
        let steps: Vec<String> =
            plan.query_map(["9"], |row| row.get(3)).unwrap().collect::<Result<_, _>>().unwrap();
        assert!(steps.iter().any(|step| step.contains("SEARCH try USING INDEX")), "{steps:?}");
        assert!(!steps.iter().any(|step| step.contains("SCAN")), "{steps:?}");
    }
}
