//! `bmc doctor` and `bmc node clear` at their door: the store is real, slurmctld's answer is a value.

use super::answer::Answer;
use super::application_tests::Fixture;
use super::auth::{Caller, Signed};
use super::{clear, doctor};
use crate::deployment::findings;
use crate::slurm::SlurmNode;
use axum::Json;
use axum::extract::State;
use protocol::api::{
    CLEAR_NODES_MAX, ClearRequest, Cleared, ClearedDrain, Doctor, FindingKind, MendedBy,
};
use protocol::error::ErrorKind;
use protocol::names::NodeName;
use std::collections::HashMap;

const DRAIN: &str = "stays off (strike 2)";

/// n1, defined and drained by us; n2, which only Slurm knows.
fn fixture() -> Fixture {
    let fixture = Fixture::new(false);
    fixture.app.engine.store.note_own_drain(&node("n1"), DRAIN, false).unwrap();
    fixture
}

fn node(name: &str) -> NodeName {
    name.parse().unwrap()
}

/// A round of the comparison, as the reconciler makes it.
fn compare(fixture: &Fixture) {
    let (engine, drained) = (&fixture.app.engine, "IDLE+DRAIN+POWERED_DOWN");
    let of = |reason: &str| SlurmNode {
        flags: drained.split('+').map(String::from).collect(),
        reason: Some(format!("{reason} [slurm@1795246000]")),
        ..SlurmNode::default()
    };
    let shown = HashMap::from([(node("n1"), of(DRAIN)), (node("n2"), of("fan"))]);
    let rows = engine.store.nodes().unwrap();
    let odd = [(node("n1"), "its job is over")];
    findings::note(engine, &rows, &[], &Ok(&shown), &odd, &[node("n2")]);
}

async fn ask(fixture: &Fixture, admin: bool) -> Answer<Doctor> {
    let caller = Caller { uid: 1, user: None, admin };
    let answer = doctor::get(State(fixture.app.clone()), Signed { caller, body: () }).await;
    answer.map(|Json(doctor)| doctor)
}

async fn clear_nodes(
    fixture: &Fixture,
    nodes: &[&str],
    dry_run: bool,
    admin: bool,
) -> Answer<Vec<Cleared>> {
    let body = ClearRequest { nodes: nodes.iter().map(|name| node(name)).collect(), dry_run };
    let caller = Caller { uid: 1, user: None, admin };
    let answer = clear::clear(State(fixture.app.clone()), Signed { caller, body }).await;
    answer.map(|Json(cleared)| cleared)
}

#[tokio::test]
async fn the_doctor_tells_what_the_last_round_saw() {
    let fixture = fixture();
    assert_eq!(ask(&fixture, false).await.unwrap_err().0.kind, ErrorKind::Forbidden);
    let before = ask(&fixture, true).await.unwrap();
    let of_nodes = before.findings.iter().filter(|one| one.node.is_some()).count();
    assert_eq!((before.compared_unix_ns, of_nodes, before.nodes), (None, 0, 1));
    compare(&fixture);
    let doctor = ask(&fixture, true).await.unwrap();
    assert!(doctor.compared_unix_ns.is_some_and(|at| at <= doctor.now_unix_ns));
    let of_nodes = doctor.findings.iter().filter_map(|one| {
        Some((one.mended_by, one.kind, one.node.as_ref()?.as_str(), one.what.as_str()))
    });
    let drained = format!("drained: {DRAIN}");
    let stranger = "belongs to one of our partitions, and is not defined here";
    let expected = [
        (MendedBy::Admin, FindingKind::NotDefined, "n2", stranger),
        (MendedBy::Admin, FindingKind::OwnDrain, "n1", &drained),
        (MendedBy::Itself, FindingKind::Resync, "n1", "its job is over"),
    ];
    assert_eq!(of_nodes.collect::<Vec<_>>(), expected);
    let not_measured = ["the clocks of the nodes", "the power of n1 now"];
    assert_eq!(doctor.not_measured, not_measured, "its worker has not looked");
}

#[tokio::test]
async fn clearing_is_an_admins_and_all_or_none() {
    let fixture = fixture();
    compare(&fixture);
    let row = || fixture.app.engine.store.node(&node("n1")).unwrap().unwrap();
    let many = vec!["n1"; CLEAR_NODES_MAX + 1];
    for (nodes, admin, kind) in [
        (&["n1"][..], false, ErrorKind::Forbidden),
        (&[], true, ErrorKind::User),
        (&many, true, ErrorKind::User),
        (&["n1", "n2"], true, ErrorKind::User),
    ] {
        let refused = clear_nodes(&fixture, nodes, false, admin).await.unwrap_err();
        assert_eq!(refused.0.kind, kind, "{} nodes", nodes.len());
        assert!(row().own_drain.is_some(), "nothing was done");
    }
    let taken_back = Cleared {
        node: node("n1"),
        strikes: 0,
        last_failure: None,
        drain: ClearedDrain::TakenBack(DRAIN.into()),
    };
    let foreseen = clear_nodes(&fixture, &["n1"], true, true).await.unwrap();
    assert!(foreseen == [taken_back.clone()] && row().own_drain.is_some());
    for _ in ["cleared", "again, before slurmctld has heard it"] {
        let cleared = clear_nodes(&fixture, &["n1"], false, true).await.unwrap();
        assert_eq!(cleared, std::slice::from_ref(&taken_back));
        assert_eq!((row().own_drain, row().ending_drain.as_deref()), (None, Some(DRAIN)));
    }
}
