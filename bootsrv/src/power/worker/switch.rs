//! A driver with manners: never asked without a limit, never hurried, and left alone where it has
//! refused us. What it answered counts for the circuit breaker.

use crate::power::Power;
use crate::power::driver::{
    Abilities, Answer, Command, Cue, Driver, DriverError, Reading, Trouble,
};
use crate::power::patience::kind_by_address;
use crate::power::site::Site;
use protocol::api::Firmware;
use protocol::names::NodeName;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep_until, timeout};

/// For one question or command, whatever the driver's own limits are: the longest of those, 30 s, and
/// a login before it.
const ANSWER_MAX: Duration = Duration::from_secs(45);
/// For a controller's log: what it says is welcome, not needed.
const EVENTS_LIMIT: Duration = Duration::from_secs(3);
/// Between two commands to one controller, whichever they are.
const SPACING: Duration = Duration::from_secs(1);
/// A controller that does not let us in is left alone for so long, unless there is a new order:
/// most that lock accounts do so after three to five bad logins within minutes.
pub(super) const REFUSED_PAUSE: Duration = Duration::from_secs(600);

/// What is asked. Where it may not look, nothing else is asked either; the others are refused for
/// themselves, e.g. by an account of too low a privilege.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Look,
    Command,
    Meter,
}

#[derive(Debug)]
struct Refused {
    until: Instant,
    what: String,
}

/// Something that switches power, and how it behaved lately.
#[derive(Debug)]
pub(super) struct Switch {
    driver: Box<dyn Driver>,
    node: NodeName,
    site: Arc<Site>,
    /// Shown in the log, and the kind of controller where the driver knows no better.
    name: String,
    is_controller: bool,
    last_command: Option<Instant>,
    refused: HashMap<Kind, Refused>,
    trouble: Option<Trouble>,
}

impl Switch {
    /// A driver that was not spoken to yet; only a node's controller counts for the breaker.
    pub(super) fn new(
        driver: Box<dyn Driver>,
        (node, name): (&NodeName, String),
        is_controller: bool,
        site: &Arc<Site>,
    ) -> Self {
        let (node, site) = (node.clone(), Arc::clone(site));
        let (last_command, refused, trouble) = (None, HashMap::new(), None);
        Self { driver, node, site, name, is_controller, last_command, refused, trouble }
    }

    pub(super) fn abilities(&self) -> Abilities {
        self.driver.abilities()
    }

    /// What says that a look is worth while.
    pub(super) fn cue(&self) -> Option<Cue> {
        self.driver.cue()
    }

    /// The last question got no answer.
    pub(super) fn is_silent(&self) -> bool {
        self.trouble == Some(Trouble::NoAnswer)
    }

    /// It does not let us in, and is left alone.
    pub(super) fn is_locked(&self) -> bool {
        self.lock(Kind::Look).is_some()
    }

    /// A new order: it is asked once more, even where it has refused.
    pub(super) fn forgive(&mut self) {
        self.refused.clear();
    }

    pub(super) async fn power(&mut self) -> Result<Power, DriverError> {
        self.ask(Kind::Look, ANSWER_MAX, "power status", |driver| driver.power()).await
    }

    /// Carries a command out, at least [`SPACING`] after the last one.
    pub(super) async fn command(&mut self, command: Command) -> Result<(), DriverError> {
        if let Some(last) = self.last_command {
            sleep_until(last + SPACING).await;
        }
        let what = match command {
            Command::On => "power on",
            Command::SoftOff => "soft power off",
            Command::Off => "power off",
            Command::Cycle => "power cycle",
        };
        let done =
            self.ask(Kind::Command, ANSWER_MAX, what, |driver| driver.command(command)).await;
        self.last_command = Some(Instant::now());
        done
    }

    pub(super) async fn boot_from_network(&mut self, to: Firmware) -> Result<(), DriverError> {
        let what = "boot device";
        self.ask(Kind::Command, ANSWER_MAX, what, |driver| driver.boot_from_network(to)).await
    }

    pub(super) async fn reading(&mut self) -> Result<Option<Reading>, DriverError> {
        self.ask(Kind::Meter, ANSWER_MAX, "reading", |driver| driver.reading()).await
    }

    pub(super) async fn events(&mut self, since_unix_ns: i64) -> Result<Vec<String>, DriverError> {
        let what = "event log";
        self.ask(Kind::Meter, EVENTS_LIMIT, what, |driver| driver.events(since_unix_ns)).await
    }

    /// How long to wait for a command to show before it is sent again.
    pub(super) fn patience(&self, command: Command) -> Duration {
        self.site.patience.before_again(&self.model(), command)
    }

    /// Notes how long a command took to show.
    pub(super) fn took(&self, command: Command, took: Duration, certain: bool) {
        self.site.patience.note(&self.model(), command, took, certain);
    }

    fn model(&self) -> String {
        self.driver.model().unwrap_or_else(|| kind_by_address(&self.name))
    }

    fn lock(&self, kind: Kind) -> Option<&Refused> {
        let of = |kind| self.refused.get(&kind).filter(|one| Instant::now() < one.until);
        of(Kind::Look).or_else(|| of(kind))
    }

    async fn ask<T>(
        &mut self,
        kind: Kind,
        limit: Duration,
        what: &'static str,
        question: impl for<'a> FnOnce(&'a mut dyn Driver) -> Answer<'a, T>,
    ) -> Result<T, DriverError> {
        if let Some(refused) = self.lock(kind) {
            return Err(DriverError::new(Trouble::Refused, refused.what.clone()));
        }
        let answer = timeout(limit, question(&mut *self.driver)).await.unwrap_or_else(|_| {
            let text = format!("no answer within {} s", limit.as_secs());
            Err(DriverError::new(Trouble::NoAnswer, text))
        });
        self.learn(kind, what, answer.as_ref().err());
        answer
    }

    /// Says a new trouble once, and that it is over.
    fn learn(&mut self, kind: Kind, what: &str, error: Option<&DriverError>) {
        let trouble = error.map(|error| error.trouble);
        // A driver that sees nothing answers without having asked anybody.
        if self.is_controller && self.driver.abilities().sees_power {
            self.site.breaker.note(&self.node, trouble != Some(Trouble::NoAnswer));
        }
        let (node, name) = (&self.node, &self.name);
        let Some(error) = error else {
            if self.trouble.take().is_some() {
                log::info!("node={node} {name}: answers again");
            }
            return;
        };
        let is_new = self.trouble != trouble;
        match error.trouble {
            // A limit of what it is, known to who asked.
            Trouble::Unsupported => {}
            Trouble::Broken if kind == Kind::Meter => {
                log::debug!("node={node} {name}: {what}: {}", crate::chain(error));
            }
            Trouble::Broken | Trouble::Busy | Trouble::NoAnswer | Trouble::Refused => {
                let level = if is_new { log::Level::Warn } else { log::Level::Debug };
                log::log!(level, "node={node} {name}: {what}: {}", crate::chain(error));
                self.trouble = trouble;
            }
        }
        if error.trouble == Trouble::Refused {
            let (until, what) = (Instant::now() + REFUSED_PAUSE, crate::chain(error));
            self.refused.insert(kind, Refused { until, what });
        }
    }
}
