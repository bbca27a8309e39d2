//! The power of a node as a function of what its QEMU process does; tests/POWER_MODEL.md has the
//! same in words. Pure: no clock, no files, whole milliwatts.
//!
//! It is made up. It has the shape of a real node's power, and nothing else.

use crate::process::TICKS_PER_SECOND;
use std::collections::VecDeque;
use std::time::Duration;

/// Switched off: the baseboard controller alone.
pub const STANDBY_MILLIWATTS: u64 = 4_000;
/// The first seconds after power on: fans, memory training, no operating system.
pub const FIRMWARE_MILLIWATTS: u64 = 95_000;
/// How long those last, in clock ticks of QEMU's life.
pub const FIRMWARE_TICKS: u64 = 2 * TICKS_PER_SECOND;
/// On and doing nothing.
pub const IDLE_MILLIWATTS: u64 = 60_000;
/// What a processor at work adds, all hardware threads busy.
pub const BUSY_MILLIWATTS: u64 = 140_000;
/// The time over which the processor's use is averaged.
pub const WINDOW: Duration = Duration::from_millis(500);

/// What is known of a node at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activity {
    /// There is no QEMU process.
    Off,
    /// There is one.
    On {
        /// Its process id; another one means that the node was switched off and on.
        pid: u32,
        /// Its age in clock ticks.
        age_ticks: u64,
        /// The CPU time it has used in clock ticks.
        cpu_ticks: u64,
    },
}

/// The model of one node: remembers the last half second of CPU time.
#[derive(Debug, Clone)]
pub struct Model {
    threads: u8,
    pid: Option<u32>,
    window: VecDeque<(Duration, u64)>,
}

impl Model {
    /// The model of a node with so many hardware threads.
    #[must_use]
    pub fn new(threads: u8) -> Self {
        Self { threads: threads.max(1), pid: None, window: VecDeque::new() }
    }

    /// The node's power in milliwatts from `now` (any clock that only goes forward) on.
    pub fn milliwatts(&mut self, now: Duration, activity: Activity) -> u64 {
        let Activity::On { pid, age_ticks, cpu_ticks } = activity else {
            self.pid = None;
            self.window.clear();
            return STANDBY_MILLIWATTS;
        };
        if self.pid != Some(pid) {
            self.pid = Some(pid);
            self.window.clear();
        }
        self.window.push_back((now, cpu_ticks));
        // One entry of at least the window's age stays, so that the window is never shorter.
        while self.window.get(1).is_some_and(|(then, _)| now.saturating_sub(*then) >= WINDOW) {
            self.window.pop_front();
        }
        if age_ticks < FIRMWARE_TICKS {
            return FIRMWARE_MILLIWATTS;
        }
        IDLE_MILLIWATTS + BUSY_MILLIWATTS * self.busy_permille(now, cpu_ticks) / 1000
    }

    /// CPU time over time and hardware threads in the window, at most 1000.
    fn busy_permille(&self, now: Duration, cpu_ticks: u64) -> u64 {
        let Some((then, before)) = self.window.front() else { return 0 };
        let elapsed_micros = now.saturating_sub(*then).as_micros() * u128::from(self.threads);
        if elapsed_micros == 0 {
            return 0;
        }
        let used = u128::from(cpu_ticks.saturating_sub(*before));
        let used_micros = used * 1_000_000 / u128::from(TICKS_PER_SECOND);
        let permille = used_micros * 1000 / elapsed_micros;
        u64::try_from(permille).unwrap_or(u64::MAX).min(1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(pid: u32, age_ticks: u64, cpu_ticks: u64) -> Activity {
        Activity::On { pid, age_ticks, cpu_ticks }
    }

    #[test]
    fn a_boot_goes_through_standby_firmware_busy_and_idle() {
        let mut model = Model::new(1);
        let at = |ms| Duration::from_millis(ms);
        assert_eq!(model.milliwatts(at(0), Activity::Off), 4_000);
        assert_eq!(model.milliwatts(at(50), on(7, 0, 0)), 95_000);
        assert_eq!(model.milliwatts(at(1_950), on(7, 190, 190)), 95_000);
        // 50 ticks in 500 ms is the whole processor.
        assert_eq!(model.milliwatts(at(2_450), on(7, 240, 240)), 200_000);
        assert_eq!(model.milliwatts(at(2_950), on(7, 290, 265)), 130_000);
        assert_eq!(model.milliwatts(at(3_450), on(7, 340, 265)), 60_000);
        assert_eq!(model.milliwatts(at(3_500), Activity::Off), 4_000);
    }

    #[test]
    fn two_threads_need_twice_the_time_and_more_than_all_counts_as_all() {
        let mut model = Model::new(2);
        let at = |ms| Duration::from_millis(ms);
        model.milliwatts(at(0), on(7, 300, 0));
        assert_eq!(model.milliwatts(at(500), on(7, 350, 50)), 130_000);
        assert_eq!(model.milliwatts(at(1_000), on(7, 400, 350)), 200_000);
    }

    #[test]
    fn another_process_starts_a_new_window() {
        let mut model = Model::new(1);
        model.milliwatts(Duration::from_secs(1), on(7, 300, 5_000));
        assert_eq!(model.milliwatts(Duration::from_secs(2), on(8, 300, 10)), 60_000);
    }
}
