//! A simulated controller's faults, and what it counts.

use crate::completion::CompletionCode;
use std::time::Duration;

/// What is wrong with a controller. By default nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Knobs {
    /// It answers nothing, not even a login.
    pub silent: bool,
    /// Of 100 packets, so many are lost, in each direction.
    pub lost_percent: u8,
    /// How long it takes for each answer.
    pub delay: Duration,
    /// Of 100 Chassis Controls, so many are answered as done, but not done.
    pub ignored_percent: u8,
    /// Of 100 Chassis Controls, so many are answered with [`Knobs::refusal`], and not done.
    pub refused_percent: u8,
    /// What a refused Chassis Control is answered with.
    pub refusal: CompletionCode,
    /// So many commands more are answered with "node busy"; it counts down.
    pub busy: u32,
    /// What Get Chassis Status says of the power, whatever is true.
    pub status_says: Option<bool>,
    /// From a Chassis Control to its effect.
    pub switch_time: Duration,
    /// How long the power is off in a cycle.
    pub cycle_time: Duration,
    /// The operating system shuts down when it is asked to.
    pub obeys_soft_off: bool,
    /// What the power meter shows; `None`: no DCMI.
    pub watts: Option<u16>,
    /// It says that the power meter measures. Some controllers' show the power and say that it does not.
    pub measures: bool,
}

impl Default for Knobs {
    fn default() -> Self {
        Self {
            silent: false,
            lost_percent: 0,
            delay: Duration::ZERO,
            ignored_percent: 0,
            refused_percent: 0,
            refusal: CompletionCode::NODE_BUSY,
            busy: 0,
            status_says: None,
            switch_time: Duration::ZERO,
            cycle_time: Duration::ZERO,
            obeys_soft_off: true,
            watts: Some(100),
            measures: true,
        }
    }
}

/// What happened to a controller since its start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Packets that came in.
    pub packets: u64,
    /// Packets and answers thrown away by [`Knobs::lost_percent`].
    pub lost: u64,
    /// Packets that no client should send: malformed, forged, seen before, or of no session.
    pub strays: u64,
    /// Sessions whose login succeeded.
    pub sessions: u64,
    /// Sessions refused because too many are open.
    pub full: u64,
    /// Logins refused: name, password, privilege.
    pub refused_logins: u64,
    /// Commands in sessions.
    pub commands: u64,
    /// Get Chassis Status.
    pub statuses: u64,
    /// Chassis Control: on, as far as not ignored or refused. So are the next four.
    pub on: u64,
    /// Hard off.
    pub off: u64,
    /// Power cycle.
    pub cycle: u64,
    /// Hard reset.
    pub reset: u64,
    /// Soft off.
    pub soft: u64,
    /// Chassis Controls that were answered as done and not done.
    pub ignored: u64,
    /// Chassis Controls that were refused.
    pub refused: u64,
    /// Boot flags that were set.
    pub boot_flags: u64,
    /// Power readings.
    pub readings: u64,
}
