//! Everything random of a run, from one seed. Each part has a stream of its own, so that one part's
//! timing does not change another's luck.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A stream of random numbers that several tasks may share.
#[derive(Debug)]
pub struct Dice(Mutex<StdRng>);

impl Dice {
    /// Stream number `stream` of a run's seed.
    #[must_use]
    pub fn new(seed: u64, stream: u64) -> Self {
        // An odd factor keeps the streams of neighbouring seeds apart.
        let mixed = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ stream;
        Self(Mutex::new(StdRng::seed_from_u64(mixed)))
    }

    /// Whether something of that probability happens now; above 1 is always, below 0 never.
    #[must_use]
    pub fn happens(&self, probability: f64) -> bool {
        self.lock().random_bool(probability.clamp(0.0, 1.0))
    }

    /// A time from `from` to `to`, in seconds.
    #[must_use]
    pub fn seconds(&self, from: f64, to: f64) -> Duration {
        Duration::from_secs_f64(self.lock().random_range(from..=to))
    }

    /// A number below `end`; 0 where `end` is 0.
    #[must_use]
    pub fn below(&self, end: usize) -> usize {
        if end == 0 { 0 } else { self.lock().random_range(0..end) }
    }

    fn lock(&self) -> MutexGuard<'_, StdRng> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_numbers_and_streams_differ() {
        let draw = |seed, stream| {
            let dice = Dice::new(seed, stream);
            (0..8).map(|_| dice.below(1_000_000)).collect::<Vec<_>>()
        };
        assert_eq!(draw(1, 2), draw(1, 2));
        assert_ne!(draw(1, 2), draw(1, 3));
        assert_ne!(draw(1, 2), draw(2, 2));
        let dice = Dice::new(1, 1);
        assert!(!dice.happens(0.0) && dice.happens(2.0) && dice.below(0) == 0);
    }
}
