//! One node seen from all sides → what does not agree. Pure.

use crate::clock::SECOND_NS;
use crate::config::Limits;
use crate::deployment::quarantine::out_of_use;
use crate::deployment::transition::limit_seconds;
use crate::deployment::{Deployment, State};
use crate::slurm::SlurmNode;
use crate::slurm_queue::MAINTENANCE;
use crate::store::NodeRow;
use protocol::api::{Finding, FindingKind, MendedBy};
use protocol::names::NodeName;

/// How slurmctld shows a node.
#[derive(Debug, Clone, Copy)]
pub(super) enum Slurm<'a> {
    /// It did not answer.
    Silent,
    /// It does not know the node.
    Unknown,
    /// So.
    Shows(&'a SlurmNode),
}

/// What is known of a node's power.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SeenPower {
    On,
    Off,
    /// Its controller says off, and the node reports.
    Contradicted,
    /// Its controller was asked and did not answer.
    NoAnswer,
    /// Nobody has asked lately, or there is nothing to ask.
    Unknown,
}

/// One node from all sides.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sides<'a> {
    pub(super) row: &'a NodeRow,
    pub(super) slurm: Slurm<'a>,
    /// The deployment that has the hardware.
    pub(super) live: Option<&'a Deployment>,
    pub(super) power: SeenPower,
    /// It waits in our hold script.
    pub(super) is_held: bool,
    /// An admin has switched it on.
    pub(super) is_by_hand: bool,
    /// ResumeProgram wants it.
    pub(super) is_wanted: bool,
    pub(super) now_unix_ns: i64,
}

/// A finding of one round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) node: Option<NodeName>,
    pub(super) kind: FindingKind,
    /// Once it has lasted for [`Self::patience_seconds`]; until then it may end by itself.
    pub(super) mended_by: MendedBy,
    pub(super) patience_seconds: i64,
    pub(super) what: String,
    pub(super) follows: String,
}

impl Found {
    fn of(kind: FindingKind, mended_by: MendedBy, what: String, follows: String) -> Self {
        Self { node: None, kind, mended_by, patience_seconds: 0, what, follows }
    }

    fn admin(kind: FindingKind, what: impl Into<String>, follows: impl Into<String>) -> Self {
        Self::of(kind, MendedBy::Admin, what.into(), follows.into())
    }

    fn itself(kind: FindingKind, what: impl Into<String>, follows: impl Into<String>) -> Self {
        Self::of(kind, MendedBy::Itself, what.into(), follows.into())
    }

    fn wanted(kind: FindingKind, what: impl Into<String>, follows: impl Into<String>) -> Self {
        Self::of(kind, MendedBy::Nobody, what.into(), follows.into())
    }

    fn after(self, patience_seconds: i64) -> Self {
        Self { patience_seconds, ..self }
    }

    fn about(self, node: &NodeName) -> Self {
        Self { node: Some(node.clone()), ..self }
    }

    /// The finding now, of which the first was seen then.
    pub(super) fn dated(self, since: i64, now: i64) -> Finding {
        let passes = now - since < self.patience_seconds * SECOND_NS;
        let is_admins = self.mended_by == MendedBy::Admin;
        Finding {
            mended_by: if passes && is_admins { MendedBy::Itself } else { self.mended_by },
            kind: self.kind,
            node: self.node,
            since_unix_ns: Some(since),
            what: self.what,
            follows: if passes && is_admins {
                "it may pass: it is looked at again each 15 s".into()
            } else {
                self.follows
            },
        }
    }
}

/// For what may be on its way: a few rounds of the comparison, or looks at the power. Seconds.
const SOON: i64 = 60;
/// For what bootsrv or slurmctld mends: longer than their patience with each other. Seconds.
const LATER: i64 = 300;

/// All that does not agree about a node.
pub(super) fn of_node(sides: &Sides<'_>, limits: &Limits) -> Vec<Found> {
    let name = &sides.row.definition.name;
    let mut found: Vec<Found> = maintenance(sides).into_iter().collect();
    found.extend(use_in_slurm(sides));
    found.extend(power(sides));
    found.extend(state(sides, limits));
    found.into_iter().map(|one| one.about(name)).collect()
}

/// What the resync has seen, and waits for the right word about.
pub(super) fn odd(node: &NodeName, what: &str) -> Found {
    let follows = "bootsrv has tried to mend it since: see its log, and slurmctld's";
    Found::admin(FindingKind::Resync, what, follows).after(LATER).about(node)
}

/// A node of our partitions that is not defined here.
pub(super) fn stranger(node: &NodeName) -> Found {
    let what = "belongs to one of our partitions, and is not defined here";
    let follows = "bmc node import, or take it out of the partition: jobs that get it go back";
    Found::admin(FindingKind::NotDefined, what, follows).about(node)
}

/// slurmctld did not answer to the comparison.
pub(super) fn slurm_silent(error: &str) -> Found {
    let what = format!("slurmctld does not answer: {error}");
    Found::admin(FindingKind::SlurmSilent, what, "see whether it runs: scontrol ping").after(SOON)
}

fn maintenance(sides: &Sides<'_>) -> Option<Found> {
    let (name, reason) = (&sides.row.definition.name, sides.row.maintenance.as_ref()?);
    let kind = FindingKind::Maintenance;
    let what = format!("in maintenance: {reason}");
    if let Slurm::Shows(shown) = sides.slurm
        && out_of_use(shown).or(sides.row.kept_drain.as_deref()).is_none()
    {
        let follows = "jobs that get it go back to the queue: set the maintenance again";
        return Some(Found::admin(kind, what + ", but not drained in Slurm", follows).after(SOON));
    }
    Some(Found::wanted(kind, what, format!("bmc node maintenance {name} --end, when it is over")))
}

/// How the reasons begin with which Slurm itself drains a node (slurmctld and slurmd, `drain_nodes`).
const SLURMS_OWN: [&str; 8] = [
    "Prolog error",
    "Epilog error",
    "Kill task failed",
    "batch job complete failure",
    "Duplicate jobid",
    "Low ",
    "gres/",
    "Not responding",
];

fn use_in_slurm(sides: &Sides<'_>) -> Option<Found> {
    let (row, name) = (sides.row, &sides.row.definition.name);
    let shown = match sides.slurm {
        Slurm::Silent => return None,
        Slurm::Unknown => {
            let follows = "add it to slurm.conf, see slurm-conf generate";
            let what = "is defined here, and slurmctld does not know it";
            return Some(Found::admin(FindingKind::NotInSlurm, what, follows).after(SOON));
        }
        Slurm::Shows(shown) => shown,
    };
    let Some(reason) = out_of_use(shown) else {
        let reason = row.kept_drain.as_ref()?;
        let (kind, what) = (FindingKind::KeptDrain, format!("drained: {reason}"));
        if sides.live.is_some() {
            let follows = "slurmctld forgets that at power-down: made again when the node is off";
            return Some(Found::itself(kind, what, follows));
        }
        let follows =
            format!("slurmctld has forgotten it: drain it anew, or bmc node clear {name}");
        return Some(Found::admin(kind, what, follows).after(LATER));
    };
    let word = if shown.has("DOWN") { "DOWN in Slurm" } else { "drained" };
    let what = format!("{word}: {reason}");
    let resume = format!("scontrol update nodename={name} state=resume");
    if row.ending_drain.as_deref() == Some(reason) {
        let follows = format!("it was taken back, and slurmctld does not do it: {resume}");
        return Some(Found::admin(FindingKind::DrainEnds, what, follows).after(LATER));
    }
    if row.maintenance.is_some() && reason.starts_with(MAINTENANCE) {
        return None;
    }
    if row.own_drain.as_deref() == Some(reason) {
        let follows = format!("look at it (bmc node console {name}), then bmc node clear {name}");
        return Some(Found::admin(FindingKind::OwnDrain, what, follows));
    }
    if shown.has("DOWN") || SLURMS_OWN.iter().any(|own| reason.starts_with(own)) {
        let follows = format!("look at it, then {resume}");
        return Some(Found::admin(FindingKind::SlurmDown, what, follows).after(SOON));
    }
    let follows = format!("an admin's: {resume}, when it is over");
    Some(Found::wanted(FindingKind::AdminDrain, what, follows))
}

/// Whether Slurm may start a job on the node, or runs one.
fn is_up(shown: &SlurmNode) -> bool {
    const NOT: [&str; 8] = [
        "POWERED_DOWN",
        "POWERING_DOWN",
        "POWER_DOWN",
        "POWERING_UP",
        "DOWN",
        "UNKNOWN",
        "NOT_RESPONDING",
        "REBOOT_ISSUED",
    ];
    !shown.flags.is_empty() && !NOT.iter().any(|flag| shown.has(flag))
}

fn power(sides: &Sides<'_>) -> Option<Found> {
    let definition = &sides.row.definition;
    let name = &definition.name;
    match sides.power {
        SeenPower::NoAnswer => {
            let what = format!("its controller ({}) does not answer", definition.power);
            let follows = format!(
                "check address, account and cable; bmc node power {name} status asks again"
            );
            Some(Found::admin(FindingKind::ControllerSilent, what, follows).after(SOON))
        }
        SeenPower::Contradicted => {
            let what =
                format!("its controller ({}) says off, and the node reports", definition.power);
            let follows =
                "the node is believed; reset its controller: until then switching it takes longer";
            Some(Found::admin(FindingKind::ControllerLies, what, follows).after(SOON))
        }
        SeenPower::Off => {
            let Slurm::Shows(shown) = sides.slurm else { return None };
            // Booting, Slurm has it from when its slurmd registers; going off, until SuspendProgram.
            let is_in_use = |one: &Deployment| matches!(one.state, State::Ready | State::Kept);
            let counts = is_up(shown) && sides.live.is_none_or(is_in_use);
            let what = "up in Slurm, and off at its controller";
            let follows = "nobody has noticed: scontrol update nodename=… state=power_down_force"
                .replace('…', name.as_str());
            counts.then(|| Found::admin(FindingKind::OffUnderSlurm, what, follows).after(LATER))
        }
        SeenPower::On if sides.live.is_none() && !sides.is_wanted => on_for_nobody(sides),
        SeenPower::On | SeenPower::Unknown => None,
    }
}

fn on_for_nobody(sides: &Sides<'_>) -> Option<Found> {
    let name = &sides.row.definition.name;
    if sides.row.maintenance.is_some() {
        return None;
    }
    if sides.is_by_hand {
        let follows = format!("bmc node power {name} off, when it is over");
        return Some(Found::wanted(FindingKind::OnByHand, "switched on by hand", follows));
    }
    let (what, patience) = match sides.is_held {
        true => ("on, and asks what to boot, but nobody wants it", LATER),
        false => ("on, and no deployment has it: it boots something else, or hangs", SOON),
    };
    let follows = format!("bmc node power {name} off");
    Some(Found::admin(FindingKind::OnForNobody, what, follows).after(patience))
}

/// The reconciler ends each state at its limit, counted from when bootsrv and slurmctld could be heard:
/// far above it nobody does.
fn state(sides: &Sides<'_>, limits: &Limits) -> Option<Found> {
    let one = sides.live?;
    let limit = i64::from(limit_seconds(one, limits)?);
    let seconds = (sides.now_unix_ns - one.since_unix_ns) / SECOND_NS;
    // An image's time counts from its last byte, which is not known here.
    let is_late = one.state != State::FetchingImage && seconds > 2 * limit + SOON;
    let state = one.state.name();
    let what = format!("{state} for {seconds} s, although {limit} s are the limit");
    let follows = "bootsrv's log says why";
    is_late.then(|| Found::admin(FindingKind::StateTooLong, what, follows).after(LATER))
}

#[cfg(test)]
#[path = "rules_tests.rs"]
mod tests;
