//! The search: all orders of what can happen, breadth first, and from everywhere the way to rest.

use super::engine::Next;
use super::moves::Move;
use super::world::{Power, Runs, Try, World};
use std::collections::{HashMap, HashSet, VecDeque};

/// What a search has seen.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) worlds: usize,
    pub(super) steps: usize,
    /// The most moves from anywhere to rest, once nothing goes wrong any more.
    pub(super) longest_way_to_rest: usize,
}

/// A broken promise and how it came to it.
#[derive(Debug)]
pub(super) struct Violation {
    pub(super) broken: String,
    pub(super) moves: Vec<Move>,
    pub(super) world: World,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{}, after:", self.broken)?;
        for one in &self.moves {
            writeln!(f, "  {one:?}")?;
        }
        write!(f, "{:?}", self.world)
    }
}

/// Most moves from anywhere to rest: bounded, because what is ordered and said is.
pub(super) const REST_MOVES_MAX: usize = 120;

/// What rest is promised to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Promise {
    /// Without a fault: at once, without any time-out, and the node is free.
    AtOnce,
    /// When words are lost, or bootsrv is killed: some day, and the node is free.
    Free,
    /// When machines fail: some day, and the node is free or out of service with a reason.
    Rest,
}

/// Visits every world within that many moves of the first.
pub(super) fn all(
    next: Next,
    first: World,
    promise: Promise,
    depth: usize,
) -> Result<Seen, Box<Violation>> {
    let mut seen = Seen::default();
    let mut rests = HashSet::new();
    let mut from: HashMap<World, Option<(usize, Move)>> = HashMap::new();
    let mut order: Vec<World> = Vec::new();
    let mut queue = VecDeque::from([(0, 0)]);
    from.insert(first.clone(), None);
    order.push(first);
    while let Some((place, steps)) = queue.pop_front() {
        let world = order[place].clone();
        let trace = |last: Vec<Move>| trace(&from, &order, &world, last);
        let fail = |broken: String, last: Vec<Move>, world: World| {
            Box::new(Violation { broken, moves: trace(last), world })
        };
        match way_to_rest(next, &world, promise, &mut rests) {
            Ok(moves) => seen.longest_way_to_rest = seen.longest_way_to_rest.max(moves),
            Err((broken, last, world)) => return Err(fail(broken, last, *world)),
        }
        if steps == depth {
            continue;
        }
        let stop = |lost: Box<(String, Move, World)>| {
            let (broken, one, after) = *lost;
            fail(broken, vec![one], after)
        };
        let mut found = Vec::new();
        let mut groups = [world.outside(), world.prompt(), world.timed()].into_iter();
        // Time passes only when nothing else happens; that it passes too early is a fault.
        for group in groups.by_ref().take(2).collect::<Vec<_>>() {
            spread(next, &world, group, &mut found).map_err(&stop)?;
        }
        let stands = |(_, one): &(World, Move)| {
            matches!(one, Move::Allocate | Move::Restart | Move::Fault(_))
        };
        if found.iter().all(stands) {
            let timed = groups.next().unwrap_or_default();
            spread(next, &world, timed, &mut found).map_err(&stop)?;
        }
        seen.steps += found.len();
        for (after, one) in found {
            if !from.contains_key(&after) {
                from.insert(after.clone(), Some((place, one)));
                queue.push_back((order.len(), steps + 1));
                order.push(after);
            }
        }
    }
    seen.worlds = order.len();
    Ok(seen)
}

/// What each of the moves makes of the world, where it makes a difference.
fn spread(
    next: Next,
    world: &World,
    moves: Vec<Move>,
    found: &mut Vec<(World, Move)>,
) -> Result<(), Box<(String, Move, World)>> {
    for one in moves {
        let mut after = world.clone();
        if let Err(broken) = after.carry_out(next, one) {
            return Err(Box::new((broken, one, after)));
        }
        if after != *world {
            found.push((after, one));
        }
    }
    Ok(())
}

fn trace(
    from: &HashMap<World, Option<(usize, Move)>>,
    order: &[World],
    world: &World,
    last: Vec<Move>,
) -> Vec<Move> {
    let mut moves: Vec<Move> = last.into_iter().rev().collect();
    let mut at = world;
    while let Some(Some((place, one))) = from.get(at) {
        moves.push(*one);
        at = &order[*place];
    }
    moves.reverse();
    moves
}

type Lost = (String, Vec<Move>, Box<World>);

/// Lets everything go on without a fault until nothing changes, and looks whether that is rest.
pub(super) fn way_to_rest(
    next: Next,
    world: &World,
    promise: Promise,
    rests: &mut HashSet<World>,
) -> Result<usize, Lost> {
    let mut world = world.clone();
    (world.budget.faults, world.budget.restarts) = (0, 0);
    let (mut moves, mut passed, mut turn) = (Vec::new(), Vec::new(), 0);
    loop {
        if rests.contains(&world) {
            break;
        }
        if moves.len() > REST_MOVES_MAX {
            return Err(("there is no end of it".into(), moves, Box::new(world)));
        }
        passed.push(world.clone());
        let mut went_on = false;
        let mut timed = if promise == Promise::AtOnce { vec![] } else { world.timed() };
        // In turn: no time-out comes again and again before another has come once.
        let first = turn % timed.len().max(1);
        timed.rotate_left(first);
        let prompt = world.prompt();
        for (place, one) in prompt.iter().chain(&timed).copied().enumerate() {
            turn += usize::from(place >= prompt.len());
            let mut after = world.clone();
            if let Err(broken) = after.carry_out(next, one) {
                moves.push(one);
                return Err((broken, moves, Box::new(after)));
            }
            if after != world {
                moves.push(one);
                world = after;
                went_on = true;
                break;
            }
        }
        if !went_on {
            if let Err(broken) = is_rest(&world, promise) {
                return Err((format!("it ends, and {broken}"), moves, Box::new(world)));
            }
            break;
        }
    }
    rests.extend(passed);
    Ok(moves.len())
}

/// At rest a node is off and allocatable, or drained or down with its reason, or kept on for the next
/// job; and every job was started, held or sent back to the queue.
fn is_rest(world: &World, promise: Promise) -> Result<(), String> {
    if world.tries.iter().any(|of| *of != Try::Over) {
        return Err(format!("a job waits for ever: {:?}", world.tries));
    }
    let live: Vec<usize> = world.live().map(|(number, _)| number).collect();
    let slurm = &world.slurm;
    if let [kept] = live[..] {
        let runs = matches!(world.runs, Runs::Slurmd(of, _) if of == kept);
        if world.stays_on && runs && slurm.power == Power::Up && !slurm.down {
            return Ok(());
        }
    }
    if !live.is_empty() {
        return Err(format!("deployments {live:?} are not at rest"));
    }
    if world.has_power && !world.lied {
        return Err("the node is on".into());
    }
    let out_of_service = slurm.drain || slurm.down;
    let free = slurm.power == Power::Off && !out_of_service;
    if free || promise == Promise::Rest && out_of_service {
        return Ok(());
    }
    Err(format!("slurmctld has it as {slurm:?}"))
}
