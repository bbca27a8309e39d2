//! Where what slurmctld shows and what we know have come apart: a crash of ours, of slurmctld's or
//! of a hook loses words. Each round compares every node, and repairs what has looked wrong for
//! longer than the right message can be under way.

use super::engine::Engine;
use super::findings;
use super::transition::Event;
use super::{Deployment, DeploymentId, State};
use crate::clock::{SECOND_NS, now_unix_ns};
use crate::power::{Order, PowerOff};
use crate::slurm::{Scontrol, SlurmNode};
use crate::slurm_queue::Word;
use crate::store::{NodeRow, StoreError};
use protocol::names::NodeName;
use protocol::node_list::expand;
use std::collections::{BTreeSet, HashMap};
use std::time::Duration;
use tokio::time::Instant;

/// What has to be done about a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Repair {
    /// Its job is over, and epilog did not reach us.
    EndJob,
    /// Slurm has powered it down, and SuspendProgram did not reach us.
    GiveBack,
    /// Slurm expects it up, and ResumeProgram did not reach us.
    NotComing,
    /// It is off for us: it has to be off for Slurm too.
    PowerDown,
    /// It is off, and Slurm waits for SuspendTimeout.
    Resume,
    /// Slurm took it out of service because ResumeProgram did not reach us, or ResumeTimeout is too short:
    /// it has no fault.
    Spare,
    /// It stands in our hold script, and nobody wants it.
    SwitchOff,
    /// It is off and free, and Slurm remembers that it did not answer: 22.05 gives such a node to no job
    /// once it is reconfigured. A power-down makes it forget.
    Forget,
}

impl Repair {
    /// What looks wrong.
    fn words(self) -> &'static str {
        match self {
            Self::EndJob => "has no job any more in Slurm, although no epilog has said so",
            Self::GiveBack => {
                "is powered down or DOWN in Slurm, although SuspendProgram has not said so"
            }
            Self::NotComing => "is expected up by Slurm, but nobody has asked for its boot",
            Self::PowerDown => "is off, but not for Slurm",
            Self::Resume => "is off, but Slurm still waits for that",
            Self::Spare => "was set down by Slurm's ResumeTimeout, and has no fault",
            Self::SwitchOff => "is on and asks what to boot, but nobody wants it",
            Self::Forget => "is off and free, but not responding for Slurm",
        }
    }

    /// How long it must have looked so: longer than the hooks go on trying to reach us.
    fn patience(self) -> Duration {
        match self {
            Self::PowerDown | Self::Resume | Self::Forget => Duration::ZERO,
            Self::EndJob | Self::GiveBack | Self::NotComing | Self::Spare => {
                Duration::from_secs(30)
            }
            Self::SwitchOff => Duration::from_secs(60),
        }
    }
}

/// One node from both sides.
#[derive(Debug, Clone, Copy)]
struct Seen<'a> {
    slurm: &'a SlurmNode,
    /// The deployment that has the hardware.
    live: Option<&'a Deployment>,
    /// ResumeProgram wants it for a job whose prolog is still to come.
    wanted: bool,
    /// It waits in our hold script, and no admin wants it there.
    idles: bool,
}

/// Slurm is told a second time to forget a silence after this time, then after twice as long, and so on: an
/// answer that it still waited for, of a node that has gone off, makes it remember again.
const FORGET_AGAIN: Duration = Duration::from_secs(30);
/// Longest between two of them: a node that is being powered down can be given to no job.
const FORGET_AGAIN_MAX: Duration = Duration::from_secs(600);

/// How `ResumeTimeout` is named in the reason that slurmctld gives.
const RESUME_TIMEOUT: &str = "ResumeTimeout reached";

fn repair(seen: Seen<'_>) -> Option<Repair> {
    let Seen { slurm, live, wanted, idles } = seen;
    let powered_down = slurm.has("POWERED_DOWN") || slurm.has("POWERING_DOWN");
    if let Some(one) = live {
        let in_use = matches!(one.state, State::Ready | State::Ended | State::Kept);
        // Nobody will be given a node that Slurm has set DOWN.
        let lost = one.state == State::Kept && slurm.has("DOWN");
        return if one.job.is_some() && one.state <= State::Ready && !slurm.has_job() {
            Some(Repair::EndJob)
        } else {
            (in_use && (powered_down || lost) && !slurm.has_job()).then_some(Repair::GiveBack)
        };
    }
    if wanted || slurm.has_job() {
        return None;
    }
    if slurm.has("POWERING_UP") {
        return Some(Repair::NotComing);
    }
    let late = slurm.reason.as_deref().is_some_and(|reason| reason.starts_with(RESUME_TIMEOUT));
    if slurm.has("DOWN") && late && powered_down {
        return Some(Repair::Spare);
    }
    if slurm.has("POWERING_DOWN") {
        return Some(Repair::Resume);
    }
    if !slurm.has("POWERED_DOWN") && (!slurm.has("DRAIN") || slurm.has("NOT_RESPONDING")) {
        return Some(Repair::PowerDown);
    }
    let is_free = slurm.has("IDLE") && slurm.has("POWERED_DOWN") && !slurm.has("DRAIN");
    if is_free && slurm.has("NOT_RESPONDING") {
        return Some(Repair::Forget);
    }
    idles.then_some(Repair::SwitchOff)
}

/// What looked wrong in the rounds before, and since when.
#[derive(Debug, Default)]
pub(super) struct Resync {
    odd: HashMap<NodeName, (Repair, Instant)>,
    /// How slurmctld was told to forget that a node was silent.
    forgotten: HashMap<NodeName, Forgotten>,
}

#[derive(Debug)]
struct Forgotten {
    /// The node's newest deployment then.
    after: Option<DeploymentId>,
    told_at: Instant,
    /// How long it is left at that.
    pause: Duration,
}

impl Resync {
    /// Compares all nodes with what slurmctld shows.
    pub(super) async fn round(&mut self, engine: &Engine, scontrol: &Scontrol) {
        let (Ok(rows), Ok(live)) = (engine.store.nodes(), engine.store.live_deployments()) else {
            return;
        };
        let defined: BTreeSet<NodeName> =
            rows.iter().map(|row| row.definition.name.clone()).collect();
        let lists = engine.config.partitions.iter().filter_map(|one| one.nodes.as_ref());
        let of_partitions = lists.filter_map(|list| expand(list).ok()).flatten();
        let names: BTreeSet<NodeName> = of_partitions.chain(defined.iter().cloned()).collect();
        let names: Vec<NodeName> = names.into_iter().collect();
        let shown = match scontrol.nodes(&names).await {
            Ok(shown) => shown,
            Err(error) => {
                let why = crate::chain(&error);
                findings::note(engine, &rows, &live, &Err(why.clone()), &self.odd(), &[]);
                return log::warn!("asking slurmctld: {why}");
            }
        };
        let strangers: Vec<NodeName> =
            shown.keys().filter(|name| !defined.contains(*name)).cloned().collect();
        findings::note(engine, &rows, &live, &Ok(&shown), &self.odd(), &strangers);
        for row in rows {
            let name = &row.definition.name;
            let Some(slurm) = shown.get(name) else { continue };
            if row.ending_drain.is_some() {
                engine.slurm.say(Word::Undrain(name.clone()));
            }
            let live =
                live.iter().find(|one| &one.node == name && !one.state.has_given_node_back());
            let seen = Seen { slurm, live, wanted: is_wanted(&row), idles: idles(engine, &row) };
            let found = repair(seen).filter(|found| {
                *found != Repair::Forget
                    || (engine.store.current_on(name))
                        .is_ok_and(|newest| self.may_forget(name, newest.map(|one| one.id)))
            });
            let Some(due) = self.due(name, found) else { continue };
            if due == Repair::EndJob && still_has_a_job(scontrol, live).await {
                continue;
            }
            if let Err(error) = carry_out(engine, due, name, live) {
                log::error!("node={name}: {}", crate::chain(&error));
            }
        }
    }

    /// What is waited for, or was done in this round, in words.
    fn odd(&self) -> Vec<(NodeName, &'static str)> {
        self.odd.iter().map(|(name, (repair, _))| (name.clone(), repair.words())).collect()
    }

    /// At once after each deployment of the node; more and more seldom when Slurm remembers all the same.
    fn may_forget(&mut self, name: &NodeName, newest: Option<DeploymentId>) -> bool {
        let is_same = |told: &&Forgotten| {
            told.after == newest && told.told_at.elapsed() < 2 * FORGET_AGAIN_MAX
        };
        let told = self.forgotten.get(name).filter(is_same);
        if told.is_some_and(|told| told.told_at.elapsed() < told.pause) {
            return false;
        }
        let pause = told.map_or(FORGET_AGAIN, |told| FORGET_AGAIN_MAX.min(2 * told.pause));
        let now = Forgotten { after: newest, told_at: Instant::now(), pause };
        self.forgotten.insert(name.clone(), now);
        true
    }

    fn due(&mut self, name: &NodeName, found: Option<Repair>) -> Option<Repair> {
        let Some(found) = found else {
            self.odd.remove(name);
            return None;
        };
        let entry = self.odd.entry(name.clone()).or_insert_with(|| (found, Instant::now()));
        if entry.0 != found {
            *entry = (found, Instant::now());
        }
        let due = entry.1.elapsed() >= found.patience();
        if due {
            self.odd.remove(name);
        }
        due.then_some(found)
    }
}

/// A node can be idle under a job: it was suspended, or shrunk, or has lost another node. Without an
/// answer it counts as still there.
async fn still_has_a_job(scontrol: &Scontrol, live: Option<&Deployment>) -> bool {
    let Some(job) = live.and_then(|one| one.job) else { return false };
    scontrol.job_is_active(job).await.unwrap_or_else(|error| {
        log::warn!("job={job}: {}", crate::chain(&error));
        true
    })
}

/// A job that is cancelled before its prolog leaves its wish behind.
fn is_wanted(row: &NodeRow) -> bool {
    /// Longest between ResumeProgram and the request of the job it came for, while nothing is wrong.
    const WANTED_SECONDS_MAX: i64 = 15;
    let since = row.wanted_since_unix_ns;
    let now = now_unix_ns();
    since.is_some_and(|at| (0..WANTED_SECONDS_MAX * SECOND_NS).contains(&(now - at)))
}

fn idles(engine: &Engine, row: &NodeRow) -> bool {
    let name = &row.definition.name;
    row.maintenance.is_none() && engine.fleet.is_held(name) && !engine.fleet.is_on_by_hand(name)
}

fn carry_out(
    engine: &Engine,
    repair: Repair,
    name: &NodeName,
    live: Option<&Deployment>,
) -> Result<(), StoreError> {
    let told = |what| log::warn!("node={name} {}: {what}", repair.words());
    match (repair, live) {
        (Repair::EndJob, Some(one)) => {
            told("ending its job here");
            let of = one.try_id.map(|id| engine.store.one_try(id)).transpose()?.flatten();
            of.map_or(Ok(()), |of| engine.end_try(&of, &[]))?;
        }
        (Repair::GiveBack, Some(one)) => {
            told("powering it off");
            engine.apply(one.id, &Event::GivenBack)?;
        }
        (Repair::NotComing, _) => {
            told("powering it down");
            engine.slurm.say(Word::PowerDown(name.clone()));
        }
        (Repair::Forget, _) => {
            told("powering it down there");
            // Not by force: slurmctld may give it to a job at this moment, which then keeps it.
            engine.slurm.say(Word::PowerDownWhenIdle(name.clone()));
        }
        (Repair::PowerDown, _) => engine.slurm.say(Word::PowerDown(name.clone())),
        (Repair::Resume, _) => engine.slurm.say(Word::Resume(name.clone())),
        (Repair::Spare, _) if engine.store.kept_drain(name)?.is_some() => {
            // It failed by its own fault before Slurm's patience ended.
            let reason = engine.store.kept_drain(name)?.unwrap_or_default();
            engine.slurm.say(Word::Drain(name.clone(), reason));
        }
        (Repair::Spare, _) => {
            told("back into service");
            engine.slurm.say(Word::Spare(name.clone()));
        }
        (Repair::SwitchOff, _) => {
            told("switching it off");
            engine.fleet.order(name, Order::Off(PowerOff::default()));
        }
        (Repair::EndJob | Repair::GiveBack, None) => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::names::JobId;

    fn slurm(flags: &str, reason: Option<&str>) -> SlurmNode {
        SlurmNode {
            flags: flags.split('+').map(String::from).collect(),
            reason: reason.map(String::from),
            ..SlurmNode::default()
        }
    }

    fn deployment(state: State, job: Option<JobId>) -> Deployment {
        Deployment { job, state, ..Deployment::example() }
    }

    #[test]
    fn a_node_without_a_deployment_must_be_off_for_slurm_too() {
        for (flags, expected) in [
            ("IDLE+POWERED_DOWN", None),
            ("IDLE+POWERED_DOWN+NOT_RESPONDING", Some(Repair::Forget)),
            ("IDLE+DRAIN+POWERED_DOWN+NOT_RESPONDING", None),
            ("DOWN+POWERED_DOWN+NOT_RESPONDING", None),
            ("IDLE+POWERING_DOWN", Some(Repair::Resume)),
            ("IDLE", Some(Repair::PowerDown)),
            ("UNKNOWN+NOT_RESPONDING", Some(Repair::PowerDown)),
            ("IDLE+DRAIN", None),
            ("IDLE+DRAIN+NOT_RESPONDING", Some(Repair::PowerDown)),
            ("ALLOCATED+POWERING_UP", None),
            ("IDLE+POWERING_UP", Some(Repair::NotComing)),
        ] {
            let slurm = slurm(flags, None);
            let seen = Seen { slurm: &slurm, live: None, wanted: false, idles: false };
            assert_eq!(repair(seen), expected, "{flags}");
            assert_eq!(repair(Seen { wanted: true, ..seen }), None, "{flags}");
        }
    }

    #[test]
    fn a_node_that_idles_in_the_hold_script_is_switched_off() {
        let slurm = slurm("IDLE+POWERED_DOWN", None);
        let seen = Seen { slurm: &slurm, live: None, wanted: false, idles: true };
        assert_eq!(repair(seen), Some(Repair::SwitchOff));
    }

    #[test]
    fn only_a_late_boot_is_spared() {
        for (reason, expected) in [
            ("ResumeTimeout reached [slurm@2026-11-21T08:00:00]", Some(Repair::Spare)),
            ("fan broken", None),
        ] {
            let slurm = slurm("DOWN+POWERED_DOWN", Some(reason));
            let seen = Seen { slurm: &slurm, live: None, wanted: false, idles: false };
            assert_eq!(repair(seen), expected, "{reason}");
        }
    }

    #[test]
    fn the_end_of_a_job_is_seen_without_its_epilog() {
        let job = Some(JobId(7));
        for (flags, state, job, expected) in [
            ("ALLOCATED", State::Ready, job, None),
            ("IDLE+COMPLETING", State::Ready, job, None),
            ("MIXED+POWERING_UP", State::Booting, job, None),
            ("IDLE+POWERING_UP", State::Booting, job, Some(Repair::EndJob)),
            ("IDLE+POWERED_DOWN", State::Ready, job, Some(Repair::EndJob)),
            ("IDLE+POWERED_DOWN", State::Ended, job, Some(Repair::GiveBack)),
            ("IDLE", State::Kept, job, None),
            ("IDLE+POWERED_DOWN", State::Kept, job, Some(Repair::GiveBack)),
            ("DOWN+NOT_RESPONDING", State::Kept, job, Some(Repair::GiveBack)),
            ("IDLE+POWERING_DOWN", State::PoweringOff, job, None),
            // Booted for no job: idle is what it should be.
            ("IDLE", State::Ready, None, None),
            ("IDLE+POWERING_DOWN", State::Ready, None, Some(Repair::GiveBack)),
        ] {
            let (slurm, one) = (slurm(flags, None), deployment(state, job));
            let seen = Seen { slurm: &slurm, live: Some(&one), wanted: false, idles: false };
            assert_eq!(repair(seen), expected, "{flags} {state:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn each_silence_is_to_be_forgotten_and_less_and_less_often() {
        let (mut resync, name) = (Resync::default(), "n1".parse().unwrap());
        assert!(resync.may_forget(&name, Some(7)));
        assert!(!resync.may_forget(&name, Some(7)), "it has been told");
        assert!(resync.may_forget(&name, Some(8)), "another boot has failed");
        let mut told = 0;
        for _second in 0..3600 {
            tokio::time::advance(Duration::from_secs(1)).await;
            told += i32::from(resync.may_forget(&name, Some(8)));
        }
        // After 30, 90, 210, 450, 930 s, and then each 600 s.
        assert_eq!(told, 9);
        tokio::time::advance(2 * FORGET_AGAIN_MAX).await;
        assert!(resync.may_forget(&name, Some(8)));
        tokio::time::advance(FORGET_AGAIN).await;
        assert!(resync.may_forget(&name, Some(8)), "it was well for long: as at first");
    }

    #[tokio::test(start_paused = true)]
    async fn what_may_still_be_told_is_waited_for() {
        let (mut resync, name) = (Resync::default(), "n1".parse().unwrap());
        assert_eq!(resync.due(&name, Some(Repair::EndJob)), None);
        tokio::time::advance(Duration::from_secs(31)).await;
        assert_eq!(resync.due(&name, None), None);
        assert_eq!(resync.due(&name, Some(Repair::EndJob)), None, "it begins anew");
        tokio::time::advance(Duration::from_secs(31)).await;
        assert_eq!(resync.due(&name, Some(Repair::EndJob)), Some(Repair::EndJob));
        assert_eq!(resync.due(&name, Some(Repair::PowerDown)), Some(Repair::PowerDown));
    }
}
