//! Where events meet the store: one event at a time is decided, written, and only then acted upon.
//!
//! It does no waiting itself: power orders go to the node's worker, words for slurmctld to the
//! Slurm queue. What a crash loses there, [`Engine::take_up_again`] orders once more.

use super::transition::{Action, Event, next};
use super::{Blame, Deployment, DeploymentId, Failure, Mark, State};
use crate::clock::now_unix_ns;
use crate::config::Config;
use crate::energy_record;
use crate::power::{Fleet, Order};
use crate::slurm_queue::{SlurmQueue, Word};
use crate::store::{Store, StoreError};
use protocol::names::NodeName;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Notify;

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
    /// Woken by every change, for the reconciler.
    pub changed: Notify,
    /// Nodes were added: compare them with slurmctld now, not at the next round.
    pub resync_wanted: AtomicBool,
    /// Events are decided one after the other.
    deciding: Mutex<()>,
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
            changed: Notify::new(),
            resync_wanted: AtomicBool::new(false),
            deciding: Mutex::new(()),
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
        if outcome.state == Some(State::Released) {
            self.keep_energy(id)?;
        }
        self.log(&deployment, event, outcome.state, outcome.failure.as_ref());
        for action in &outcome.actions {
            self.act(&deployment, action);
        }
        self.fleet.set_active(&deployment.node, outcome.state.unwrap_or(deployment.state));
        self.changed.notify_one();
        Ok(())
    }

    /// Orders again what a crash may have lost. Every action may be carried out twice.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn take_up_again(&self) -> Result<(), StoreError> {
        for deployment in self.store.live_deployments()? {
            self.fleet.set_active(&deployment.node, deployment.state);
            match deployment.state {
                State::PoweringOn => self.act(&deployment, &Action::PowerOn),
                State::PoweringOff => self.act(&deployment, &Action::PowerOff),
                State::Settling => self.act(&deployment, &Action::ResumeInSlurm),
                State::Waiting
                | State::Booting
                | State::Starting
                | State::Registering
                | State::Ready
                | State::Ended
                | State::Released => {}
            }
        }
        Ok(())
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
            Action::Drain(reason) => self.slurm.say(Word::Drain(node.clone(), reason.clone())),
            Action::Down(reason) => self.slurm.say(Word::Down(node.clone(), reason.clone())),
            Action::PowerDownInSlurm => self.slurm.say(Word::PowerDown(node.clone())),
            Action::ResumeInSlurm => self.slurm.say(Word::Resume(node.clone())),
        }
    }

    /// Adds what the console saw last to a failure of the node, where the site logs consoles.
    fn explain(&self, deployment: &Deployment, failure: &mut Failure) {
        let silent = [State::Booting, State::Starting, State::Registering, State::Ready];
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

/// Whether a node is free for a deployment: nothing older holds it.
#[must_use]
pub fn is_free(node: &NodeName, id: DeploymentId, live: &[Deployment]) -> bool {
    !live
        .iter()
        .any(|other| &other.node == node && other.id < id && !other.state.has_given_node_back())
}
