//! The engine with a real store, without hardware: what is written, and what slurmctld is told.

use super::engine::Engine;
use super::take_over::TakeOver;
use super::transition::Event;
use super::{Blame, Failure, Mark, State, Way, view};
use crate::config::Config;
use crate::examples::{CONFIG, asked};
use crate::pin::Pin;
use crate::power::{Fleet, Listener};
use crate::slurm_queue::{SlurmQueue, Word};
use crate::store::{NewDeployment, Store};
use crate::token;
use protocol::api::JobState;
use protocol::boot::AgentStage;
use protocol::names::{JobId, NodeName};
use std::sync::Arc;
use tokio::sync::mpsc::UnboundedReceiver;

fn engine() -> (Engine, UnboundedReceiver<Word>) {
    engine_on(Store::in_memory().unwrap())
}

fn engine_on(store: Store) -> (Engine, UnboundedReceiver<Word>) {
    let config: Config = toml::from_str(&CONFIG.replace("STATE", "/s")).unwrap();
    let (slurm, words) = SlurmQueue::recorded();
    (Engine::new(Arc::new(store), Arc::new(config), Fleet::default(), slurm), words)
}

fn node(name: &str) -> NodeName {
    name.parse().unwrap()
}

fn job(engine: &Engine, nodes: &[&str]) -> i64 {
    let asked = asked(7);
    let new = |name: &&str| {
        let (kernel, image) = (asked.kernel.clone(), asked.image.clone());
        token::new_deployment(node(name), kernel, image, Pin::of_nothing())
    };
    engine.store.add_try(&asked, &nodes.iter().map(new).collect::<Vec<_>>(), 1).unwrap()
}

fn bring_to(engine: &Engine, id: i64, wanted: State) {
    let way = [
        Event::NodeFree,
        Event::ScriptAsked,
        Event::Agent(AgentStage::AgentStarted),
        Event::Agent(AgentStage::SlurmdStarted),
        Event::Registered,
    ];
    for event in way {
        if engine.store.deployment(id).unwrap().unwrap().state < wanted {
            engine.apply(id, &event).unwrap();
        }
    }
    assert_eq!(engine.store.deployment(id).unwrap().unwrap().state, wanted);
}

fn state(engine: &Engine) -> JobState {
    let latest = engine.store.latest_try(JobId(7)).unwrap().unwrap();
    view::job(engine, &latest).unwrap().state
}

#[test]
fn a_job_is_ready_when_its_last_node_is() {
    let (engine, _words) = engine();
    let try_id = job(&engine, &["n1", "n2"]);
    let ids: Vec<i64> =
        engine.store.deployments_of_try(try_id).unwrap().iter().map(|d| d.id).collect();
    bring_to(&engine, ids[0], State::Ready);
    assert_eq!(state(&engine), JobState::Booting);
    bring_to(&engine, ids[1], State::Ready);
    assert_eq!(state(&engine), JobState::Ready);
}

#[test]
fn one_bad_node_fails_the_job_and_is_drained_with_its_reason() {
    let (engine, mut words) = engine();
    let try_id = job(&engine, &["n1", "n2"]);
    let bad = engine.store.deployments_of_try(try_id).unwrap()[1].id;
    bring_to(&engine, bad, State::Booting);
    engine.apply(bad, &Event::TimedOut).unwrap();
    assert_eq!(state(&engine), JobState::Failed);
    let Word::Drain(name, reason) = words.try_recv().unwrap() else { panic!("not drained") };
    assert_eq!(name, node("n2"));
    assert!(reason.contains("did not report within"), "{reason}");
    // Only the first failure is kept: what follows is its echo.
    let echo = Failure { blame: Blame::Job, reason: "echo".into() };
    engine.apply(bad, &Event::Failed(echo)).unwrap();
    let kept = engine.store.deployment(bad).unwrap().unwrap().failure.unwrap();
    assert_eq!(kept.reason, reason);
}

#[test]
fn the_whole_life_ends_in_a_record_that_stays() {
    let (engine, mut words) = engine();
    let id = engine.store.deployments_of_try(job(&engine, &["n1"])).unwrap()[0].id;
    bring_to(&engine, id, State::Ready);
    for event in
        [Event::JobStarted, Event::JobEnded, Event::GivenBack, Event::PowerSeenOff, Event::Settled]
    {
        engine.apply(id, &event).unwrap();
        // Everything may come twice.
        engine.apply(id, &event).unwrap();
    }
    assert_eq!(words.try_recv().unwrap(), Word::Resume(node("n1")));
    let record = engine.store.kept_energy(id).unwrap().unwrap();
    assert!(record.complete);
    assert_eq!(record.total_millijoules, None, "without readings it is unknown, not zero");
    let marks = engine.store.marks(id).unwrap();
    assert!(marks.iter().any(|mark| mark.0 == Mark::Settled));
    assert!(engine.store.live_deployments().unwrap().is_empty());
}

#[test]
fn a_token_goes_out_once_and_only_its_hash_stays() {
    let (engine, _words) = engine();
    let id = engine.store.deployments_of_try(job(&engine, &["n1"])).unwrap()[0].id;
    let token = engine.store.take_token(id).unwrap().unwrap();
    assert!(engine.store.take_token(id).unwrap().is_none());
    let hash = token::hash(token.expose());
    assert_eq!(engine.store.by_token(&hash).unwrap().unwrap().id, id);
}

/// The epilog of a failed try was lost, and Slurm has given the node away since.
#[test]
fn an_old_deployment_does_not_take_the_node_from_a_newer_one() {
    let (engine, mut words) = engine();
    let old = engine.store.deployments_of_try(job(&engine, &["n1"])).unwrap()[0].id;
    bring_to(&engine, old, State::Booting);
    let failure = Failure { blame: Blame::Job, reason: "r".into() };
    engine.apply(old, &Event::Failed(failure)).unwrap();
    engine.apply(old, &Event::JobEnded).unwrap();
    assert_eq!(words.try_recv().unwrap(), Word::PowerDown(node("n1")), "as long as it is alone");
    job(&engine, &["n1"]);
    engine.apply(old, &Event::JobEnded).unwrap();
    assert!(words.try_recv().is_err());
}

/// The same job was requeued onto the node before its epilog reached us.
#[test]
fn a_try_that_follows_at_once_keeps_the_node() {
    let (engine, mut words) = engine();
    job(&engine, &["n1", "n2"]);
    let old = engine.store.latest_try(JobId(7)).unwrap().unwrap();
    for one in engine.store.deployments_of_try(old.id).unwrap() {
        bring_to(&engine, one.id, State::Booting);
    }
    engine.end_try(&old, &[node("n1")]).unwrap();
    let mut said = Vec::new();
    while let Ok(word) = words.try_recv() {
        said.push(word);
    }
    assert_eq!(said, [Word::NoteDrain(node("n2")), Word::PowerDown(node("n2"))]);
    let states: Vec<State> =
        engine.store.deployments_of_try(old.id).unwrap().iter().map(|one| one.state).collect();
    assert_eq!(states, [State::PoweringOff, State::PoweringOff]);
}

/// The store is locked by another program just when the node is seen off.
#[test]
fn what_cannot_be_written_is_not_taken_and_keeps_its_time() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    let (engine, mut words) = engine_on(Store::open(&path).unwrap());
    let id = engine.store.deployments_of_try(job(&engine, &["n1"])).unwrap()[0].id;
    bring_to(&engine, id, State::Ready);
    engine.apply(id, &Event::GivenBack).unwrap();
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert!(!engine.happened(&node("n1"), id, &Event::PowerSeenOff, 42));
    assert!(engine.store_was_away().is_some(), "no limit counts it");
    assert!(words.try_recv().is_err(), "nothing was decided");
    other.execute_batch("ROLLBACK").unwrap();
    assert!(engine.happened(&node("n1"), id, &Event::PowerSeenOff, 42));
    assert_eq!(words.try_recv().unwrap(), Word::Resume(node("n1")));
    assert!(engine.store.marks(id).unwrap().contains(&(Mark::PowerOff, 42)));
}

#[test]
fn a_node_is_handed_over_at_one_instant() {
    let (engine, _words) = engine();
    let new = || {
        let (kernel, image) = ("k".parse().unwrap(), "i".parse().unwrap());
        let new = token::new_deployment(node("n1"), kernel, image, Pin::of_nothing());
        NewDeployment { stays_on: true, ..new }
    };
    let from = engine.store.add_jobless(&new(), 1).unwrap();
    bring_to(&engine, from, State::Ready);
    let id = engine.store.add_jobless(&new(), 1).unwrap();
    let choice = TakeOver { way: Way::Adopt, clears_memory: false };
    engine.take_over(id, from, choice).unwrap();
    let at = |id: i64, of: Mark| {
        let marks = engine.store.marks(id).unwrap();
        marks.into_iter().find(|(mark, _)| *mark == of).unwrap().1
    };
    assert_eq!(at(from, Mark::HandedOver), at(id, Mark::TakeOver));
}
