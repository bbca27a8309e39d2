//! When a command that shows no effect is sent again. Pure, but for the clock.

use crate::power::driver::{Command, Trouble};
use std::time::Duration;
use tokio::time::Instant;

/// First pause after a controller was busy or silent; doubled each time.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Longest such pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(8);

/// How long to wait before the next sending; `None`: it is of no use.
///
/// `jitter` is a random number from 0 to 1: controllers that were busy at the same time are not asked
/// at the same time again.
fn pause(
    came_of_it: Option<Trouble>,
    troubles: u32,
    patience: Duration,
    jitter: f64,
) -> Option<Duration> {
    match came_of_it {
        // Accepted, or answered with nonsense: its effect may still come.
        None | Some(Trouble::Broken) => Some(patience),
        Some(Trouble::Busy | Trouble::NoAnswer) => {
            let doubled = FIRST_PAUSE.saturating_mul(1 << troubles.min(8));
            Some(doubled.min(LONGEST_PAUSE).mul_f64(0.5 + jitter.clamp(0.0, 1.0)))
        }
        Some(Trouble::Refused | Trouble::Unsupported) => None,
    }
}

/// The sendings of one command in one step.
#[derive(Debug)]
pub(super) struct Sendings {
    pub(super) command: Command,
    patience: Duration,
    next: Option<Instant>,
    first_sent: Option<Instant>,
    first_accepted: Option<Instant>,
    pub(super) accepted: u32,
    troubles: u32,
}

impl Sendings {
    /// None yet: the first is due at once.
    pub(super) fn new(command: Command, patience: Duration) -> Self {
        Self {
            command,
            patience,
            next: Some(Instant::now()),
            first_sent: None,
            first_accepted: None,
            accepted: 0,
            troubles: 0,
        }
    }

    /// Whether it is time to send.
    pub(super) fn is_due(&self) -> bool {
        self.next.is_some_and(|at| Instant::now() >= at)
    }

    /// Whether it will never be time again.
    pub(super) fn is_over(&self) -> bool {
        self.next.is_none()
    }

    /// Notes that it is being sent: its effect may come before its answer.
    pub(super) fn begin(&mut self) {
        self.first_sent.get_or_insert_with(Instant::now);
    }

    /// Whether it has arrived, as far as is known: it was accepted, or answered with an error.
    pub(super) fn has_arrived(&self) -> bool {
        self.accepted > 0 || (self.first_sent.is_some() && self.troubles == 0)
    }

    /// When it was sent for the first time; `None`: it was not.
    pub(super) fn first_sent(&self) -> Option<Instant> {
        self.first_sent
    }

    /// Notes what came of a sending; `None`: it was accepted.
    pub(super) fn sent(&mut self, came_of_it: Option<Trouble>) {
        let pause = pause(came_of_it, self.troubles, self.patience, rand::random());
        self.next = pause.map(|pause| Instant::now() + pause);
        if came_of_it.is_none() {
            self.first_accepted.get_or_insert_with(Instant::now);
            self.accepted += 1;
        }
        let again = matches!(came_of_it, Some(Trouble::Busy | Trouble::NoAnswer));
        self.troubles = if again { self.troubles + 1 } else { 0 };
    }

    /// How long its effect took, counted from when it was accepted for the first time; `None`: it was
    /// not.
    pub(super) fn took(&self, seen_at: Instant) -> Option<Duration> {
        self.first_accepted.map(|at| seen_at.saturating_duration_since(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_pass_by_itself_is_tried_again_soon() {
        let patience = Duration::from_secs(5);
        let after = |trouble, troubles, jitter| {
            pause(trouble, troubles, patience, jitter).map(|pause| pause.as_millis())
        };
        for (trouble, troubles, jitter, expected) in [
            (None, 0, 0.9, Some(5_000)),
            (Some(Trouble::Broken), 3, 0.9, Some(5_000)),
            (Some(Trouble::Busy), 0, 0.0, Some(500)),
            (Some(Trouble::Busy), 0, 1.0, Some(1_500)),
            (Some(Trouble::NoAnswer), 2, 0.5, Some(4_000)),
            (Some(Trouble::NoAnswer), 99, 1.0, Some(12_000)),
            (Some(Trouble::Refused), 0, 0.5, None),
            (Some(Trouble::Unsupported), 0, 0.5, None),
        ] {
            assert_eq!(after(trouble, troubles, jitter), expected, "{trouble:?} {troubles}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_command_is_never_due_again() {
        let mut sendings = Sendings::new(Command::On, Duration::from_secs(5));
        assert!(sendings.is_due());
        sendings.sent(None);
        assert!(!sendings.is_due() && !sendings.is_over());
        tokio::time::advance(Duration::from_secs(5)).await;
        assert!(sendings.is_due());
        assert_eq!(sendings.took(Instant::now()).unwrap().as_secs(), 5);
        sendings.sent(Some(Trouble::Refused));
        assert!(!sendings.is_due() && sendings.is_over());
    }
}
