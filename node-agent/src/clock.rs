//! The wall clock, set once from the plan; and a little chance, taken from it.
//!
//! A munge credential is refused by a clock that is minutes off; keeping time afterwards is the
//! image's business.

use crate::console::say;
use anyhow::{Context as _, Result};
use rustix::time::{ClockId, Timespec, clock_gettime, clock_settime};
use std::time::SystemTime;

const SECOND_NS: i64 = 1_000_000_000;

/// Sets the clock if it differs by more than a second.
pub(crate) fn set_if_off(wanted_unix_ns: i64) -> Result<()> {
    let now = clock_gettime(ClockId::Realtime);
    let now_ns = now.tv_sec.saturating_mul(SECOND_NS).saturating_add(now.tv_nsec);
    let off_ns = wanted_unix_ns.saturating_sub(now_ns);
    if off_ns.abs() <= SECOND_NS {
        return Ok(());
    }
    let time = Timespec {
        tv_sec: wanted_unix_ns.div_euclid(SECOND_NS),
        tv_nsec: wanted_unix_ns.rem_euclid(SECOND_NS),
    };
    clock_settime(ClockId::Realtime, time).context("setting the clock")?;
    say(format_args!("clock set, it was off by {} s", off_ns / SECOND_NS));
    Ok(())
}

/// Below 1000, another on each node: nodes started together do not have the same microsecond.
pub(crate) fn chance() -> u32 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    now.subsec_micros() % 1000
}
