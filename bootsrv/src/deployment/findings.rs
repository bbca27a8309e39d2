//! Where Slurm's view, the store and the controllers' view do not agree, as the last comparison of
//! all nodes has seen it: what `bmc doctor` shows. The rules are in [`rules`]; here is what is
//! remembered between two comparisons, so that an age can be told.

mod rules;

use super::Deployment;
use super::engine::Engine;
use crate::clock::{SECOND_NS, now_unix_ns};
use crate::power::{Observed, Power};
use crate::slurm::SlurmNode;
use crate::store::NodeRow;
use protocol::api::{Finding, FindingKind};
use protocol::names::NodeName;
use protocol::power::PowerDefinition;
use rules::{Found, SeenPower, Sides, Slurm};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What slurmctld showed of all nodes of our partitions, or why it did not.
pub type Shown<'a> = Result<&'a HashMap<NodeName, SlurmNode>, String>;

/// What the last comparison found.
#[derive(Debug, Default)]
pub struct Findings(Mutex<Last>);

#[derive(Debug, Default)]
struct Last {
    compared_unix_ns: Option<i64>,
    shown: HashMap<NodeName, SlurmNode>,
    found: Vec<Finding>,
    since: HashMap<Key, i64>,
    unseen: Vec<NodeName>,
}

type Key = (Option<NodeName>, FindingKind);

/// A comparison for who asks.
#[derive(Debug, Clone)]
pub struct Comparison {
    /// When slurmctld last answered to one, nanoseconds since 1970; `None`: not yet.
    pub compared_unix_ns: Option<i64>,
    /// What was found, in no order.
    pub found: Vec<Finding>,
    /// Nodes whose power is not known: not asked lately, or nothing can be asked.
    pub unseen: Vec<NodeName>,
}

impl Findings {
    /// The last comparison.
    #[must_use]
    pub fn last(&self) -> Comparison {
        let last = self.lock();
        Comparison {
            compared_unix_ns: last.compared_unix_ns,
            found: last.found.clone(),
            unseen: last.unseen.clone(),
        }
    }

    /// A node as slurmctld showed it last; `None`: it did not, or does not know it.
    #[must_use]
    pub fn in_slurm(&self, node: &NodeName) -> Option<SlurmNode> {
        self.lock().shown.get(node).cloned()
    }

    /// Keeps a round, each finding with the time since when it is there.
    fn keep(&self, shown: &Shown<'_>, found: Vec<Found>, unseen: Vec<NodeName>, now: i64) {
        let mut last = self.lock();
        if let Ok(shown) = shown {
            last.compared_unix_ns = Some(now);
            last.shown = (*shown).clone();
        }
        let mut since = HashMap::with_capacity(found.len());
        let dated = found.into_iter().map(|one| {
            let key = (one.node.clone(), one.kind);
            let first = last.since.get(&key).copied().unwrap_or(now);
            since.insert(key, first);
            one.dated(first, now)
        });
        let dated = dated.collect();
        last.found = dated;
        last.since = since;
        last.unseen = unseen;
    }

    fn lock(&self) -> MutexGuard<'_, Last> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How old an observation of a node's power may be, in seconds: workers look at each node each 30 s.
const FRESH_SECONDS: i64 = 120;
/// How long a wish of ResumeProgram keeps a node from being on for nobody, in seconds.
const WANTED_SECONDS: i64 = 60;

/// Compares all nodes, for who asks later. `live`: the deployments that are not released; `odd`: what
/// the resync waits for, or does, about nodes; `strangers`: nodes of our partitions that Slurm
/// knows and that are not defined here.
pub fn note(
    engine: &Engine,
    rows: &[NodeRow],
    live: &[Deployment],
    shown: &Shown<'_>,
    odd: &[(NodeName, &'static str)],
    strangers: &[NodeName],
) {
    let now = now_unix_ns();
    let holders: HashMap<&NodeName, &Deployment> = live
        .iter()
        .filter(|one| !one.state.has_given_node_back())
        .map(|one| (&one.node, one))
        .collect();
    let mut found: Vec<Found> = Vec::new();
    let mut unseen = Vec::new();
    for row in rows {
        let name = &row.definition.name;
        let wanted = row.wanted_since_unix_ns;
        let sides = Sides {
            row,
            slurm: match shown {
                Ok(shown) => shown.get(name).map_or(Slurm::Unknown, Slurm::Shows),
                Err(_) => Slurm::Silent,
            },
            live: holders.get(name).copied(),
            power: seen(engine.fleet.observed(name), &row.definition.power, now),
            is_held: engine.fleet.is_held(name),
            is_by_hand: engine.fleet.is_on_by_hand(name),
            is_wanted: wanted
                .is_some_and(|at| (0..WANTED_SECONDS * SECOND_NS).contains(&(now - at))),
            now_unix_ns: now,
        };
        if sides.power == SeenPower::Unknown {
            unseen.push(name.clone());
        }
        found.extend(rules::of_node(&sides, &engine.config.limits));
    }
    found.extend(odd.iter().map(|(node, what)| rules::odd(node, what)));
    found.extend(strangers.iter().map(rules::stranger));
    found.extend(shown.as_ref().err().map(|error| rules::slurm_silent(error)));
    engine.findings.keep(shown, found, unseen, now);
}

/// What is known of the power now.
fn seen(observed: Observed, by: &PowerDefinition, now: i64) -> SeenPower {
    let is_fresh = now - observed.at_unix_ns < FRESH_SECONDS * SECOND_NS;
    match observed.power {
        _ if !is_fresh => SeenPower::Unknown,
        Some(Power::On) if observed.is_contradicted => SeenPower::Contradicted,
        Some(Power::On) => SeenPower::On,
        Some(Power::Off) => SeenPower::Off,
        // A magic packet has no answer.
        None if matches!(by, PowerDefinition::WakeOnLan { .. }) => SeenPower::Unknown,
        None => SeenPower::NoAnswer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::api::MendedBy;

    fn found(kind: FindingKind, patience_seconds: i64) -> Found {
        Found {
            node: Some("n1".parse().unwrap()),
            kind,
            mended_by: MendedBy::Admin,
            patience_seconds,
            what: "w".into(),
            follows: "f".into(),
        }
    }

    #[test]
    fn an_age_counts_from_the_first_round_that_saw_it() {
        let findings = Findings::default();
        let shown = HashMap::from([("n1".parse().unwrap(), SlurmNode::default())]);
        let silent = FindingKind::ControllerSilent;
        let round = |kinds: &[FindingKind], second: i64| {
            let all = kinds.iter().map(|kind| found(*kind, 60)).collect();
            findings.keep(&Ok(&shown), all, vec![], second * SECOND_NS);
            let last = findings.last();
            assert_eq!(last.compared_unix_ns, Some(second * SECOND_NS));
            let of = |one: Finding| (one.since_unix_ns.unwrap() / SECOND_NS, one.mended_by);
            last.found.into_iter().map(of).collect::<Vec<_>>()
        };
        assert_eq!(round(&[silent], 10), [(10, MendedBy::Itself)], "it may pass");
        assert_eq!(round(&[silent, FindingKind::OwnDrain], 70)[0], (10, MendedBy::Admin));
        assert_eq!(round(&[], 85), []);
        assert_eq!(round(&[silent], 100), [(100, MendedBy::Itself)], "it begins anew");
        findings.keep(&Err("no answer".into()), vec![], vec![], 200 * SECOND_NS);
        assert_eq!(findings.last().compared_unix_ns, Some(100 * SECOND_NS));
        assert!(findings.in_slurm(&"n1".parse().unwrap()).is_some(), "as it was last shown");
    }

    #[test]
    fn an_old_look_is_no_knowledge() {
        let row = NodeRow::example("n1");
        let ipmi = &row.definition.power;
        let wake: PowerDefinition =
            serde_json::from_str(r#"{"method":"wake_on_lan","broadcast":"10.77.0.255"}"#).unwrap();
        let look = |power, second: i64, by: &PowerDefinition| {
            let at_unix_ns = second * SECOND_NS;
            seen(Observed { power, at_unix_ns, ..Observed::default() }, by, 1_000 * SECOND_NS)
        };
        assert_eq!(look(Some(Power::On), 990, ipmi), SeenPower::On);
        assert_eq!(look(Some(Power::Off), 990, ipmi), SeenPower::Off);
        assert_eq!(look(Some(Power::Off), 800, ipmi), SeenPower::Unknown);
        assert_eq!(look(None, 990, ipmi), SeenPower::NoAnswer);
        assert_eq!(look(None, 0, ipmi), SeenPower::Unknown, "it was never asked");
        assert_eq!(look(None, 990, &wake), SeenPower::Unknown);
        let power = Some(Power::On);
        let word = Observed {
            power,
            is_contradicted: true,
            at_unix_ns: 990 * SECOND_NS,
            ..Observed::default()
        };
        assert_eq!(seen(word, ipmi, 1_000 * SECOND_NS), SeenPower::Contradicted);
    }
}
