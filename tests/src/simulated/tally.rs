//! What happened how often, by name, and how long it took.

use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Most times that are kept of one kind, in the order they came: 1,000 nodes ask a million times in
/// a quarter of an hour.
const TIMES_MAX: usize = 1_000_000;

/// Counters and times that every part of a run adds to.
#[derive(Debug, Default)]
pub struct Tally {
    counts: Mutex<BTreeMap<String, u64>>,
    times: Mutex<BTreeMap<String, Vec<Duration>>>,
}

/// How long one kind of thing took, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Times {
    /// How many are counted.
    pub count: usize,
    /// Half of them took no longer.
    pub median: f64,
    /// All but one in a hundred took no longer.
    pub p99: f64,
    /// The longest.
    pub longest: f64,
}

impl Times {
    /// Of at least one time.
    fn of(mut times: Vec<Duration>) -> Option<Self> {
        times.sort_unstable();
        let count = times.len();
        let at = |hundredths: usize| {
            let place = (count * hundredths).div_ceil(100).saturating_sub(1);
            times.get(place).map(|time| time.as_secs_f64() * 1_000.0)
        };
        Some(Self { count, median: at(50)?, p99: at(99)?, longest: at(100)? })
    }
}

impl Tally {
    /// One more.
    pub fn count(&self, what: &str) {
        self.add(what, 1);
    }

    /// So many more.
    pub fn add(&self, what: &str, number: u64) {
        let mut counts = self.counts();
        match counts.get_mut(what) {
            Some(count) => *count += number,
            None => drop(counts.insert(what.to_owned(), number)),
        }
    }

    /// It took so long.
    pub fn took(&self, what: &str, time: Duration) {
        let mut all = self.times();
        let times = match all.get_mut(what) {
            Some(times) => times,
            None => all.entry(what.to_owned()).or_default(),
        };
        if times.len() < TIMES_MAX {
            times.push(time);
        }
    }

    /// How often so far.
    #[must_use]
    pub fn get(&self, what: &str) -> u64 {
        self.counts().get(what).copied().unwrap_or(0)
    }

    /// All counters.
    #[must_use]
    pub fn all(&self) -> BTreeMap<String, u64> {
        self.counts().clone()
    }

    /// All times.
    #[must_use]
    pub fn all_times(&self) -> BTreeMap<String, Times> {
        let all = self.times().clone();
        all.into_iter().filter_map(|(what, times)| Some((what, Times::of(times)?))).collect()
    }

    fn counts(&self) -> MutexGuard<'_, BTreeMap<String, u64>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn times(&self) -> MutexGuard<'_, BTreeMap<String, Vec<Duration>>> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_by_their_places_in_order() {
        let tally = Tally::default();
        for time in (1..=200).rev() {
            tally.took("a", Duration::from_millis(time));
        }
        tally.took("b", Duration::from_millis(7));
        let all = tally.all_times();
        assert_eq!(all["a"], Times { count: 200, median: 100.0, p99: 198.0, longest: 200.0 });
        assert_eq!(all["b"], Times { count: 1, median: 7.0, p99: 7.0, longest: 7.0 });
    }
}
