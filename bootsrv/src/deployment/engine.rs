//! Where events meet the store: one event at a time is decided, written, and only then acted upon.
//!
//! It does no waiting itself: power orders go to the node's worker, words for slurmctld to the
//! Slurm queue. What a crash loses there, [`Engine::take_up_again`] orders once more.

use super::transition::{Action, Event, next};
use super::{Blame, Deployment, DeploymentId, Failure, Mark, State};
use crate::application::{Board, uploads};
use crate::clock::now_unix_ns;
use crate::config::Config;
use crate::energy_record;
use crate::power::{Fleet, Listener, Order};
use crate::slurm_queue::{SlurmQueue, Word};
use crate::store::{Store, StoreError, Try};
use energy::Sample;
use protocol::api::PowerAction;
use protocol::names::{Digest, NodeName};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// How long a suspect may stay silent: two heartbeats and a little.
const SILENCE: Duration = Duration::from_secs(25);

/// The heart, shared by handlers, workers and the reconciler.
#[derive(Debug)]
pub struct Engine {
    /// The truth.
    pub store: Arc<Store>,
    /// The site's settings.
    pub config: Arc<Config>,
    /// The nodes' power.
    pub fleet: Fleet,
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
    /// Nodes in use that asked for a boot script, and when: crashed, if they are not heard of again.
    suspects: Mutex<HashMap<DeploymentId, Instant>>,
    /// When bytes went last to nodes that wait for their application image, nanoseconds since 1970.
    fetches: Mutex<HashMap<DeploymentId, Arc<AtomicI64>>>,
}

impl Engine {
    /// Puts the parts together.
    #[must_use]
    pub fn new(store: Arc<Store>, config: Arc<Config>, fleet: Fleet, slurm: SlurmQueue) -> Self {
        Self {
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
            suspects: Mutex::default(),
            fetches: Mutex::default(),
        }
    }

    /// Lets an event happen to a deployment, now.
    ///
    /// # Errors
    /// When the store fails; nothing was decided then, and whoever brought the event brings it again.
    pub fn apply(&self, id: DeploymentId, event: &Event) -> Result<(), StoreError> {
        self.apply_at(id, event, &[])
    }

    /// As [`Self::apply`], with marks that have times of their own.
    ///
    /// # Errors
    /// As [`Self::apply`].
    pub fn apply_at(
        &self,
        id: DeploymentId,
        event: &Event,
        marks: &[(Mark, i64)],
    ) -> Result<(), StoreError> {
        let _one_at_a_time = self.deciding.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(deployment) = self.store.deployment(id)? else { return Ok(()) };
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
        let marks: Vec<(Mark, i64)> =
            marks.iter().copied().chain(outcome.marks.iter().map(|mark| (*mark, now))).collect();
        if outcome.state.is_some() || outcome.failure.is_some() || !marks.is_empty() {
            self.store.change(id, outcome.state, outcome.failure.as_ref(), &marks, now)?;
        }
        if outcome.application_ready {
            self.store.note_application_ready(id)?;
        }
        if outcome.state.is_some_and(|state| !state.is_before_ready()) {
            self.fetches().remove(&id);
        }
        if outcome.state == Some(State::Released) {
            self.keep_energy(id)?;
        }
        self.log(&deployment, event, outcome.state, outcome.failure.as_ref());
        let newest = self.store.newest_on(&deployment.node)?.is_none_or(|newest| newest.id == id);
        for action in outcome.actions.iter().filter(|action| newest || !action.is_about_use()) {
            self.act(&deployment, action);
        }
        if newest {
            self.fleet.set_active(&deployment.node, outcome.state.unwrap_or(deployment.state));
        }
        self.changed.notify_one();
        Ok(())
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
            self.slurm.say(Word::NoteDrain(one.node.clone()));
            if !of.asked.power_off_after {
                self.slurm.say(Word::PowerDownWhenIdle(one.node));
            }
            self.apply(one.id, &Event::JobEnded)?;
        }
        self.store.end_try(of.id, now_unix_ns())?;
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
        suspects.extract_if(|_, since| since.elapsed() > SILENCE).map(|(id, _)| id).collect()
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
            if deployment.state == State::PoweringOff && deployment.failure.is_some() {
                self.act(&deployment, &Action::PowerDownInSlurm);
            }
            match deployment.state {
                State::PoweringOn => self.act(&deployment, &Action::PowerOn),
                State::PoweringOff => self.act(&deployment, &Action::PowerOff),
                State::Settling => self.act(&deployment, &Action::ResumeInSlurm),
                State::Waiting
                | State::Booting
                | State::Starting
                | State::Registering
                | State::FetchingImage
                | State::Ready
                | State::Ended
                | State::Released => {}
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
        let record = energy_record::of_deployment(&self.store, &released)?;
        self.store.keep_energy(id, &record)
    }

    fn act(&self, deployment: &Deployment, action: &Action) {
        let node = &deployment.node;
        match action {
            Action::PowerOn => self.fleet.order(node, Order::On(deployment.id)),
            Action::PowerOff => self.fleet.order(node, Order::Off(Some(deployment.id))),
            Action::Drain(reason) => self.drain(node, reason),
            Action::Down(reason) => self.slurm.say(Word::Down(node.clone(), reason.clone())),
            Action::PowerDownInSlurm => self.slurm.say(Word::PowerDown(node.clone())),
            Action::ResumeInSlurm => self.slurm.say(Word::Resume(node.clone())),
        }
    }

    /// The reason is kept before it is said: draining a node that is powering up makes slurmctld
    /// requeue its job and then forget the drain when it powers the node down (seen with 22.05).
    pub fn drain(&self, node: &NodeName, reason: &str) {
        if let Err(error) = self.store.set_kept_drain(node, Some(reason)) {
            log::error!("node={node}: {}", crate::chain(&error));
        }
        self.slurm.say(Word::Drain(node.clone(), reason.to_owned()));
    }

    /// Adds what the console saw last to a failure of the node, where the site logs consoles.
    fn explain(&self, deployment: &Deployment, failure: &mut Failure) {
        let silent = [
            State::Booting,
            State::Starting,
            State::Registering,
            State::FetchingImage,
            State::Ready,
        ];
        if failure.blame != Blame::Node || !silent.contains(&deployment.state) {
            return;
        }
        let row = self.store.node(&deployment.node).ok().flatten();
        let path = row.and_then(|row| row.definition.console_log);
        if let Some(line) = path.and_then(|path| crate::console::telling_line(path.as_ref())) {
            failure.reason = format!("{}; console: {line}", failure.reason);
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

impl Listener for Engine {
    fn happened(&self, node: &NodeName, id: DeploymentId, event: &Event, marks: &[(Mark, i64)]) {
        if *event == Event::PowerSeenOff {
            self.fleet.note_by_hand(node, PowerAction::Off);
        }
        if let Err(error) = self.apply_at(id, event, marks) {
            log::error!("node={node} {event:?}: {}", crate::chain(&error));
        }
    }

    fn reading(&self, node: &NodeName, sample: Sample, meter: &str) {
        if let Err(error) = self.store.add_sample(node, sample, meter) {
            log::error!("node={node}: keeping a reading: {}", crate::chain(&error));
        }
    }

    fn settled(&self, node: &NodeName) {
        match self.store.newest_on(node) {
            Ok(Some(newest)) => self.happened(node, newest.id, &Event::Settled, &[]),
            Ok(None) => {}
            Err(error) => log::error!("node={node}: {}", crate::chain(&error)),
        }
    }

    fn is_held(&self, node: &NodeName) -> bool {
        self.fleet.is_held(node)
    }
}

/// Whether a node is free for a deployment: nothing older holds it.
#[must_use]
pub fn is_free(node: &NodeName, id: DeploymentId, live: &[Deployment]) -> bool {
    !live
        .iter()
        .any(|other| &other.node == node && other.id < id && !other.state.has_given_node_back())
}
