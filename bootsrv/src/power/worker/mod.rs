//! One node's worker: carries out power orders and samples the meter in between.
//!
//! It asks first, then acts, then looks; an order may come twice. What it sees goes to the engine
//! as events. It knows nothing of jobs.

mod again;
mod attempt;
mod cues;
mod escalation;
mod inbox;
mod looking;
mod off;
mod on;
mod outlet;
mod sampling;
mod switch;
mod telling;
#[cfg(test)]
mod tests;

use super::drivers::Drivers;
use super::{Listener, Observed, Order, Power, PowerOff, Site};
use crate::deployment::transition::Event;
use crate::deployment::{Blame, DeploymentId, Failure, State};
use cues::Cues;
use inbox::Inbox;
use protocol::api::{NodeDefinition, PowerAction};
use sampling::Sampling;
use std::sync::Arc;
use switch::Switch;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

/// The worker's ends of its channels.
pub(super) struct Lines {
    pub(super) orders: mpsc::UnboundedReceiver<Order>,
    pub(super) active: watch::Receiver<State>,
    pub(super) observed: watch::Sender<Observed>,
}

struct Worker {
    definition: NodeDefinition,
    site: Arc<Site>,
    inbox: Inbox,
    active: watch::Receiver<State>,
    observed: watch::Sender<Observed>,
    /// What switches the node, usually its baseboard controller.
    node: Switch,
    /// What feeds both.
    outlet: Option<Switch>,
    /// We have switched the outlet off, so the node has no power whatever its controller says.
    outlet_is_off: bool,
    sight: looking::Sight,
    sampling: Sampling,
    cues: Cues,
    /// When the node was powered on, and for whom: nanoseconds since 1970.
    powered_on: Option<(DeploymentId, i64)>,
    untold: telling::Untold,
}

/// Starts a node's worker; it ends when its orders' sender is dropped.
pub(super) fn start(definition: NodeDefinition, drivers: Drivers, site: Arc<Site>, lines: Lines) {
    let worker = Worker::new(definition, drivers, site, lines);
    crate::essential::spawn("a node's power worker", worker.run());
}

impl Worker {
    fn new(definition: NodeDefinition, drivers: Drivers, site: Arc<Site>, lines: Lines) -> Self {
        let name = (&definition.name, definition.power.to_string());
        let node = Switch::new(drivers.node, name, true, &site);
        let cues = Cues::new(node.cue());
        let outlet = drivers
            .outlet
            .map(|outlet| Switch::new(outlet, (&definition.name, "outlet".into()), false, &site));
        Self {
            definition,
            site,
            inbox: Inbox::new(lines.orders),
            active: lines.active,
            observed: lines.observed,
            node,
            outlet,
            outlet_is_off: false,
            sight: looking::Sight::default(),
            sampling: Sampling::new(),
            cues,
            powered_on: None,
            untold: telling::Untold::default(),
        }
    }

    async fn run(mut self) {
        loop {
            tokio::select! {
                biased;
                order = self.inbox.next() => match order {
                    Some(order) => self.carry_out(order).await,
                    None => return,
                },
                () = self.untold.is_due() => self.tell_again(),
                _ = self.active.changed() => self.sampling.next = Instant::now(),
                // Before the meter, which may be due all the time; after a look there is a pause.
                () = self.cues.due() => self.look_on_cue().await,
                () = sleep_until(self.sampling.next) => self.sample().await,
            }
        }
    }

    fn listener(&self) -> Option<&Arc<dyn Listener>> {
        self.site.listener.get()
    }

    async fn carry_out(&mut self, order: Order) {
        self.tell_again();
        self.node.forgive();
        if let Some(outlet) = &mut self.outlet {
            outlet.forgive();
        }
        match order {
            Order::On(id) => {
                if let Err(reason) = self.power_on(id).await {
                    let failure = Failure { blame: Blame::Node, reason };
                    self.tell(Some(id), &Event::Failed(failure));
                }
            }
            Order::Off(order) => self.power_off(order).await,
            Order::Admin(action, answer) => {
                let result = self.admin(action).await;
                // The asker may have gone; the deed is done all the same.
                drop(answer.send(result));
            }
        }
    }

    async fn admin(&mut self, action: PowerAction) -> Result<Power, String> {
        match action {
            PowerAction::Status => {}
            PowerAction::On => self.switch_on_by_hand().await?,
            PowerAction::Off => {
                let done = self.switch_off(PowerOff::default()).await;
                done.map_err(|tried| off::stays_on(&tried))?;
            }
        }
        self.look().await.ok_or_else(|| self.why_blind())
    }
}
