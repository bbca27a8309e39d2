//! The search over the real rules, and over rules that were broken on purpose.

use super::engine::Next;
use super::search::{Promise, Violation, all};
use super::world::{Budget, World};
use crate::config::Limits;
use crate::deployment::transition::{Action, Event, Outcome, next};
use crate::deployment::{Deployment, State};
use std::time::Instant;

const NONE: Budget = Budget { faults: 0, restarts: 0, hardware: false, tries: 3 };
const LOST: Budget = Budget { faults: 2, restarts: 1, tries: 2, ..NONE };
const BROKEN: Budget = Budget { faults: 2, restarts: 1, hardware: true, tries: 2 };

fn search(rules: Next, stays_on: bool, budget: Budget, depth: usize) -> Result<(), Box<Violation>> {
    let start = Instant::now();
    let promise = match (budget.faults, budget.hardware) {
        (0, _) => Promise::AtOnce,
        (_, false) => Promise::Free,
        (_, true) => Promise::Rest,
    };
    let seen = all(rules, World::new(stays_on, budget), promise, depth)?;
    println!(
        "model check, stays_on={stays_on}, {budget:?}, {promise:?}, depth {depth}: {} states, {} steps, at \
         most {} moves to rest, {:.1} s",
        seen.worlds,
        seen.steps,
        seen.longest_way_to_rest,
        start.elapsed().as_secs_f64()
    );
    Ok(())
}

fn holds(budget: Budget, depth: usize) {
    for stays_on in [false, true] {
        if let Err(violation) = search(next, stays_on, budget, depth) {
            panic!("{violation}");
        }
    }
}

#[test]
fn without_faults_nothing_waits_for_a_time_out() {
    holds(NONE, 100);
}

#[test]
fn a_lost_word_and_a_killed_bootsrv_cost_no_node() {
    holds(LOST, 40);
}

#[test]
fn a_machine_that_fails_ends_free_or_out_of_service() {
    holds(Budget { faults: 1, ..BROKEN }, 40);
}

#[test]
#[ignore = "650,000 states: a minute"]
fn two_failures_and_a_restart_end_free_or_out_of_service() {
    holds(BROKEN, 40);
}

/// bootsrv is killed while the firmware runs. After its start the node asks for script and token before
/// the worker has begun the boot anew: the token is asked for twice, and a node without a fault drained.
#[test]
fn a_boot_that_is_begun_anew_is_not_held_against_the_node() {
    holds(Budget { restarts: 1, tries: 1, faults: 1, ..NONE }, 40);
}

/// What a search of rules that were broken on purpose finds.
fn caught(rules: Next) -> String {
    let found = [(NONE, 60), (LOST, 40), (BROKEN, 40)].into_iter().find_map(|(budget, depth)| {
        [false, true].into_iter().find_map(|on| search(rules, on, budget, depth).err())
    });
    found.expect("the broken rule was not noticed").broken
}

fn without(
    action: fn(&Action) -> bool,
    deployment: &Deployment,
    event: &Event,
    limits: &Limits,
) -> Outcome {
    let mut outcome = next(deployment, event, limits);
    outcome.actions.retain(|one| !action(one));
    outcome
}

#[test]
fn rules_that_are_broken_on_purpose_are_caught() {
    let deaf: [(&str, Next); 6] =
        [
            ("PowerSeenOff", |d, e, l| {
                if *e == Event::PowerSeenOff { Outcome::default() } else { next(d, e, l) }
            }),
            (
                "GivenBack",
                |d, e, l| if *e == Event::GivenBack { Outcome::default() } else { next(d, e, l) },
            ),
            ("Superseded", |d, e, l| {
                if *e == Event::Superseded { Outcome::default() } else { next(d, e, l) }
            }),
            (
                "Settled",
                |d, e, l| if *e == Event::Settled { Outcome::default() } else { next(d, e, l) },
            ),
            ("HandedOver", |d, e, l| {
                if *e == Event::HandedOver { Outcome::default() } else { next(d, e, l) }
            }),
            ("Registered", |d, e, l| {
                if *e == Event::Registered { Outcome::default() } else { next(d, e, l) }
            }),
        ];
    let mute: [(&str, Next); 3] = [
        ("ResumeInSlurm", |d, e, l| without(|a| *a == Action::ResumeInSlurm, d, e, l)),
        ("PowerDownInSlurm", |d, e, l| without(|a| *a == Action::PowerDownInSlurm, d, e, l)),
        ("PowerOff", |d, e, l| without(|a| *a == Action::PowerOff, d, e, l)),
    ];
    let wrong: [(&str, Next); 2] = [
        ("back", |d, e, l| match (d.state, e) {
            (State::PoweringOff, Event::TimedOut) => {
                Outcome { state: Some(State::PoweringOn), ..Outcome::default() }
            }
            _ => next(d, e, l),
        }),
        ("on again", |d, e, l| {
            let mut outcome = next(d, e, l);
            if d.state == State::PoweringOff && *e == Event::JobEnded {
                outcome.actions.push(Action::PowerOn);
            }
            outcome
        }),
    ];
    for (what, rules) in deaf.into_iter().chain(mute).chain(wrong) {
        println!("{what}: {}", caught(rules));
    }
}
