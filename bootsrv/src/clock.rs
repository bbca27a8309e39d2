//! The wall clock, in the one unit of the store and the API.

use std::time::{SystemTime, UNIX_EPOCH};

/// Nanoseconds since 1970. Before 1970 and after 2262 it stands still.
#[must_use]
pub fn now_unix_ns() -> i64 {
    #[cfg(test)]
    if let Some(now) = simulated::now() {
        return now;
    }
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// Nanoseconds in a second.
pub const SECOND_NS: i64 = 1_000_000_000;

/// A wall clock that follows tokio's, so that it stands still and jumps with it; one a thread.
#[cfg(test)]
pub(crate) mod simulated {
    use std::cell::Cell;
    use tokio::time::Instant;

    thread_local! {
        static BASE: Cell<Option<(Instant, i64)>> = const { Cell::new(None) };
    }

    /// From now on this thread's wall clock shows that time, and goes with tokio's; again: it jumps.
    pub(crate) fn set(unix_ns: i64) {
        BASE.set(Some((Instant::now(), unix_ns)));
    }

    /// From now on it shows the real time again.
    pub(crate) fn end() {
        BASE.set(None);
    }

    pub(super) fn now() -> Option<i64> {
        let (base, unix_ns) = BASE.get()?;
        Some(unix_ns + i64::try_from(base.elapsed().as_nanos()).unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn the_wall_clock_follows_a_paused_one() {
        set(1_000);
        tokio::time::advance(std::time::Duration::from_nanos(7)).await;
        assert_eq!(crate::clock::now_unix_ns(), 1_007);
        set(3);
        assert_eq!(crate::clock::now_unix_ns(), 3);
        end();
    }
}
