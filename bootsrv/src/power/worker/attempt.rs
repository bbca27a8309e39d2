//! One step of switching: a command, sent again when it shows no effect, until the power is as wanted.

use super::Worker;
use super::again::Sendings;
use super::escalation::{Means, Tried};
use super::looking::LOOK;
use crate::deployment::DeploymentId;
use crate::power::Power;
use crate::power::driver::Command;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Commands to a node that nothing shows the power of: half a minute of them, because the first may get
/// lost, or reach a node that is still shutting down.
pub(super) const BLIND_SENDINGS: u32 = 6;
/// Between two signs of life of an order that is held up.
pub(super) const STILL_QUEUED: Duration = Duration::from_secs(10);

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reached {
    /// The power is as wanted, or, where nothing shows it, was commanded often enough.
    Yes,
    /// It is not.
    No,
    /// A later order wants something else.
    Overruled,
}

/// What is attempted.
#[derive(Debug)]
pub(super) struct Attempt<'a> {
    pub(super) wanted: Power,
    pub(super) means: Means,
    pub(super) command: Command,
    pub(super) limit: Duration,
    /// The same where only the node's silence shows that it is off, if that is longer.
    pub(super) silence: Duration,
    /// How long the power has to look as wanted: two looks at least.
    pub(super) steady: Duration,
    pub(super) id: Option<DeploymentId>,
    pub(super) tried: &'a mut Tried,
}

impl<'a> Attempt<'a> {
    pub(super) fn on(id: Option<DeploymentId>, limit: Duration, tried: &'a mut Tried) -> Self {
        let (wanted, means, command) = (Power::On, Means::On, Command::On);
        Self { wanted, means, command, limit, silence: limit, steady: LOOK, id, tried }
    }

    pub(super) fn off(id: Option<DeploymentId>, limit: Duration, tried: &'a mut Tried) -> Self {
        let (wanted, means, command) = (Power::Off, Means::Off, Command::Off);
        Self { wanted, means, command, limit, silence: limit, steady: LOOK, id, tried }
    }
}

impl Worker {
    /// Looks, sends what is due, and looks again. While the management network is away that is told
    /// now and then: no limit of the deployment shall count it.
    pub(super) async fn attempt(&mut self, attempt: Attempt<'_>) -> Reached {
        let start = Instant::now();
        let patience = match attempt.command {
            // A second press of the button may mean something else to the operating system.
            Command::SoftOff => attempt.limit,
            command @ (Command::On | Command::Off | Command::Cycle) => self.node.patience(command),
        };
        let mut sendings = Sendings::new(attempt.command, patience);
        let mut as_wanted: Option<Instant> = None;
        loop {
            let seen = self.look().await;
            if attempt.wanted == Power::On && self.boots(attempt.id, sendings.first_sent()) {
                return Reached::Yes;
            }
            if self.is_as_wanted(seen, &attempt, &sendings) {
                let first = *as_wanted.get_or_insert_with(Instant::now);
                if first.elapsed() >= attempt.steady {
                    self.learn(&sendings, first);
                    return Reached::Yes;
                }
                sleep(LOOK).await;
                continue;
            }
            as_wanted = None;
            if attempt.wanted == Power::On {
                if self.inbox.overrules(attempt.id) {
                    return Reached::Overruled;
                }
                if sendings.accepted >= BLIND_SENDINGS && !self.sees_power() {
                    return Reached::Yes;
                }
            }
            // What only silence shows takes its time, and harder means would wake the node again.
            let waits = attempt.command == Command::Off
                && self.sight.is_contradicted()
                && attempt.silence > attempt.limit;
            self.tell_held_up(attempt.id, waits);
            let limit = if waits { attempt.silence } else { attempt.limit };
            if start.elapsed() >= limit {
                return Reached::No;
            }
            if sendings.is_due() {
                self.send(&mut sendings, attempt.means, attempt.tried).await;
            }
            // One that refused to switch off what is off.
            let is_off = attempt.wanted == Power::Off && seen == Some(Power::Off);
            if sendings.is_over() && !is_off {
                return Reached::No;
            }
            self.wait_a_look().await;
        }
    }

    /// On: only what its controller shows, as any sign of life could be of what ran before; for an admin
    /// that is enough. Off: not without a command, where the controller was never seen to tell the truth.
    fn is_as_wanted(
        &self,
        seen: Option<Power>,
        attempt: &Attempt<'_>,
        sendings: &Sendings,
    ) -> bool {
        let is_certain = match (attempt.wanted, attempt.id) {
            (Power::On, None) => true,
            (Power::On, Some(_)) => !self.sight.is_contradicted(),
            (Power::Off, _) => {
                attempt.command == Command::SoftOff
                    || sendings.has_arrived()
                    || !self.doubts_off(attempt.id)
            }
        };
        seen == Some(attempt.wanted) && is_certain
    }

    /// Sends a command, and notes what came of it.
    pub(super) async fn send(&mut self, sendings: &mut Sendings, means: Means, tried: &mut Tried) {
        sendings.begin();
        let done = self.node.command(sendings.command).await;
        tried.note(means, done.as_ref().err());
        sendings.sent(done.err().map(|error| error.trouble));
    }

    /// What the operating system takes to shut down says nothing about the controller, and what only
    /// the node's silence shows neither.
    fn learn(&self, sendings: &Sendings, seen_at: Instant) {
        let learns = matches!(sendings.command, Command::On | Command::Off);
        if learns
            && self.sees_power()
            && let Some(took) = sendings.took(seen_at)
        {
            self.node.took(sendings.command, took, sendings.accepted == 1);
        }
    }
}
