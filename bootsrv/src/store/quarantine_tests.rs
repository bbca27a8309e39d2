//! What is held against a node is written with the failure itself, and forgotten by an admin.

use super::{NodeRow, Store};
use crate::deployment::{Blame, Failure, State};
use crate::examples::asked;
use crate::pin::Pin;
use crate::token;

fn store() -> Store {
    let store = Store::in_memory().unwrap();
    store.put_nodes(&[NodeRow::example("n1").definition]).unwrap();
    store
}

fn row(store: &Store) -> NodeRow {
    store.node(&"n1".parse().unwrap()).unwrap().unwrap()
}

/// Fails a new boot of n1; gives the reason for Slurm.
fn fail(store: &Store, blame: Blame, now: i64) -> Option<String> {
    let asked = asked(7);
    let new =
        token::new_deployment("n1".parse().unwrap(), asked.kernel, asked.image, Pin::of_nothing());
    let id = store.add_jobless(&new, 1).unwrap();
    let failure = Failure { blame, reason: "it's off".into() };
    let reason = store.change(id, Some(State::PoweringOff), Some(&failure), &[], now).unwrap();
    let echo = Failure { blame, reason: "echo".into() };
    assert_eq!(store.change(id, None, Some(&echo), &[], now + 1).unwrap(), None, "counted once");
    reason
}

#[test]
fn faults_of_the_node_are_counted_until_a_boot_gets_ready() {
    let store = store();
    assert_eq!(fail(&store, Blame::Node, 10).as_deref(), Some("it s off (strike 1)"));
    assert_eq!(fail(&store, Blame::Job, 20), None, "a user's mistake is not the node's");
    assert_eq!(fail(&store, Blame::Node, 30).as_deref(), Some("it s off (strike 2)"));
    let seen = row(&store);
    assert_eq!((seen.strikes, seen.last_failure_unix_ns), (2, Some(30)));
    assert_eq!(seen.last_failure.as_deref(), Some("it's off"));
    let newest = store.current_on(&"n1".parse().unwrap()).unwrap().unwrap();
    store.change(newest.id, Some(State::Registering), None, &[], 40).unwrap();
    assert_eq!(row(&store).strikes, 2);
    store.change(newest.id, Some(State::Ready), None, &[], 50).unwrap();
    let seen = row(&store);
    assert_eq!((seen.strikes, seen.last_failure_unix_ns), (0, Some(30)), "when it was is kept");
}

#[test]
fn clearing_takes_our_own_drain_back_and_no_other() {
    let (store, name) = (store(), "n1".parse().unwrap());
    let names = [name];
    let [name] = &names;
    fail(&store, Blame::Node, 10);
    store.note_own_drain(name, "x (strike 1)", true).unwrap();
    assert_eq!(row(&store).kept_drain.as_deref(), Some("x (strike 1)"));
    for _ in ["cleared", "twice is fine"] {
        store.clear_nodes(&names).unwrap();
        let seen = row(&store);
        assert_eq!((seen.strikes, seen.last_failure, seen.last_failure_unix_ns), (0, None, None));
        assert_eq!((seen.own_drain, seen.kept_drain), (None, None));
        assert_eq!(seen.ending_drain.as_deref(), Some("x (strike 1)"));
    }
    store.drain_has_ended(name, "another").unwrap();
    assert!(row(&store).ending_drain.is_some());
    store.drain_has_ended(name, "x (strike 1)").unwrap();
    assert!(row(&store).ending_drain.is_none());

    // An admin's drain, which slurmctld forgets as it does ours.
    store.note_own_drain(name, "y", false).unwrap();
    store.set_kept_drain(name, Some("fan 3")).unwrap();
    store.clear_nodes(&names).unwrap();
    assert_eq!(row(&store).kept_drain.as_deref(), Some("fan 3"));
    // A new fault before slurmctld has heard that the one before is over.
    store.note_own_drain(name, "y", true).unwrap();
    assert_eq!(row(&store).ending_drain, None, "else it would be taken back at once");
}

#[test]
fn a_maintenance_ends_with_its_own_drain_only() {
    let (store, name) = (store(), "n1".parse().unwrap());
    store.begin_maintenance(&name, "fan").unwrap();
    store.note_own_drain(&name, "maintenance: fan", true).unwrap();
    store.clear_nodes(std::slice::from_ref(&name)).unwrap();
    assert_eq!(row(&store).own_drain.as_deref(), Some("maintenance: fan"), "clearing spares it");
    store.end_maintenance(&name).unwrap();
    let seen = row(&store);
    assert_eq!((seen.maintenance, seen.own_drain, seen.kept_drain), (None, None, None));
    assert_eq!(store.ending_drain(&name).unwrap().as_deref(), Some("maintenance: fan"));

    store.begin_maintenance(&name, "fan").unwrap();
    store.note_own_drain(&name, "x (strike 1)", true).unwrap();
    store.end_maintenance(&name).unwrap();
    let seen = row(&store);
    assert_eq!(seen.maintenance, None);
    assert_eq!(seen.own_drain.as_deref(), Some("x (strike 1)"), "it failed in maintenance");
}

/// A store of schema 3, with a node that is out of use.
#[test]
fn drains_of_the_version_before_are_known_as_ours() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.sqlite");
    let old = rusqlite::Connection::open(&path).unwrap();
    old.execute_batch(include_str!("schema_2.sql")).unwrap();
    old.execute_batch(include_str!("migrate_2_to_3.sql")).unwrap();
    let definition = serde_json::to_string(&NodeRow::example("n1").definition).unwrap();
    let sql = "INSERT INTO node (name, definition, maintenance, last_failure) VALUES (?, ?, ?, ?)";
    for (name, maintenance, failure) in
        [("n1", Some("fan"), Some("x")), ("n2", None, Some("it's off")), ("n3", None, None)]
    {
        let definition = definition.replace("\"n1\"", &format!("\"{name}\""));
        old.execute(sql, rusqlite::params![name, definition, maintenance, failure]).unwrap();
    }
    old.pragma_update(None, "user_version", 3).unwrap();
    drop(old);
    let rows = Store::open(&path).unwrap().nodes().unwrap();
    let own: Vec<_> = rows.iter().map(|row| row.own_drain.as_deref()).collect();
    assert_eq!(own, [Some("maintenance: fan"), Some("it s off"), None]);
    assert!(rows.iter().all(|row| row.strikes == 0 && row.last_failure_unix_ns.is_none()));
}
