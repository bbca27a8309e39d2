//! Switching a node on: on and again, off and on, its outlet; then it has failed.

use super::Worker;
use super::attempt::{Attempt, Reached, STILL_QUEUED};
use super::escalation::{Means, Tried, on_steps};
use crate::clock::now_unix_ns;
use crate::deployment::DeploymentId;
use crate::deployment::transition::Event;
use crate::power::driver::Command;
use crate::power::{Power, PowerOff};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Boots that begin with a node that turns out to have been on.
const BOOTS_MAX: u32 = 3;
/// Longest wait for a dead management network. An admin has long been told by then, and a node whose
/// controller is silent for so long counts as broken.
const NETWORK_LIMIT: Duration = Duration::from_secs(1800);
/// Between two questions to a controller behind a dead network, halved or doubled at random.
const PROBE: Duration = Duration::from_secs(4);

impl Worker {
    /// Boots from off, unless the node waits in iPXE. Fails with a reason; `Ok` also if a later order
    /// put an end to it.
    pub(super) async fn power_on(&mut self, id: DeploymentId) -> Result<(), String> {
        let start = Instant::now();
        loop {
            let tried = self.boot(id).await;
            let network_failed = tried.is_err() && self.network_is_away();
            if !network_failed || start.elapsed() >= NETWORK_LIMIT {
                return tried.map(drop);
            }
            if self.wait_for_network(id, NETWORK_LIMIT - start.elapsed()).await
                == Reached::Overruled
            {
                return Ok(());
            }
        }
    }

    /// An order given again after a restart of bootsrv begins anew too: the node may have asked for its
    /// script while nobody answered, and then stands at its firmware's prompt.
    async fn boot(&mut self, id: DeploymentId) -> Result<Reached, String> {
        for _ in 0..BOOTS_MAX {
            let mut tried = Tried::default();
            let reached = self.boot_once(id, &mut tried).await?;
            // Seen on without a command: it was on all the time, when its controller did not say so.
            if reached != Reached::Yes || !tried.is_nothing() || self.is_held() {
                return Ok(reached);
            }
        }
        Err("is seen on and off by turns: its controller cannot be believed".into())
    }

    async fn boot_once(&mut self, id: DeploymentId, tried: &mut Tried) -> Result<Reached, String> {
        if self.restore_outlet(Some(id)).await == Reached::Overruled {
            return Ok(Reached::Overruled);
        }
        if self.look_twice().await == Some(Power::On) {
            if self.is_held() {
                self.note_power_on(id);
                return Ok(Reached::Yes);
            }
            self.note_cut(true);
            let order = PowerOff { deployment: Some(id), ..PowerOff::default() };
            let done = self.switch_off(order).await;
            self.note_cut(false);
            let what = "was on, and cannot be powered off to boot afresh";
            done.map_err(|tried| format!("{what}: {tried}"))?;
            self.tell(Some(id), &Event::Repowered);
            if self.restore_outlet(Some(id)).await == Reached::Overruled {
                return Ok(Reached::Overruled);
            }
        }
        self.sample().await;
        if self.wait_for_turn(id).await == Reached::Overruled {
            return Ok(Reached::Overruled);
        }
        if self.node.abilities().boot_device {
            // Nodes that always boot from the network do not need it; others time out with a reason.
            drop(self.node.boot_from_network(self.definition.firmware).await);
        }
        self.note_power_on(id);
        self.switch_on(Some(id), tried).await
    }

    /// A slow controller may take many seconds to carry a command out. Nothing is given to a node meanwhile:
    /// its job could run by the time its power goes.
    pub(super) fn note_cut(&self, is_being_cut: bool) {
        self.observed.send_modify(|seen| seen.is_being_cut = is_being_cut);
    }

    fn is_held(&self) -> bool {
        self.listener().is_some_and(|listener| listener.is_held(&self.definition.name))
    }

    fn note_power_on(&mut self, id: DeploymentId) {
        self.powered_on = Some((id, now_unix_ns()));
        self.sight.expect_on();
        self.tell(Some(id), &Event::PowerOnAccepted);
    }

    /// As an admin wants it: nothing is told, and nothing chosen.
    pub(super) async fn switch_on_by_hand(&mut self) -> Result<(), String> {
        self.restore_outlet(None).await;
        match self.switch_on(None, &mut Tried::default()).await? {
            Reached::Overruled => Err("is to be powered off by now".into()),
            Reached::Yes | Reached::No => Ok(()),
        }
    }

    async fn switch_on(
        &mut self,
        id: Option<DeploymentId>,
        tried: &mut Tried,
    ) -> Result<Reached, String> {
        let limit = self.site.power_limit;
        let steps = on_steps(self.node.abilities(), self.outlet.is_some(), limit);
        for (number, step) in steps.into_iter().enumerate() {
            if number > 0 {
                // What is not the controller's fault is not mended by harder means.
                if self.is_refused(tried) || self.network_is_away() {
                    break;
                }
                // The firmware's time has not begun.
                self.tell(id, &Event::Queued);
            }
            let reached = match step.means {
                Means::OffAndOn => self.off_and_on(id, step.limit, tried).await,
                Means::Outlet => self.outlet_off_and_on(id, step.limit, tried).await,
                Means::On | Means::Off | Means::SoftOff | Means::CycleAndOff | Means::Silence => {
                    self.attempt(Attempt::on(id, step.limit, tried)).await
                }
            };
            if reached != Reached::No {
                return Ok(reached);
            }
        }
        Err(why_not_on(tried, limit))
    }

    /// Off though it seems to be off: a controller that has lost track of the power finds it again.
    async fn off_and_on(
        &mut self,
        id: Option<DeploymentId>,
        limit: Duration,
        tried: &mut Tried,
    ) -> Reached {
        let command =
            if self.node.abilities().switches_off { Command::Off } else { Command::Cycle };
        self.note_cut(true);
        let done = self.node.command(command).await;
        self.note_cut(false);
        tried.note(Means::OffAndOn, done.as_ref().err());
        if done.is_ok() {
            // It may have asked for its script just then.
            self.tell(id, &Event::Repowered);
        }
        let means = Means::OffAndOn;
        self.attempt(Attempt { means, ..Attempt::on(id, limit, tried) }).await
    }

    /// Waits for the site's inrush limit, and says now and then that it still does.
    async fn wait_for_turn(&mut self, id: DeploymentId) -> Reached {
        let site = std::sync::Arc::clone(&self.site);
        let turn = site.inrush.turn();
        tokio::pin!(turn);
        loop {
            tokio::select! {
                () = &mut turn => return Reached::Yes,
                () = self.inbox.overruled(Some(id)) => return Reached::Overruled,
                () = sleep(STILL_QUEUED) => {}
            }
            self.tell(Some(id), &Event::Queued);
        }
    }

    /// Waits until this node's controller answers or the network is not taken for dead any more: every
    /// waiting node is a probe.
    async fn wait_for_network(&mut self, id: DeploymentId, limit: Duration) -> Reached {
        let start = Instant::now();
        while self.network_is_away() && start.elapsed() < limit {
            self.tell_held_up(Some(id), false);
            tokio::select! {
                () = self.inbox.overruled(Some(id)) => return Reached::Overruled,
                () = sleep(PROBE.mul_f64(0.5 + 1.5 * rand::random::<f64>())) => {}
            }
            self.look().await;
        }
        Reached::Yes
    }

    fn is_refused(&self, tried: &Tried) -> bool {
        self.node.is_locked() || tried.was_refused
    }
}

fn why_not_on(tried: &Tried, limit: Duration) -> String {
    match &tried.last_error {
        Some(error) => format!("cannot be powered on: {error} (tried: {tried})"),
        None => format!(
            "stays off: its controller accepted power-on, but {} s later it still has no power \
             (tried: {tried})",
            limit.as_secs()
        ),
    }
}
