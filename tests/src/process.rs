//! Looks processes up in `/proc`: who they are, when they started, how much CPU time they used.
//! It starts and ends nothing, and knows nothing of clusters or nodes.

use std::fs;
use std::path::Path;

/// Clock ticks a second in `/proc/PID/stat` (`USER_HZ`, fixed at 100 in the kernel's interface).
pub const TICKS_PER_SECOND: u64 = 100;

/// The numbers of `/proc/PID/stat` that we use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessStat {
    /// The parent's process id.
    pub parent: u32,
    /// CPU time of all its threads, user and system, in clock ticks.
    pub cpu_ticks: u64,
    /// When it started, in clock ticks since the machine booted. Tells a process from a later one
    /// with the same id.
    pub start_ticks: u64,
}

/// Reads the process's numbers, or `None` when there is no such process (or only its zombie).
#[must_use]
pub fn stat(pid: u32) -> Option<ProcessStat> {
    stat_below(Path::new("/proc"), pid)
}

/// As [`stat`], where the process has its id in another namespace, whose `/proc` this is.
#[must_use]
pub fn stat_below(proc: &Path, pid: u32) -> Option<ProcessStat> {
    parse_stat(&fs::read_to_string(proc.join(pid.to_string()).join("stat")).ok()?)
}

fn parse_stat(text: &str) -> Option<ProcessStat> {
    // The command name stands in parentheses and may hold spaces and parentheses itself.
    let (_, rest) = text.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    if *fields.first()? == "Z" {
        return None;
    }
    let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
    Some(ProcessStat {
        parent: u32::try_from(number(1)?).ok()?,
        cpu_ticks: number(11)? + number(12)?,
        start_ticks: number(19)?,
    })
}

/// The process's arguments, none when it does not exist or has begun to end.
#[must_use]
pub fn arguments(pid: u32) -> Vec<String> {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    bytes
        .split(|byte| *byte == 0)
        .filter(|part| !part.is_empty())
        .map(|part| String::from_utf8_lossy(part).into_owned())
        .collect()
}

/// All process ids that `/proc` shows.
#[must_use]
pub fn all() -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// The identity of a namespace of the process, e.g. `net`, as the kernel prints it.
#[must_use]
pub fn namespace(pid: u32, kind: &str) -> Option<String> {
    let link = fs::read_link(format!("/proc/{pid}/ns/{kind}")).ok()?;
    Some(link.to_string_lossy().into_owned())
}

/// The number in a pid file, or `None` when there is none.
#[must_use]
pub fn read_pid_file(path: &Path) -> Option<u32> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// Seconds since the machine booted, in clock ticks: the clock of [`ProcessStat::start_ticks`].
#[must_use]
pub fn uptime_ticks() -> Option<u64> {
    let text = fs::read_to_string("/proc/uptime").ok()?;
    let (seconds, hundredths) = text.split_whitespace().next()?.split_once('.')?;
    Some(seconds.parse::<u64>().ok()? * TICKS_PER_SECOND + hundredths.parse::<u64>().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let text = "7 (a) b) S 3 7 7 0 -1 0 0 0 0 0 11 22 0 0 20 0 1 0 5555 1 1";
        let expected = ProcessStat { parent: 3, cpu_ticks: 33, start_ticks: 5555 };
        assert_eq!(parse_stat(text), Some(expected));
    }

    #[test]
    fn a_zombie_is_no_process() {
        assert_eq!(parse_stat("7 (a) Z 3 7 7 0 -1 0 0 0 0 0 11 22 0 0 20 0 1 0 5555 1"), None);
    }

    #[test]
    fn we_find_ourselves() {
        let pid = std::process::id();
        assert!(all().contains(&pid));
        assert!(stat(pid).unwrap().start_ticks <= uptime_ticks().unwrap());
        assert!(namespace(pid, "net").unwrap().starts_with("net:["));
    }
}
