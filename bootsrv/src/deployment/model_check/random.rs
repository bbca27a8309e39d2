//! Random runs, longer than a search can go; a run that fails is made as short as it can be.

use super::moves::Move;
use super::search::{Promise, way_to_rest};
use super::world::{Budget, World};
use crate::deployment::transition::next;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};
use std::collections::HashSet;

/// Runs of one seed.
const RUNS: u32 = 3_000;
/// Longest run.
const MOVES_MAX: usize = 150;

/// Each number chooses one of what can happen.
fn run(mut world: World, choices: &[u8]) -> Result<(), TestCaseError> {
    let mut moves = Vec::new();
    let fail = |broken: String, moves: &[Move], world: &World| {
        TestCaseError::fail(format!("{broken}, after {moves:?}\n{world:?}"))
    };
    for choice in choices {
        let mut possible: Vec<Move> = world.prompt();
        possible.extend(world.outside());
        if world.prompt().is_empty() {
            possible.extend(world.timed());
        }
        if possible.is_empty() {
            break;
        }
        let one = possible[usize::from(*choice) % possible.len()];
        moves.push(one);
        if let Err(broken) = world.carry_out(next, one) {
            return Err(fail(broken, &moves, &world));
        }
    }
    let promise = if world.budget.hardware { Promise::Rest } else { Promise::Free };
    match way_to_rest(next, &world, promise, &mut HashSet::new()) {
        Ok(_) => Ok(()),
        Err((broken, more, world)) => {
            moves.extend(more);
            Err(fail(broken, &moves, &world))
        }
    }
}

#[test]
fn random_runs_end_well() {
    for seed in 1..=4_u8 {
        let config = Config { cases: RUNS, failure_persistence: None, ..Config::default() };
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]);
        let mut runner = TestRunner::new_with_rng(config, rng);
        let (stays_on, hardware) = (seed.is_multiple_of(2), seed > 2);
        let budget = Budget { faults: 5, restarts: 2, hardware, tries: 6 };
        let strategy = proptest::collection::vec(proptest::num::u8::ANY, 0..MOVES_MAX);
        let result = runner.run(&strategy, |choices| run(World::new(stays_on, budget), &choices));
        if let Err(error) = result {
            panic!("seed {seed}, stays_on={stays_on}, {budget:?}: {error}");
        }
        println!("random runs: seed {seed}, stays_on={stays_on}, {budget:?}: {RUNS} runs");
    }
}
