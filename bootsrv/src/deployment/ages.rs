//! How long deployments have been in their states, by a clock that nobody sets: the times in the store are
//! this host's, and may be put right by hours. In memory only: what bootsrv was away does not count.

use super::{Deployment, DeploymentId};
use crate::clock::SECOND_NS;
use std::collections::{HashMap, HashSet};
use std::time::Duration;
use tokio::time::Instant;

/// From which times a limit counts, as the store has them, nanoseconds since 1970: if one of them changes,
/// it counts anew.
pub(super) type Begins = [i64; 3];

/// A step of the clock that is worth a line in the log: as much as a node's clock may be behind.
const STEP_NS: i64 = 2 * SECOND_NS;

/// The deployments that live.
#[derive(Debug, Default)]
pub(super) struct Ages {
    known: HashMap<DeploymentId, Age>,
    last: Option<(i64, Instant)>,
    stepped: Option<Instant>,
}

#[derive(Debug)]
struct Age {
    born: Instant,
    begins: Option<(Begins, Instant)>,
}

impl Ages {
    /// A round begins: what does not live any more is forgotten, and a clock that was set is noticed.
    pub(super) fn round(&mut self, live: &[Deployment], now_unix_ns: i64) {
        let now = Instant::now();
        let ids: HashSet<DeploymentId> = live.iter().map(|one| one.id).collect();
        self.known.retain(|id, _| ids.contains(id));
        for id in ids {
            self.known.entry(id).or_insert(Age { born: now, begins: None });
        }
        let Some((wall, at)) = self.last.replace((now_unix_ns, now)) else { return };
        let passed = i64::try_from((now - at).as_nanos()).unwrap_or(i64::MAX);
        let step = now_unix_ns.saturating_sub(wall).saturating_sub(passed);
        if step.saturating_abs() > STEP_NS {
            self.stepped = Some(now);
            log::warn!(
                "this host's clock was set {} by {} s: no limit counts that, but the times of boots that \
                 are under way, and their energy, are wrong",
                if step > 0 { "forward" } else { "back" },
                step.saturating_abs() / SECOND_NS
            );
        }
    }

    /// How long it is since these times were seen first, or since then, if that is later.
    pub(super) fn lasted(
        &mut self,
        id: DeploymentId,
        begins: Begins,
        not_before: Option<Instant>,
    ) -> Duration {
        let now = Instant::now();
        let age = self.known.entry(id).or_insert(Age { born: now, begins: None });
        let since = match age.begins {
            Some((known, since)) if known == begins => since,
            Some(_) | None => {
                age.begins = Some((begins, now));
                now
            }
        };
        now.saturating_duration_since(not_before.map_or(since, |at| at.max(since)))
    }

    /// Whether the clock was set since this deployment was seen first: its times and its node's cannot be
    /// compared.
    pub(super) fn clock_was_set(&self, id: DeploymentId) -> bool {
        let born = self.known.get(&id).map(|age| age.born);
        self.stepped.is_some_and(|at| born.is_some_and(|born| born < at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    const HOUR_NS: i64 = 3_600 * SECOND_NS;
    const TEN: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn the_time_that_really_passed_counts() {
        let (mut ages, one) = (Ages::default(), Deployment::example());
        let live = [one.clone()];
        let begins = [5, 0, 0];
        for (wall, seconds) in [(0, 0), (HOUR_NS, 10), (-HOUR_NS, 20)] {
            ages.round(&live, wall);
            assert_eq!(ages.lasted(one.id, begins, None).as_secs(), seconds);
            advance(TEN).await;
        }
        assert_eq!(ages.lasted(one.id, [6, 0, 0], None), Duration::ZERO, "another state");
        advance(TEN).await;
        let silent_until = Instant::now() - Duration::from_secs(3);
        assert_eq!(ages.lasted(one.id, [6, 0, 0], Some(silent_until)).as_secs(), 3);
        assert_eq!(ages.lasted(one.id, [6, 0, 0], Some(silent_until - TEN)), TEN);
        ages.round(&[], -HOUR_NS);
        assert!(ages.known.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_is_set_is_noticed_either_way() {
        for (step, expected) in [(0, false), (SECOND_NS, false), (HOUR_NS, true), (-HOUR_NS, true)]
        {
            let (mut ages, one) = (Ages::default(), Deployment::example());
            ages.round(std::slice::from_ref(&one), 0);
            advance(TEN).await;
            let later = Deployment { id: 2, ..Deployment::example() };
            ages.round(&[one.clone(), later.clone()], 10 * SECOND_NS + step);
            assert_eq!(ages.clock_was_set(one.id), expected, "{step}");
            assert!(!ages.clock_was_set(later.id), "{step}: its times are of the clock as set");
        }
    }
}
