//! What the worker sees of the node's power. Where its controller says off while the node itself is heard
//! of, the node is believed.

use super::Worker;
use crate::clock::now_unix_ns;
use crate::deployment::DeploymentId;
use crate::deployment::transition::Event;
use crate::power::Power;
use crate::power::driver::Trouble;
use crate::power::listener::SILENCE;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Shortest time between two looks while a command takes effect.
pub(super) const LOOK: Duration = Duration::from_millis(200);
/// Longest; a controller is left alone for twice as long as its last answer took, or until it tells of
/// something itself.
const LOOK_MAX: Duration = Duration::from_secs(2);

/// Between two signs of life of an order that is held up by what is no fault of the node's.
const STILL_HELD_UP: Duration = Duration::from_secs(20);

/// A word that was under way when the power went off comes so much later at most: who takes it may wait
/// for the store, which may be locked for five seconds.
const UNDER_WAY: Duration = Duration::from_secs(8);

/// How the worker sees.
#[derive(Debug, Default)]
pub(super) struct Sight {
    /// Since when the controller says off and nothing else.
    off_since: Option<Instant>,
    /// It has said on since the node was powered on, or since this worker's start.
    said_on: bool,
    /// The node was commanded on, and was not switched off since.
    commanded_on: bool,
    /// Its last word was off, and the node's own was believed.
    contradicted: bool,
    /// It was, and has not said on since.
    lies: bool,
    /// How long the last look took.
    took: Duration,
    /// The driver cannot see the power, and bootsrv has not heard of the node since then.
    unheard_since: Option<Instant>,
    /// When it was told last that an order is held up.
    told_held_up: Option<Instant>,
    /// Why the last look saw nothing.
    trouble: Option<String>,
}

impl Sight {
    /// Silence counts from now.
    pub(super) fn listen_anew(&mut self) {
        self.unheard_since = None;
    }

    /// The node is being powered on: the controller has to say so anew.
    pub(super) fn expect_on(&mut self) {
        (self.said_on, self.commanded_on) = (false, true);
    }

    /// It was switched off.
    pub(super) fn note_off(&mut self) {
        self.commanded_on = false;
    }

    /// Whether the controller says off, and the node is believed to be on.
    pub(super) fn is_contradicted(&self) -> bool {
        self.contradicted
    }
}

impl Worker {
    /// One look; `None`: not known.
    pub(super) async fn look(&mut self) -> Option<Power> {
        let power = self.see().await;
        self.sampling.looked = Some(Instant::now());
        self.observed.send_modify(|seen| {
            seen.power = power;
            seen.is_contradicted = self.sight.contradicted;
            seen.at_unix_ns = now_unix_ns();
        });
        power
    }

    /// One look that a cue is the reason for.
    pub(super) async fn look_on_cue(&mut self) {
        self.look().await;
        self.cues.rest();
    }

    async fn see(&mut self) -> Option<Power> {
        if self.outlet_is_off {
            let seen = match &mut self.outlet {
                Some(outlet) => outlet.power().await.ok(),
                None => None,
            };
            if seen != Some(Power::On) {
                // It may have another supply.
                return Some(self.believe(Power::Off));
            }
            log::warn!("node={}: somebody has switched its outlet on", self.definition.name);
            self.outlet_is_off = false;
        }
        let start = Instant::now();
        let answer = self.node.power().await;
        self.sight.took = start.elapsed();
        self.sight.trouble = answer.as_ref().err().map(|error| crate::chain(error));
        match answer {
            Ok(said) => Some(self.believe(said)),
            Err(error) if error.trouble == Trouble::Unsupported => self.hear(),
            Err(_) => None,
        }
    }

    /// Off is believed unless the node was heard of since, and lately.
    fn believe(&mut self, said: Power) -> Power {
        if said == Power::On {
            (self.sight.off_since, self.sight.said_on) = (None, true);
            (self.sight.contradicted, self.sight.lies) = (false, false);
            return Power::On;
        }
        let since = *self.sight.off_since.get_or_insert_with(Instant::now) + UNDER_WAY;
        let name = &self.definition.name;
        let heard = self.listener().and_then(|listener| listener.heard_at(name));
        let lives = heard.is_some_and(|at| at > since && at.elapsed() < SILENCE);
        if lives && !self.sight.contradicted {
            log::warn!("node={name}: its controller says off while the node reports: it is on");
        }
        self.sight.contradicted = lives;
        self.sight.lies |= lives;
        if lives { Power::On } else { Power::Off }
    }

    /// Whether the controller shows the power, as far as it can be believed.
    pub(super) fn sees_power(&self) -> bool {
        self.node.abilities().sees_power && !self.sight.lies
    }

    /// Whether a deployment's node has to be commanded off although its controller says off: it never
    /// said anything else, and the node was commanded on, or was not silent for long.
    pub(super) fn doubts_off(&self, id: Option<DeploymentId>) -> bool {
        let can = self.node.abilities();
        let silent = self.listener().and_then(|one| one.is_alive(&self.definition.name));
        let unproved =
            self.sight.lies || self.sight.commanded_on || (id.is_some() && silent != Some(false));
        can.sees_power && can.switches_off && !self.sight.said_on && unproved
    }

    /// Whether the node's boot for this deployment was heard of after that command.
    pub(super) fn boots(&self, id: Option<DeploymentId>, since: Option<Instant>) -> bool {
        let (Some(id), Some(since)) = (id, since) else { return false };
        let heard = self.listener().and_then(|one| one.boot_heard_at(&self.definition.name, id));
        heard.is_some_and(|at| at > since)
    }

    /// The node's own signs of life, where nothing shows its power: a node that is silent for long is
    /// taken for off. One that hangs is taken for off too; that shows when it is to boot.
    fn hear(&mut self) -> Option<Power> {
        match self.listener().and_then(|listener| listener.is_alive(&self.definition.name)) {
            Some(is_alive) => {
                self.sight.unheard_since = None;
                Some(if is_alive { Power::On } else { Power::Off })
            }
            None => {
                let since = *self.sight.unheard_since.get_or_insert_with(Instant::now);
                (since.elapsed() >= SILENCE).then_some(Power::Off)
            }
        }
    }

    /// What two looks in a row agree on; `None`: nothing, in three looks.
    pub(super) async fn look_twice(&mut self) -> Option<Power> {
        let mut last = self.look().await?;
        for _ in 0..2 {
            sleep(LOOK).await;
            let seen = self.look().await?;
            if seen == last {
                return Some(seen);
            }
            last = seen;
        }
        None
    }

    /// A pause between two looks; the meter is read in it when that is due.
    pub(super) async fn wait_a_look(&mut self) {
        if self.sampling.is_due_meanwhile() && !self.node.is_silent() {
            self.sample().await;
        }
        tokio::select! {
            () = sleep((self.sight.took * 2).clamp(LOOK, LOOK_MAX)) => {}
            // What was commanded may have happened.
            () = self.cues.due() => {}
        }
    }

    /// Why the power is not known, for an admin.
    pub(super) fn why_blind(&self) -> String {
        match &self.sight.trouble {
            Some(trouble) => format!("does not show its power: {trouble}"),
            None => "does not show its power".into(),
        }
    }

    /// Whether it is the management network that is silent, and not only this controller.
    pub(super) fn network_is_away(&self) -> bool {
        self.site.breaker.is_open() && self.node.is_silent()
    }

    /// Says now and then that an order is held up, by that or because the node's silence has to be waited
    /// for, so that no limit counts it.
    pub(super) fn tell_held_up(&mut self, id: Option<DeploymentId>, by_silence: bool) {
        let is_due = self.sight.told_held_up.is_none_or(|at| at.elapsed() >= STILL_HELD_UP);
        if is_due && (by_silence || self.network_is_away()) {
            self.tell(id, &Event::Queued);
            self.sight.told_held_up = Some(Instant::now());
        }
    }
}
