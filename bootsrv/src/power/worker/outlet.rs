//! The outlet that feeds a node and its controller: the last means, because nothing shuts down and the
//! controller is gone for a minute or two.

use super::Worker;
use super::again::Sendings;
use super::attempt::{Attempt, Reached, STILL_QUEUED};
use super::escalation::{Means, Tried};
use super::looking::LOOK;
use crate::deployment::DeploymentId;
use crate::deployment::transition::Event;
use crate::power::Power;
use crate::power::driver::Command;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Between off and on, for power supplies to run empty; and after on, before anything is asked.
const PAUSE: Duration = Duration::from_secs(10);
/// For a controller that has lost its power to fall silent.
const FADES: Duration = Duration::from_secs(3);
/// For an outlet to switch.
const SWITCH_LIMIT: Duration = Duration::from_secs(30);
/// For a controller to start after its power came back.
const CONTROLLER_LIMIT: Duration = Duration::from_secs(240);
/// Between two looks at an outlet.
const OUTLET_LOOK: Duration = Duration::from_secs(1);

impl Worker {
    /// Takes the power away; the node is off when the outlet is, unless its controller still has power and
    /// says on: then something else feeds them.
    pub(super) async fn outlet_off(&mut self, limit: Duration, tried: &mut Tried) -> Reached {
        let reached = self.switch_outlet(Power::Off, limit, tried).await;
        if reached != Reached::Yes {
            return reached;
        }
        sleep(FADES).await;
        if self.node.abilities().sees_power
            && self.node.power().await.is_ok_and(|seen| seen == Power::On)
        {
            let name = &self.definition.name;
            log::warn!(
                "node={name}: its outlet is off, and its controller still says on: it has another supply"
            );
            return Reached::No;
        }
        self.outlet_is_off = true;
        self.look().await;
        Reached::Yes
    }

    /// Takes the power away, gives it back and switches on.
    pub(super) async fn outlet_off_and_on(
        &mut self,
        id: Option<DeploymentId>,
        limit: Duration,
        tried: &mut Tried,
    ) -> Reached {
        self.note_cut(true);
        let reached = self.outlet_off(SWITCH_LIMIT, tried).await;
        self.note_cut(false);
        if reached != Reached::Yes {
            return Reached::No;
        }
        self.tell(id, &Event::Repowered);
        sleep(PAUSE).await;
        let restored = self.restore_outlet(id).await;
        if restored != Reached::Yes {
            return restored;
        }
        self.attempt(Attempt::on(id, limit, tried)).await
    }

    /// Sees to it that the outlet gives power, and waits for the controller if it had not.
    pub(super) async fn restore_outlet(&mut self, id: Option<DeploymentId>) -> Reached {
        let Some(outlet) = &mut self.outlet else { return Reached::Yes };
        // Before a restart of bootsrv we may have switched it off.
        if !self.outlet_is_off && !matches!(outlet.power().await, Ok(Power::Off)) {
            return Reached::Yes;
        }
        let reached = self.switch_outlet(Power::On, SWITCH_LIMIT, &mut Tried::default()).await;
        self.outlet_is_off = reached != Reached::Yes;
        if reached != Reached::Yes {
            return reached;
        }
        self.await_controller(id).await
    }

    async fn await_controller(&mut self, id: Option<DeploymentId>) -> Reached {
        let start = Instant::now();
        loop {
            self.tell(id, &Event::Queued);
            tokio::select! {
                () = self.inbox.overruled(id) => return Reached::Overruled,
                () = sleep(PAUSE.max(STILL_QUEUED)) => {}
            }
            let answers = self.look().await.is_some() || !self.node.is_silent();
            if answers || start.elapsed() >= CONTROLLER_LIMIT {
                // A controller that stays away shows it when it is commanded.
                return Reached::Yes;
            }
        }
    }

    async fn switch_outlet(
        &mut self,
        wanted: Power,
        limit: Duration,
        tried: &mut Tried,
    ) -> Reached {
        let Some(outlet) = &mut self.outlet else { return Reached::No };
        let command = if wanted == Power::On { Command::On } else { Command::Off };
        let mut sendings = Sendings::new(command, outlet.patience(command));
        let start = Instant::now();
        let mut agreed = 0;
        while start.elapsed() < limit {
            let seen = outlet.power().await;
            agreed = if seen.is_ok_and(|seen| seen == wanted) { agreed + 1 } else { 0 };
            // An outlet that shows nothing is believed when it has accepted.
            if agreed == 2 || (sendings.accepted > 0 && !outlet.abilities().sees_power) {
                return Reached::Yes;
            }
            if agreed == 1 {
                sleep(LOOK).await;
                continue;
            }
            if sendings.is_due() {
                let done = outlet.command(command).await;
                tried.note(Means::Outlet, done.as_ref().err());
                sendings.sent(done.err().map(|error| error.trouble));
            }
            if sendings.is_over() {
                return Reached::No;
            }
            sleep(OUTLET_LOOK).await;
        }
        Reached::No
    }
}
