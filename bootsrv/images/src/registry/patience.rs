//! When a request is tried again, and when not any more. Decides only; others wait.

use std::time::Duration;

/// Longest wait that is ours to choose; a registry may ask for a longer one.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// The rule.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// Wait before the second try; it doubles from there.
    pub(crate) first: Duration,
    /// Most tries that bring nothing.
    pub(crate) tries: u32,
    /// Longest time of all waits together.
    pub(crate) total: Duration,
}

impl Patience {
    /// Six tries in about half a minute, unless the registry itself names a time.
    pub(crate) fn new(total: Duration) -> Self {
        Self { first: Duration::from_secs(1), tries: 6, total }
    }
}

/// One request's tries so far.
#[derive(Debug, Default)]
pub(crate) struct Trial {
    tries: u32,
    waited: Duration,
}

impl Trial {
    /// The last try brought something: count from the start again.
    pub(crate) fn brought_something(&mut self) {
        *self = Self::default();
    }

    /// A try failed; `asked` is what the registry asks to wait, `jitter` is in 0..1. Returns how long
    /// to wait before the next one, `None`: this was the last.
    pub(crate) fn failed(
        &mut self,
        rule: &Patience,
        asked: Option<Duration>,
        jitter: f64,
    ) -> Option<Duration> {
        self.tries += 1;
        let doubled = rule.first.saturating_mul(1 << (self.tries - 1).min(16)).min(WAIT_MAX);
        // Half to whole: clients that failed together do not come back together.
        let own = doubled.mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0);
        let wait = asked.map_or(own, |asked| asked.saturating_add(rule.first.mul_f64(jitter)));
        if self.tries >= rule.tries || self.waited.saturating_add(wait) > rule.total {
            return None;
        }
        self.waited += wait;
        Some(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: Patience =
        Patience { first: Duration::from_secs(1), tries: 8, total: Duration::from_secs(100) };

    fn waits(asked: Option<u64>, jitter: f64) -> Vec<u64> {
        let mut trial = Trial::default();
        let asked = asked.map(Duration::from_secs);
        std::iter::from_fn(|| trial.failed(&RULE, asked, jitter))
            .map(|wait| wait.as_secs())
            .collect()
    }

    #[test]
    fn waits_double_and_end() {
        assert_eq!(waits(None, 1.0), [1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(waits(None, 0.0), [0, 1, 2, 4, 8, 15, 15]);
    }

    #[test]
    fn a_registry_gets_the_time_it_asks_for_or_none() {
        assert_eq!(waits(Some(40), 0.0), [40, 40]);
        assert_eq!(waits(Some(101), 0.0), [0_u64; 0]);
        assert_eq!(waits(Some(u64::MAX), 1.0), [0_u64; 0]);
    }

    #[test]
    fn progress_renews_patience() {
        let mut trial = Trial::default();
        for _ in 0..100 {
            assert!(trial.failed(&RULE, None, 0.5).is_some());
            trial.brought_something();
        }
    }
}
