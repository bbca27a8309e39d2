//! At most N power-ons a second in the whole site.

use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// Hands out turns, evenly spaced.
#[derive(Debug)]
pub(super) struct Inrush {
    spacing: Duration,
    next: Mutex<Instant>,
}

impl Inrush {
    /// At least one a second.
    pub(super) fn new(per_second: u32) -> Self {
        let spacing = Duration::from_secs(1) / per_second.max(1);
        Self { spacing, next: Mutex::new(Instant::now()) }
    }

    /// Waits for a turn.
    pub(super) async fn turn(&self) {
        let at = {
            let mut next = self.next.lock().await;
            let at = (*next).max(Instant::now());
            *next = at + self.spacing;
            at
        };
        tokio::time::sleep_until(at).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn turns_are_spaced() {
        let inrush = Inrush::new(4);
        let start = Instant::now();
        for _ in 0..9 {
            inrush.turn().await;
        }
        assert_eq!(start.elapsed().as_secs(), 2);
    }
}
