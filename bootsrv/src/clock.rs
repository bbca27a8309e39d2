//! The wall clock, in the one unit of the store and the API.

use std::time::{SystemTime, UNIX_EPOCH};

/// Nanoseconds since 1970. Before 1970 and after 2262 it stands still.
#[must_use]
pub fn now_unix_ns() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// Nanoseconds in a second.
pub const SECOND_NS: i64 = 1_000_000_000;
