//! Lines on the node's console, each with the time since the kernel started.
//!
//! Takes finished texts; callers must not hand it a secret.

use rustix::time::{ClockId, clock_gettime};
use std::fmt::Arguments;
use std::io::Write as _;

/// Nanoseconds since the kernel started (`CLOCK_BOOTTIME`).
pub(crate) fn uptime_ns() -> i64 {
    let time = clock_gettime(ClockId::Boottime);
    time.tv_sec.saturating_mul(1_000_000_000).saturating_add(time.tv_nsec)
}

/// Prints one line. A console that cannot be written to stops nothing.
pub(crate) fn say(text: Arguments<'_>) {
    let uptime_ms = uptime_ns() / 1_000_000;
    let line = format!("node-agent {}.{:03} {text}\n", uptime_ms / 1000, uptime_ms % 1000);
    std::io::stdout().write_all(line.as_bytes()).ok();
}

/// Prints what goes wrong again and again only when it changes: a serial console is slow.
#[derive(Debug, Default)]
pub(crate) struct Complaint {
    last: String,
}

impl Complaint {
    /// Prints the text unless it is the one printed last.
    pub(crate) fn say(&mut self, text: &str) {
        if self.last != text {
            say(format_args!("{text}"));
            text.clone_into(&mut self.last);
        }
    }
}
