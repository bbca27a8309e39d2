//! What all workers share.

use super::Listener;
use super::breaker::Breaker;
use super::inrush::Inrush;
use super::patience::Patience;
use crate::config::Limits;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// What all workers share.
#[derive(Debug)]
pub struct Site {
    /// Who hears what is seen; set once, before any order is given.
    pub listener: OnceLock<Arc<dyn Listener>>,
    /// The inrush limit.
    pub(super) inrush: Inrush,
    /// Whether the management network is there at all.
    pub(super) breaker: Breaker,
    /// How long controllers take.
    pub(super) patience: Patience,
    /// For power commands to show their effect, all steps of escalation together.
    pub(super) power_limit: Duration,
    /// For an operating system to shut down by itself.
    pub(super) soft_limit: Duration,
}

impl Site {
    /// A site that has not seen anything yet.
    #[must_use]
    pub fn new(limits: &Limits) -> Self {
        let seconds = |number: u32| Duration::from_secs(number.into());
        Self {
            listener: OnceLock::new(),
            inrush: Inrush::new(limits.power_on_per_second),
            breaker: Breaker::default(),
            patience: Patience::default(),
            power_limit: seconds(limits.power_seconds),
            soft_limit: seconds(limits.soft_off_seconds),
        }
    }
}
