//! What a node's worker can ask of whatever switches its power: one trait, a file for each method.

use super::Power;
use futures_util::future::BoxFuture;
use protocol::api::Firmware;
use std::sync::Arc;
use tokio::sync::Notify;

/// Answer of a driver.
pub(super) type Answer<'a, T> = BoxFuture<'a, Result<T, DriverError>>;

/// What a driver is asked to do. Its effect comes later: the worker looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Command {
    /// Power on.
    On,
    /// Ask the operating system to shut down.
    SoftOff,
    /// Power off, hard.
    Off,
    /// Off, a pause, on.
    Cycle,
}

/// What a driver can do at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Abilities {
    /// It can tell whether the node has power.
    pub sees_power: bool,
    /// It can switch a node off.
    pub switches_off: bool,
    /// It can ask the operating system to shut down.
    pub soft_off: bool,
    /// It can cut the power and give it back by itself.
    pub cycle: bool,
    /// It can choose the network for the next boot.
    pub boot_device: bool,
    /// It may have a meter.
    pub meter: bool,
}

/// The meter of a controller that has only sensors.
pub const IPMI_SENSOR: &str = "ipmi-sdr";

/// What a meter showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reading {
    /// The node's power in milliwatts, as fine as the meter shows it.
    pub milliwatts: u32,
    /// Which meter, e.g. `ipmi-dcmi`.
    pub meter: &'static str,
}

/// Wakes a node's worker: it is worth a look at the node's power now. It says nothing about that power,
/// and several that come before the worker has looked are one.
#[derive(Debug, Clone, Default)]
pub(super) struct Cue(Arc<Notify>);

impl Cue {
    /// Gives it.
    pub(super) fn give(&self) {
        self.0.notify_one();
    }

    /// Waits for it. It is not lost if this is dropped while it waits.
    pub(super) async fn given(&self) {
        self.0.notified().await;
    }
}

/// Whatever switches a node's power.
pub(super) trait Driver: std::fmt::Debug + Send + Sync {
    /// What it can do, as far as known; asking for anything else is [`Trouble::Unsupported`].
    fn abilities(&self) -> Abilities;
    /// What kind of controller it is, once it has said so: those of a kind take about as long.
    fn model(&self) -> Option<String> {
        None
    }
    /// What it gives when it hears that something happened to the node; `None`: it only answers.
    fn cue(&self) -> Option<Cue> {
        None
    }
    /// Whether the node has power; [`Trouble::Unsupported`]: it cannot see that.
    fn power(&mut self) -> Answer<'_, Power>;
    /// Carries a command out.
    fn command(&mut self, command: Command) -> Answer<'_, ()>;
    /// Chooses the network for the next boot only, as that firmware does it.
    fn boot_from_network(&mut self, firmware: Firmware) -> Answer<'_, ()>;
    /// The node's power; `None`: it has no meter, or the meter has no reading now.
    fn reading(&mut self) -> Answer<'_, Option<Reading>>;
    /// What the controller's own log says since then (nanoseconds since 1970), newest first, at most
    /// [`EVENTS_MAX`] lines: why a node died. Empty where there is no log.
    fn events(&mut self, since_unix_ns: i64) -> Answer<'_, Vec<String>>;
}

/// Most lines of a controller's log.
pub(super) const EVENTS_MAX: usize = 8;

impl DriverError {
    /// An error without a cause below it.
    #[must_use]
    pub(super) fn new(trouble: Trouble, what: impl Into<String>) -> Self {
        Self { trouble, what: what.into(), source: None }
    }
}

/// Why a driver did not do it.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub(super) struct DriverError {
    /// What follows from it.
    pub trouble: Trouble,
    /// One line: what was asked of whom.
    pub what: String,
    /// The cause.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// What follows from an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Trouble {
    /// No answer: the controller or the way to it is away. Counts for the circuit breaker.
    NoAnswer,
    /// It is busy: worth another attempt soon.
    Busy,
    /// It does not let us: credentials, privilege, certificate. Asking again may lock the account.
    Refused,
    /// It cannot do that.
    Unsupported,
    /// Its answer makes no sense, or it failed at it.
    Broken,
}
