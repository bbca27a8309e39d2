//! Looks that somebody else's word is the reason for: a controller that tells of events. The word is not
//! believed, it only makes the worker look sooner than it would have.

use crate::power::driver::Cue;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// Shortest time from one such look to the next, however many cues come.
const PAUSE: Duration = Duration::from_secs(1);
/// Controllers tell of a change before their own answers show it: there is a second look so long after the
/// first.
const AGAIN: Duration = Duration::from_secs(3);

/// When the next such look is due.
#[derive(Debug)]
pub(super) struct Cues {
    cue: Option<Cue>,
    /// Not before.
    next: Instant,
    again: Option<Instant>,
}

impl Cues {
    pub(super) fn new(cue: Option<Cue>) -> Self {
        Self { cue, next: Instant::now(), again: None }
    }

    /// Waits until a look is due. Nothing is lost if it is dropped while it waits.
    pub(super) async fn due(&mut self) {
        let Some(cue) = &self.cue else { return std::future::pending().await };
        sleep_until(self.next).await;
        let again = self.again;
        tokio::select! {
            () = cue.given() => self.again = Some(Instant::now() + AGAIN),
            () = sleep_until(again.unwrap_or(self.next)), if again.is_some() => self.again = None,
        }
        self.rest();
    }

    /// The look is done: the pause begins.
    pub(super) fn rest(&mut self) {
        self.next = Instant::now() + PAUSE;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::timeout;

    async fn is_due_within(cues: &mut Cues, seconds: u64) -> bool {
        timeout(Duration::from_secs(seconds), cues.due()).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn a_cue_is_one_look_and_another_a_little_later() {
        let cue = Cue::default();
        let mut cues = Cues::new(Some(cue.clone()));
        assert!(!is_due_within(&mut cues, 1_000).await);
        for _ in 0..100 {
            cue.give();
        }
        let start = Instant::now();
        assert!(is_due_within(&mut cues, 0).await);
        assert!(is_due_within(&mut cues, 10).await);
        assert_eq!(start.elapsed(), AGAIN);
        assert!(!is_due_within(&mut cues, 1_000).await);
    }

    #[tokio::test(start_paused = true)]
    async fn no_storm_is_more_than_a_look_a_second() {
        let cue = Cue::default();
        let mut cues = Cues::new(Some(cue.clone()));
        let storm = tokio::spawn(async move {
            loop {
                cue.give();
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
        let mut looks = 0;
        let minute = timeout(Duration::from_secs(60), async {
            loop {
                cues.due().await;
                looks += 1;
            }
        });
        minute.await.unwrap_err();
        assert!((55..=61).contains(&looks), "{looks}");
        storm.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn a_cue_that_came_in_the_pause_is_not_lost_with_the_wait() {
        let cue = Cue::default();
        let mut cues = Cues::new(Some(cue.clone()));
        cue.give();
        cues.due().await;
        cue.give();
        assert!(timeout(PAUSE / 2, cues.due()).await.is_err());
        assert!(timeout(PAUSE, cues.due()).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn who_gives_none_is_never_due() {
        assert!(!is_due_within(&mut Cues::new(None), 1_000).await);
    }
}
