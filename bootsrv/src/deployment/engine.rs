//! Where events meet the store: one event at a time is decided, written, and only then acted upon.
//!
//! It does no waiting itself: power orders go to the node's worker, words for slurmctld to the
//! Slurm queue. What a crash loses there, [`Engine::take_up_again`] orders once more.

use super::findings::Findings;
use super::signs::Signs;
use super::take_over::TakeOver;
use super::transition::{Action, Event, next, taken_up_again};
use super::watchers::Watchers;
use super::{Blame, Deployment, DeploymentId, Failure, Mark, State, Way, quarantine};
use crate::application::{Board, uploads};
use crate::clock::now_unix_ns;
use crate::config::Config;
use crate::console::Consoles;
use crate::energy_record;
use crate::power::{Fleet, Order, PowerOff};
use crate::scheduler::Warmth;
use crate::slurm_queue::{SlurmQueue, Word};
use crate::store::{Store, StoreError, Try};
use crate::token;
use protocol::names::{Digest, NodeName};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// How long a suspect may stay silent: two heartbeats and a little.
const SUSPECT_SILENCE: Duration = Duration::from_secs(25);

/// The heart, shared by handlers, workers and the reconciler.
#[derive(Debug)]
pub struct Engine {
    /// The truth.
    pub store: Arc<Store>,
    /// The site's settings.
    pub config: Arc<Config>,
    /// The nodes' power.
    pub fleet: Fleet,
    /// The nodes' consoles.
    pub consoles: Consoles,
    /// The way to slurmctld.
    pub slurm: SlurmQueue,
    /// How far application images are.
    pub images: Arc<Board>,
    /// Woken when an image is wanted, for the service that prepares them.
    pub image_wanted: Notify,
    /// Woken by every change, for the reconciler.
    pub changed: Notify,
    /// Nodes were added: compare them with slurmctld now, not at the next round.
    pub resync_wanted: AtomicBool,
    /// slurmctld may take a job off its nodes for another one, as it was last seen to be configured.
    pub preemption: AtomicBool,
    /// Events are decided one after the other.
    deciding: Mutex<()>,
    /// When the store was last away: locked by another program, or its disk full.
    store_was_away: Mutex<Option<Instant>>,
    /// Nodes in use that asked for a boot script, and when: crashed, if they are not heard of again.
    suspects: Mutex<HashMap<DeploymentId, Instant>>,
    /// When bytes went last to nodes that wait for their application image, nanoseconds since 1970.
    fetches: Mutex<HashMap<DeploymentId, Arc<AtomicI64>>>,
    /// Where Slurm, the store and the controllers do not agree, as last compared.
    pub findings: Findings,
    /// What is heard of the nodes' agents, and who waits to tell them something.
    pub signs: Signs,
    /// Who waits until a job's boot is decided.
    pub watchers: Watchers,
    /// What nodes that are on run, for the scheduler.
    pub warmth: Warmth,
}

impl Engine {
    /// Puts the parts together.
    #[must_use]
    pub fn new(store: Arc<Store>, config: Arc<Config>, fleet: Fleet, slurm: SlurmQueue) -> Self {
        let captures = fleet.captures.clone();
        Self {
            consoles: Consoles::new(Arc::clone(&store), &config.state_dir, captures),
            store,
            config,
            fleet,
            slurm,
            images: Arc::default(),
            image_wanted: Notify::new(),
            changed: Notify::new(),
            resync_wanted: AtomicBool::new(false),
            preemption: AtomicBool::new(false),
            deciding: Mutex::new(()),
            store_was_away: Mutex::default(),
            suspects: Mutex::default(),
            fetches: Mutex::default(),
            findings: Findings::default(),
            signs: Signs::default(),
            watchers: Watchers::default(),
            warmth: Warmth::default(),
        }
    }

    /// Lets an event happen to a deployment, now.
    ///
    /// # Errors
    /// When the store fails; nothing was decided then, and whoever brought the event brings it again.
    pub fn apply(&self, id: DeploymentId, event: &Event) -> Result<(), StoreError> {
        self.apply_at(id, event, now_unix_ns())
    }

    /// As [`Self::apply`], for what happened then: its marks are of that time.
    ///
    /// # Errors
    /// As [`Self::apply`].
    pub fn apply_at(
        &self,
        id: DeploymentId,
        event: &Event,
        at_unix_ns: i64,
    ) -> Result<(), StoreError> {
        self.decide(id, event, at_unix_ns, &[])
    }

    /// Lets an agent's report happen, whose marks have times of their own.
    ///
    /// # Errors
    /// As [`Self::apply`].
    pub fn report(
        &self,
        id: DeploymentId,
        event: &Event,
        marks: &[(Mark, i64)],
    ) -> Result<(), StoreError> {
        self.decide(id, event, now_unix_ns(), marks)
    }

    fn decide(
        &self,
        id: DeploymentId,
        event: &Event,
        at_unix_ns: i64,
        marks: &[(Mark, i64)],
    ) -> Result<(), StoreError> {
        let done = self.decide_and_act(id, event, at_unix_ns, marks);
        if done.as_ref().is_err_and(StoreError::passes) {
            *self.store_was_away.lock().unwrap_or_else(PoisonError::into_inner) =
                Some(Instant::now());
        }
        done
    }

    /// When the store was last seen to be away: nobody could be heard then.
    #[must_use]
    pub fn store_was_away(&self) -> Option<Instant> {
        *self.store_was_away.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn decide_and_act(
        &self,
        id: DeploymentId,
        event: &Event,
        at_unix_ns: i64,
        marks: &[(Mark, i64)],
    ) -> Result<(), StoreError> {
        let _one_at_a_time = self.deciding.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(deployment) = self.store.deployment(id)? else { return Ok(()) };
        if matches!(event, Event::ScriptAsked | Event::Agent(_)) {
            self.signs.boot_heard(&deployment.node, id);
        }
        // Before this changes it: its last word is still about a node that is its own.
        let live = self.store.live_deployments_of(&deployment.node)?;
        let current = live.iter().all(|one| one.id <= id);
        let mut outcome = next(&deployment, event, &self.config.limits);
        if let Some(failure) = &mut outcome.failure {
            self.explain(&deployment, failure);
            for action in &mut outcome.actions {
                if let Action::Drain(reason) | Action::Down(reason) = action {
                    reason.clone_from(&failure.reason);
                }
            }
        }
        let now = now_unix_ns();
        let own = outcome.marks.iter().map(|mark| (*mark, at_unix_ns));
        let marks: Vec<(Mark, i64)> = marks.iter().copied().chain(own).collect();
        if outcome.way == Some(Way::Boot) {
            // Whoever has the token of the attempt before is no longer this deployment's node. First,
            // because the event comes again if this or what follows cannot be written.
            self.store.begin_anew(id, &token::fresh())?;
        }
        if outcome.state.is_some() || outcome.failure.is_some() || !marks.is_empty() {
            let (state, way, failure) = (outcome.state, outcome.way, outcome.failure.as_ref());
            let for_slurm = self.store.change_way(id, state, way, failure, &marks, now)?;
            for action in &mut outcome.actions {
                if let (Action::Drain(reason) | Action::Down(reason), Some(text)) =
                    (action, &for_slurm)
                {
                    reason.clone_from(text);
                }
            }
        }
        self.follow_console(&deployment, event, outcome.state);
        if let Some(job) = deployment.job
            && (outcome.failure.is_some()
                || outcome.state.is_some_and(|now| !now.is_before_ready()))
        {
            self.watchers.wake(job);
        }
        if outcome.way == Some(Way::Boot) {
            log::warn!("node={} begins anew for {:?}: {event:?}", deployment.node, deployment.job);
        }
        if outcome.application_ready {
            self.store.note_application_ready(id)?;
        }
        if outcome.state.is_some_and(|state| !state.is_before_ready()) {
            self.fetches().remove(&id);
        }
        if outcome.state == Some(State::Released)
            && let Err(error) = self.keep_energy(id)
        {
            // It is computed whenever somebody asks, as long as its readings are there.
            log::error!("deployment {id}: keeping its energy: {}", crate::chain(&error));
        }
        self.log(&deployment, event, outcome.state, outcome.failure.as_ref());
        for action in outcome.actions.iter().filter(|action| current || !action.is_about_use()) {
            self.act(&deployment, action, outcome.failure.as_ref());
        }
        if let Some(now) = self.store.current_on(&deployment.node)? {
            self.fleet.set_active(&deployment.node, now.state);
        }
        // The reconciler asks some questions again and again: one that changed nothing is no news to it.
        if outcome.state.is_some() || outcome.application_ready || !outcome.actions.is_empty() {
            self.changed.notify_one();
            self.signs.wake(&deployment.node);
        }
        Ok(())
    }

    /// Lets a deployment take the running node over from another one, at one instant: where the one's
    /// energy ends, the other's begins. In this order: after a crash in between the reconciler goes on.
    ///
    /// # Errors
    /// When the store fails.
    pub fn take_over(
        &self,
        id: DeploymentId,
        from: DeploymentId,
        choice: TakeOver,
    ) -> Result<(), StoreError> {
        self.store.note_take_over(id, from, choice.clears_memory)?;
        let now = now_unix_ns();
        self.apply_at(id, &Event::TakeOver(choice.way), now)?;
        self.apply_at(from, &Event::HandedOver, now)
    }

    /// Ends a job's try: its nodes are free to be given back, but for those that Slurm has given to
    /// the job's next try already. Twice is fine.
    ///
    /// # Errors
    /// When the store fails.
    pub fn end_try(&self, of: &Try, given_again: &[NodeName]) -> Result<(), StoreError> {
        if of.ended {
            return Ok(());
        }
        for one in self.store.deployments_of_try(of.id)? {
            if self.suspects().remove(&one.id).is_some() {
                // Not held against the node: a program of the job can have asked.
                log::warn!("node={} asked for its boot script, and its job ended then", one.node);
            }
            if given_again.contains(&one.node) {
                self.apply(one.id, &Event::Superseded)?;
                continue;
            }
            if !one.stays_on {
                self.slurm.say(Word::NoteDrain(one.node.clone()));
                if !of.asked.power_off_after {
                    self.slurm.say(Word::PowerDownWhenIdle(one.node));
                }
            }
            self.apply(one.id, &Event::JobEnded)?;
        }
        self.store.end_try(of.id, now_unix_ns())?;
        self.watchers.wake(of.asked.job);
        // Perhaps nobody waits for its image any more.
        self.image_wanted.notify_one();
        let nodes = self.store.deployments_of_try(of.id)?;
        if given_again.is_empty() && nodes.iter().any(|one| one.failure.is_some()) {
            self.slurm.say(Word::StartNow(of.asked.reference));
        }
        Ok(())
    }

    /// A node asked for its boot script while it is in use. It has crashed, or a program of its job
    /// wants us to believe so: the heartbeats tell.
    pub fn suspect(&self, id: DeploymentId) {
        self.suspects().entry(id).or_insert_with(Instant::now);
    }

    /// A sign of life of a deployment's boot.
    pub fn is_alive(&self, id: DeploymentId) {
        self.suspects().remove(&id);
    }

    /// The suspects that were silent for too long; each is named once.
    pub fn silent_suspects(&self) -> Vec<DeploymentId> {
        let mut suspects = self.suspects();
        suspects
            .extract_if(|_, since| since.elapsed() > SUSPECT_SILENCE)
            .map(|(id, _)| id)
            .collect()
    }

    /// Where the last fetch of a node is noted that waits for its application image: by whoever sends
    /// it bytes, with each of them.
    pub fn fetch(&self, id: DeploymentId) -> Arc<AtomicI64> {
        self.fetches().entry(id).or_default().clone()
    }

    /// When bytes went last to such a node, nanoseconds since 1970; 0: none yet.
    #[must_use]
    pub fn last_fetch(&self, id: DeploymentId) -> i64 {
        self.fetches().get(&id).map_or(0, |at| at.load(Ordering::Relaxed))
    }

    fn fetches(&self) -> MutexGuard<'_, HashMap<DeploymentId, Arc<AtomicI64>>> {
        self.fetches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn suspects(&self) -> MutexGuard<'_, HashMap<DeploymentId, Instant>> {
        self.suspects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Orders again what a crash may have lost. Every action may be carried out twice.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn take_up_again(&self) -> Result<(), StoreError> {
        for (node, reason) in self.store.kept_drains()? {
            self.slurm.say(Word::Drain(node, reason));
        }
        for deployment in self.store.live_deployments()? {
            self.fleet.set_active(&deployment.node, deployment.state);
            self.consoles.resume(&deployment);
            for action in taken_up_again(deployment.state, deployment.failure.is_some()) {
                self.act(&deployment, &action, None);
            }
        }
        Ok(())
    }

    /// Where bytes that a user sent are, if they still are.
    pub fn uploaded(&self, sha256: &Digest) -> Option<PathBuf> {
        let path = uploads::path(&self.config, sha256);
        if let Err(error) = self.store.use_upload(sha256, now_unix_ns()) {
            log::error!("upload {sha256}: {}", crate::chain(&error));
        }
        path.is_file().then_some(path)
    }

    /// Freezes the energy record of a deployment that has come to rest: its readings are dropped
    /// some days later.
    fn keep_energy(&self, id: DeploymentId) -> Result<(), StoreError> {
        let Some(released) = self.store.deployment(id)? else { return Ok(()) };
        let record =
            energy_record::of_deployment(&self.store, &released, self.config.energy.accuracy)?;
        self.store.keep_energy(id, &record)
    }

    /// `deployment`: as it was before; `failure`: what has just happened to it.
    fn act(&self, deployment: &Deployment, action: &Action, failure: Option<&Failure>) {
        let node = &deployment.node;
        let off = || PowerOff {
            deployment: Some(deployment.id),
            gently: failure.is_none()
                && matches!(deployment.state, State::Ready | State::Ended | State::Kept),
            explain: failure.is_some_and(|failure| failure.blame == Blame::Node),
        };
        match action {
            Action::PowerOn => self.fleet.order(node, Order::On(deployment.id)),
            Action::PowerOff => self.fleet.order(node, Order::Off(off())),
            Action::Drain(reason) => self.drain(node, reason),
            Action::Down(reason) => {
                let reason = self.note_own_drain(node, reason, false);
                self.slurm.say(Word::Down(node.clone(), reason));
            }
            Action::PowerDownInSlurm => self.slurm.say(Word::PowerDown(node.clone())),
            Action::ResumeInSlurm => self.slurm.say(Word::Resume(node.clone())),
        }
    }

    /// The reason is kept before it is said: draining a node that is powering up makes slurmctld
    /// requeue its job and then forget the drain when it powers the node down (seen with 22.05).
    pub fn drain(&self, node: &NodeName, reason: &str) {
        let reason = self.note_own_drain(node, reason, true);
        self.slurm.say(Word::Drain(node.clone(), reason));
    }

    /// Gives the reason as slurmctld will show it, by which the drain is known as ours.
    fn note_own_drain(&self, node: &NodeName, reason: &str, kept: bool) -> String {
        let reason = quarantine::line(reason);
        if let Err(error) = self.store.note_own_drain(node, &reason, kept) {
            log::error!("node={node}: {}", crate::chain(&error));
        }
        reason
    }

    /// Adds what the console showed of this boot to a failure of the node.
    fn explain(&self, deployment: &Deployment, failure: &mut Failure) {
        let seen = self.consoles.seen(deployment);
        self.consoles.keep(deployment, &seen.last);
        if let Some(line) = seen.telling.filter(|_| failure.blame == Blame::Node) {
            failure.reason = format!("{}; console: {line}", failure.reason);
        }
    }

    /// A boot begins with each power-on, or where it takes a running node over.
    fn follow_console(&self, before: &Deployment, event: &Event, to: Option<State>) {
        let is_on = *event == Event::PowerOnAccepted || to == Some(State::TakingOver);
        match to {
            Some(State::PoweringOn | State::TakingOver) if is_on => self.consoles.begin(before),
            Some(State::PoweringOn) if before.state != State::PoweringOn => {
                self.consoles.forget(before);
            }
            Some(State::Booting) => self.consoles.begin_unless_known(before),
            Some(state) if !state.is_before_ready() => self.consoles.end(before),
            _ => {}
        }
    }

    fn log(
        &self,
        deployment: &Deployment,
        event: &Event,
        to: Option<State>,
        failure: Option<&Failure>,
    ) {
        let job = deployment.job.map_or_else(|| "none".into(), |job| job.to_string());
        let (node, from) = (&deployment.node, deployment.state.name());
        match (failure, to) {
            (Some(failure), _) => log::warn!("job={job} node={node} failed: {}", failure.reason),
            (None, Some(to)) => log::info!("job={job} node={node} {from} -> {}", to.name()),
            (None, None) => log::debug!("job={job} node={node} {from}: {event:?}"),
        }
    }
}

/// Whether a node is free for a deployment: nothing older holds it.
#[must_use]
pub fn is_free(node: &NodeName, id: DeploymentId, live: &[Deployment]) -> bool {
    !live
        .iter()
        .any(|other| &other.node == node && other.id < id && !other.state.has_given_node_back())
}
