//! Switching a node off: by its operating system, off and again, a power cycle, its outlet; then on
//! and on, slowly, because nothing may use the node before.

use super::Worker;
use super::again::Sendings;
use super::attempt::{Attempt, Reached};
use super::escalation::{Means, SILENT_OFF, Step, Tried, off_steps};
use crate::clock::now_unix_ns;
use crate::deployment::DeploymentId;
use crate::deployment::transition::Event;
use crate::power::driver::Command;
use crate::power::{Order, Power, PowerOff};
use protocol::api::PowerAction;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// For an admin, with the node's name before it.
pub(super) fn stays_on(tried: &str) -> String {
    format!("does not go off: {tried}")
}

/// Before what was tried, where the node's own word was believed.
const LIE: &str = "its controller says off while the node reports; ";
/// From one attempt to the next, once everything was tried.
const SLOW: Duration = Duration::from_secs(30);
/// How long each of those lasts.
const SLOW_ATTEMPT: Duration = Duration::from_secs(10);
/// Between two looks in the rest of that time.
const SLOW_LOOK: Duration = Duration::from_secs(5);
/// A power cycle's own off lasts from one second to some ten: off is believed after it when it stays.
const CYCLE_STEADY: Duration = Duration::from_secs(5);

impl Worker {
    /// Carries an order out, however long that takes.
    pub(super) async fn power_off(&mut self, order: PowerOff) {
        let mut orders = vec![order];
        if let Err(tried) = self.switch_off(order).await {
            self.explain(order).await;
            if !self.go_on_slowly(&mut orders, &tried).await {
                return;
            }
        }
        for order in &orders {
            self.tell(order.deployment, &Event::PowerSeenOff);
        }
        for order in orders {
            self.explain(order).await;
        }
    }

    /// Everything once, each within its share of the site's limit; fails with what was tried.
    pub(super) async fn switch_off(&mut self, order: PowerOff) -> Result<(), String> {
        self.sight.listen_anew();
        let soft = if order.gently { self.site.soft_limit } else { Duration::ZERO };
        let limit = self.site.power_limit;
        let mut tried = Tried::default();
        let mut silence = SILENT_OFF;
        for step in off_steps(self.node.abilities(), self.outlet.is_some(), soft, limit) {
            let id = order.deployment;
            let is_off = self.off_step(id, step, silence, &mut tried).await == Reached::Yes;
            if step.means == Means::Off {
                // Once is enough: Slurm's patience with a node that goes off has an end.
                silence = Duration::ZERO;
            }
            let is_sure = step.means != Means::SoftOff || !self.doubts_off(id);
            if is_off && is_sure {
                self.sight.note_off();
                return Ok(());
            }
        }
        let lie = if self.sight.is_contradicted() { LIE } else { "" };
        let error = tried.last_error.as_ref().map(|error| format!("; {error}"));
        Err(format!("{lie}tried {tried}{}", error.unwrap_or_default()))
    }

    async fn off_step(
        &mut self,
        id: Option<DeploymentId>,
        step: Step,
        silence: Duration,
        tried: &mut Tried,
    ) -> Reached {
        let off = |tried| Attempt { silence, ..Attempt::off(id, step.limit, tried) };
        match step.means {
            Means::SoftOff => {
                let (means, command) = (Means::SoftOff, Command::SoftOff);
                self.attempt(Attempt { means, command, ..off(tried) }).await
            }
            Means::CycleAndOff => {
                let patience = self.node.patience(Command::Cycle);
                let mut cycle = Sendings::new(Command::Cycle, patience);
                self.send(&mut cycle, Means::CycleAndOff, tried).await;
                if cycle.accepted == 0 {
                    return Reached::No;
                }
                // What is off now comes on again by itself.
                sleep(CYCLE_STEADY).await;
                let steady = CYCLE_STEADY;
                self.attempt(Attempt { means: Means::CycleAndOff, steady, ..off(tried) }).await
            }
            Means::Silence => {
                tried.note(Means::Silence, None);
                self.await_silence(id.filter(|_| !silence.is_zero()), step.limit).await
            }
            // A silent network is no reason to take the node's power away: nothing says it is on.
            Means::Outlet if self.network_is_away() => Reached::No,
            Means::Outlet => self.outlet_off(step.limit, tried).await,
            Means::Off | Means::On | Means::OffAndOn => self.attempt(off(tried)).await,
        }
    }

    /// Tells the deployment that it takes its time.
    async fn await_silence(&mut self, id: Option<DeploymentId>, limit: Duration) -> Reached {
        let start = Instant::now();
        while start.elapsed() < limit {
            if self.look_twice().await == Some(Power::Off) {
                return Reached::Yes;
            }
            self.tell_held_up(id, true);
            self.wait_a_look().await;
        }
        Reached::No
    }

    /// Goes on until the power is off; orders that come meanwhile are answered, or done with this one.
    /// Gives whether it is off: a worker that nobody gives orders to any more leaves it to another.
    async fn go_on_slowly(&mut self, orders: &mut Vec<PowerOff>, tried: &str) -> bool {
        let mut is_told = false;
        while !self.inbox.is_abandoned() {
            is_told = is_told || self.tell_stuck(orders, tried);
            let next = Instant::now() + SLOW;
            let steps = off_steps(
                self.node.abilities(),
                self.outlet.is_some(),
                Duration::ZERO,
                SLOW_ATTEMPT * 2,
            );
            let id = orders.first().and_then(|order| order.deployment);
            for step in steps.into_iter().filter(|step| step.means != Means::CycleAndOff) {
                let (silence, mut tried) = (Duration::ZERO, Tried::default());
                if self.off_step(id, step, silence, &mut tried).await == Reached::Yes {
                    return true;
                }
            }
            while Instant::now() < next {
                sleep(SLOW_LOOK).await;
                self.tell_held_up(id, false);
                if self.look_twice().await == Some(Power::Off) {
                    return true;
                }
                if self.serve_meanwhile(orders, tried) {
                    self.node.forgive();
                    break;
                }
            }
        }
        false
    }

    /// Not where the whole network is silent: nobody is drained for that.
    fn tell_stuck(&self, orders: &[PowerOff], tried: &str) -> bool {
        if self.network_is_away() {
            return false;
        }
        let name = &self.definition.name;
        log::error!("node={name}: power does not go off: {tried}; it is tried on and on");
        if let Some(listener) = self.listener() {
            let id = orders.iter().find_map(|order| order.deployment);
            listener.stuck(&self.definition.name, id, tried);
        }
        true
    }

    /// Gives whether an admin wants another attempt now.
    fn serve_meanwhile(&mut self, orders: &mut Vec<PowerOff>, tried: &str) -> bool {
        let mut now = false;
        for order in self.inbox.take_during_off() {
            match order {
                Order::Off(order) => {
                    if !orders.contains(&order) {
                        orders.push(order);
                    }
                }
                Order::Admin(action, answer) => {
                    let seen = self.observed.borrow().power;
                    let answered = match (action, seen) {
                        (PowerAction::Status, Some(seen)) => Ok(seen),
                        (PowerAction::Status, None) => Err(self.why_blind()),
                        (PowerAction::On | PowerAction::Off, _) => Err(stays_on(tried)),
                    };
                    now |= action == PowerAction::Off;
                    // The asker may have gone.
                    drop(answer.send(answered));
                }
                Order::On(_) => {}
            }
        }
        now
    }

    /// Hands on what the controller's log says since power-on, where that is wanted and known.
    async fn explain(&mut self, order: PowerOff) {
        let Some(id) = order.deployment.filter(|_| order.explain && !self.outlet_is_off) else {
            return;
        };
        let Some((_, since)) = self.powered_on.take_if(|(powered_on, _)| *powered_on == id) else {
            return;
        };
        if let Ok(lines) = self.node.events(since.min(now_unix_ns())).await
            && let Some(listener) = self.listener().filter(|_| !lines.is_empty())
        {
            listener.explained(&self.definition.name, id, &lines);
        }
    }
}
