//! The processes of the node, as `/proc` shows them, and their end.
//!
//! Which of them have to end is decided elsewhere.

use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Between two looks whether processes are gone.
const POLL: Duration = Duration::from_millis(2);
/// `PF_KTHREAD` of linux/sched.h.
const KERNEL_THREAD: u64 = 0x0020_0000;

/// A process that runs: not a thread of the kernel, not one that waits to be collected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Process {
    pid: i32,
    /// In ticks since the kernel started: with it an id is no other process's.
    started: u64,
}

/// All but the first one and this one.
pub(crate) fn others() -> Vec<Process> {
    let own = std::process::id();
    let Ok(entries) = Path::new("/proc").read_dir() else { return Vec::new() };
    let pids =
        entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| *pid != 1 && *pid != own).filter_map(find).collect()
}

/// The process of this id, if it runs.
pub(crate) fn find(pid: u32) -> Option<Process> {
    running(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Reads proc_pid_stat(5).
fn running(stat: &str) -> Option<Process> {
    let (pid, rest) = stat.split_once(" (")?;
    // A name may hold anything, even a bracket.
    let mut words = rest.rsplit_once(") ")?.1.split_ascii_whitespace();
    let state = words.next()?;
    let flags: u64 = words.nth(5)?.parse().ok()?;
    let started = words.nth(12)?.parse().ok()?;
    let is_running = !matches!(state, "Z" | "X" | "x") && flags & KERNEL_THREAD == 0;
    is_running.then_some(Process { pid: pid.parse().ok()?, started })
}

impl Process {
    /// The real user it runs as; none: it has ended.
    pub(crate) fn user(self) -> Option<u32> {
        // Not the owner of its directory: that is root for who may not be looked at.
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
        line.split_ascii_whitespace().next()?.parse().ok()
    }

    /// Nothing happens if it has ended.
    pub(crate) fn signal(self, signal: Signal) {
        if let Some(pid) = Pid::from_raw(self.pid)
            && self.runs()
        {
            kill_process(pid, signal).ok();
        }
    }

    fn runs(self) -> bool {
        u32::try_from(self.pid).ok().and_then(find) == Some(self)
    }
}

/// Waits until all of them have ended; gives those that have not within the limit.
pub(crate) fn wait_for_end(mut processes: Vec<Process>, limit: Duration) -> Vec<Process> {
    let deadline = Instant::now() + limit;
    loop {
        processes.retain(|process| process.runs());
        if processes.is_empty() || Instant::now() >= deadline {
            return processes;
        }
        sleep(POLL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn only_what_runs_counts() {
        let stat = |name: &str, state: &str, flags: &str| {
            format!(
                "77 ({name}) {state} 1 77 77 0 -1 {flags} 0 0 0 0 1 2 0 0 20 0 1 0 4711 8192 9 \
                 18446744073709551615 1 1 0 0 0 0 0 4096"
            )
        };
        let expected = Some(Process { pid: 77, started: 4711 });
        assert_eq!(running(&stat("sh", "S", "4194560")), expected);
        assert_eq!(running(&stat(") Z 1 (", "R", "4194560")), expected);
        assert_eq!(running(&stat("sh", "Z", "4194560")), None);
        assert_eq!(running(&stat("kthreadd", "S", "2129984")), None);
        for broken in ["", "77", "77 (sh", "77 (sh) S", "x (sh) S 1 1 1 1 1 0"] {
            assert_eq!(running(broken), None, "{broken}");
        }
    }

    #[test]
    fn a_process_is_found_and_ended() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let process = find(child.id()).unwrap();
        assert!(others().contains(&process));
        assert_eq!(process.user(), Some(rustix::process::getuid().as_raw()));
        assert_eq!(wait_for_end(vec![process], Duration::from_millis(5)), [process]);
        process.signal(Signal::TERM);
        // Ended is ended, whether its parent has collected it or not.
        assert_eq!(wait_for_end(vec![process], Duration::from_secs(60)), []);
        child.wait().unwrap();
        assert_eq!((process.user(), find(child.id())), (None, None));
        process.signal(Signal::KILL);
    }
}
