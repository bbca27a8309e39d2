//! How long tries have waited for their images, by a clock that nobody sets: only what they had waited
//! when they were seen first is told by this host's.

use crate::store::Try;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// The tries that wait, shared by all copies.
#[derive(Debug, Clone, Default)]
pub(super) struct Waits(Arc<Mutex<HashMap<i64, First>>>);

/// When a try was seen first, and how long it had waited then.
#[derive(Debug, Clone, Copy)]
struct First {
    at: Instant,
    waited: Duration,
}

impl Waits {
    /// How long each of them has waited; all others are forgotten.
    pub(super) fn of(&self, tries: &[Try], now_unix_ns: i64) -> Vec<Duration> {
        let now = Instant::now();
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut still = HashMap::with_capacity(tries.len());
        let mut waits = Vec::with_capacity(tries.len());
        for one in tries {
            let first = known.get(&one.id).copied().unwrap_or_else(|| {
                let waited = now_unix_ns.saturating_sub(one.created_unix_ns);
                let waited = Duration::from_nanos(u64::try_from(waited).unwrap_or(0));
                First { at: now, waited }
            });
            still.insert(one.id, first);
            waits.push(first.waited.saturating_add(now.saturating_duration_since(first.at)));
        }
        *known = still;
        waits
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SECOND_NS;
    use crate::examples::asked;
    use tokio::time::advance;

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_is_set_makes_no_wait_longer_or_shorter() {
        let waits = Waits::default();
        let one = |id, created_unix_ns| Try { id, asked: asked(7), created_unix_ns, ended: false };
        let now = 1_000 * SECOND_NS;
        let tries = [one(1, now - 20 * SECOND_NS), one(2, now)];
        let of = |tries: &[Try], now| -> Vec<u64> {
            waits.of(tries, now).iter().map(Duration::as_secs).collect()
        };
        assert_eq!(of(&tries, now), [20, 0]);
        advance(Duration::from_secs(5)).await;
        for now in [now + 3_600 * SECOND_NS, now - 3_600 * SECOND_NS] {
            assert_eq!(of(&tries, now), [25, 5]);
        }
        assert_eq!(of(&tries[..1], now), [25]);
        assert_eq!(of(&[one(2, now + SECOND_NS)], now), [0], "forgotten, and of the future");
    }
}
