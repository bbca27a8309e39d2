//! How long controllers of a kind take until a command shows: learned, so that a slow kind is not
//! hurried with the same command again. Kept in memory only: a restart begins with the shortest.

use super::driver::Command;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Shortest wait before a command is sent again: controllers that get the same command faster are
/// known to freeze.
const SHORTEST: Duration = Duration::from_secs(5);
/// Longest.
const LONGEST: Duration = Duration::from_secs(30);
/// Most kinds remembered; further ones get the shortest wait.
const KINDS_MAX: usize = 1024;

/// The longest time seen for each kind of controller.
#[derive(Debug, Default)]
pub(super) struct Patience {
    seen: Mutex<HashMap<(String, Command), Duration>>,
}

impl Patience {
    /// How long to wait for a command to show before it is sent again: half as long again as the
    /// longest time noted.
    pub(super) fn before_again(&self, kind: &str, command: Command) -> Duration {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let longest = seen.get(&(kind.to_owned(), command)).copied().unwrap_or_default();
        (longest.saturating_mul(3) / 2).clamp(SHORTEST, LONGEST)
    }

    /// Notes how long a command took to show, counted from its first sending. Was that the only one,
    /// the time is certain, and what is remembered shrinks by a quarter towards it; else the first may
    /// have been ignored, or the controller is slow: it is believed to be slow until proven otherwise.
    pub(super) fn note(&self, kind: &str, command: Command, took: Duration, certain: bool) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (kind.to_owned(), command);
        if seen.len() < KINDS_MAX || seen.contains_key(&key) {
            let longest = seen.entry(key).or_default();
            let remembered = if certain { *longest * 3 / 4 } else { *longest };
            *longest = took.max(remembered);
        }
    }
}

/// What controllers are taken for one kind whose driver knows no better: the same method, and an
/// address that differs only in its last number.
pub(super) fn kind_by_address(definition: &str) -> String {
    if let Some((network, host)) = definition.rsplit_once('.')
        && host.starts_with(|first: char| first.is_ascii_digit())
    {
        return format!("{network}.#");
    }
    let mut kind = String::with_capacity(definition.len());
    for letter in definition.chars() {
        let letter = if letter.is_ascii_digit() { '#' } else { letter };
        if letter != '#' || !kind.ends_with('#') {
            kind.push(letter);
        }
    }
    kind
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_time_seen_counts_within_bounds_and_for_its_kind_only() {
        let patience = Patience::default();
        let wait = |kind| patience.before_again(kind, Command::On).as_secs();
        for (took, certain, expected) in [
            (1, true, 5),
            (8, false, 12),
            (8, true, 12),
            (2, true, 9),
            (2, false, 9),
            (90, true, 30),
        ] {
            patience.note("slow", Command::On, Duration::from_secs(took), certain);
            assert_eq!(wait("slow"), expected, "after {took} s");
        }
        assert_eq!(wait("other"), 5);
        assert_eq!(patience.before_again("slow", Command::Off).as_secs(), 5);
    }

    #[test]
    fn kinds_have_an_upper_number() {
        let patience = Patience::default();
        for number in 0..KINDS_MAX + 1 {
            patience.note(&number.to_string(), Command::On, Duration::from_secs(20), true);
        }
        assert_eq!(patience.before_again("0", Command::On).as_secs(), 30);
        assert_eq!(patience.before_again(&KINDS_MAX.to_string(), Command::On).as_secs(), 5);
    }

    #[test]
    fn neighbours_are_of_a_kind() {
        for (one, other, alike) in [
            ("ipmi 10.1.0.11", "ipmi 10.1.0.12", true),
            ("ipmi 10.1.0.11", "ipmi 10.2.0.11", false),
            ("ipmi 10.1.0.11", "redfish 10.1.0.11", false),
            ("ipmi c001-ipmi", "ipmi c117-ipmi", true),
            ("ipmi c001-ipmi.a.org", "ipmi c9-ipmi.a.org", true),
            ("ipmi gpu1", "ipmi c1", false),
        ] {
            assert_eq!(kind_by_address(one) == kind_by_address(other), alike, "{one} {other}");
        }
    }
}
