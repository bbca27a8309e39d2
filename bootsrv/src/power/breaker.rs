//! Whether the management network is there at all: when most controllers that were asked lately gave
//! no answer, it is the network that failed and not the nodes.

use protocol::names::NodeName;
use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// What counts as lately: as long as an idle node's controller is left alone between two questions.
const LATELY: Duration = Duration::from_secs(30);
/// Fewest controllers that must have been asked lately: of two, one in a bad cable is no network.
const ASKED_MIN: usize = 5;

/// What follows from a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// The network is dead.
    Opened {
        /// Controllers that gave no answer.
        silent: usize,
        /// Controllers asked.
        asked: usize,
    },
    /// It is back: a controller that had been silent has answered.
    Closed,
}

/// The last question to each controller.
#[derive(Debug, Default)]
struct Ledger {
    last: HashMap<NodeName, (Instant, bool)>,
    /// The controllers that were silent since it opened; `None`: it is closed.
    open: Option<HashSet<NodeName>>,
}

impl Ledger {
    /// Notes that a controller was asked, and decides.
    fn note(&mut self, node: &NodeName, answered: bool, now: Instant) -> Option<Change> {
        if let Some(silent) = &mut self.open {
            if !answered {
                silent.insert(node.clone());
            } else if silent.contains(node) {
                // What was seen while the network was away says nothing about now.
                *self = Self::default();
                return Some(Change::Closed);
            }
            return None;
        }
        self.last.insert(node.clone(), (now, answered));
        if answered {
            return None;
        }
        self.last.retain(|_, (at, _)| now.duration_since(*at) <= LATELY);
        let is_silent = |(_, (_, answered)): &(_, &(Instant, bool))| !answered;
        let silent = self.last.iter().filter(is_silent).count();
        let asked = self.last.len();
        if asked < ASKED_MIN || silent * 2 <= asked {
            return None;
        }
        let names = self.last.iter().filter(is_silent).map(|(name, _)| name.clone());
        self.open = Some(names.collect());
        Some(Change::Opened { silent, asked })
    }
}

/// The site's circuit breaker. Open, it keeps nodes from being blamed for their silence.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    ledger: Mutex<Ledger>,
}

impl Breaker {
    /// Notes whether a node's controller gave any answer; one line in the log when that opens or
    /// closes the breaker.
    pub(super) fn note(&self, node: &NodeName, answered: bool) {
        match self.ledger().note(node, answered, Instant::now()) {
            Some(Change::Opened { silent, asked }) => log::error!(
                "management network: {silent} of {asked} controllers asked within {} s gave no \
                 answer; power-ons wait until one of them does, and no node is drained for it",
                LATELY.as_secs()
            ),
            Some(Change::Closed) => {
                log::warn!(
                    "management network: node {node}'s controller answers again; power-ons go on"
                );
            }
            None => {}
        }
    }

    /// Whether the network is taken for dead.
    pub(super) fn is_open(&self) -> bool {
        self.ledger().open.is_some()
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    fn name(number: usize) -> NodeName {
        format!("n{number}").parse().unwrap()
    }

    fn ask(breaker: &Breaker, silent: usize, answering: usize) {
        for number in 0..silent + answering {
            breaker.note(&name(number), number >= silent);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn it_opens_when_more_than_half_of_at_least_five_are_silent() {
        for (silent, answering, opens) in [
            (4, 0, false),
            (5, 0, true),
            // The silent ones are asked first: four of four are too few, three of six not enough.
            (3, 3, false),
            (1, 9, false),
        ] {
            let breaker = Breaker::default();
            ask(&breaker, silent, answering);
            assert_eq!(breaker.is_open(), opens, "{silent} silent, {answering} answering");
        }
        let breaker = Breaker::default();
        ask(&breaker, 0, 10);
        for number in 0..6 {
            assert!(!breaker.is_open(), "{number} of 10 silent");
            breaker.note(&name(number), false);
        }
        assert!(breaker.is_open(), "6 of 10 silent");
    }

    #[tokio::test(start_paused = true)]
    async fn old_silence_does_not_count() {
        let breaker = Breaker::default();
        ask(&breaker, 4, 0);
        advance(LATELY + Duration::from_secs(1)).await;
        breaker.note(&name(4), false);
        assert!(!breaker.is_open());
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_was_silent_closes_it_by_an_answer_and_others_do_not() {
        let breaker = Breaker::default();
        ask(&breaker, 0, 4);
        for number in 4..9 {
            breaker.note(&name(number), false);
        }
        assert!(breaker.is_open());
        breaker.note(&name(0), true);
        assert!(breaker.is_open(), "it had answered all the time");
        breaker.note(&name(7), true);
        assert!(!breaker.is_open());
        breaker.note(&name(8), false);
        assert!(!breaker.is_open(), "what was seen before is forgotten");
    }
}
