//! How long programs take and how much memory they need at once, seen from outside: the resident sizes of
//! a process and all that come from it, added up.

use crate::watch::LOOK;
use ::tests::process;
use anyhow::{Context, Result, bail};
use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Between two looks at all processes; a look costs a millisecond or two.
const BETWEEN: Duration = Duration::from_millis(20);
const MIB: f64 = 1024.0 * 1024.0;

/// What a measured piece of work needed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Needed {
    /// Wall clock.
    pub(crate) seconds: f64,
    /// The most at once.
    pub(crate) mebibytes: f64,
}

impl Needed {
    /// One after the other.
    pub(crate) fn then(self, next: Self) -> Self {
        let mebibytes = self.mebibytes.max(next.mebibytes);
        Self { seconds: self.seconds + next.seconds, mebibytes }
    }
}

/// Runs a command to its end and watches it with all that it starts.
pub(crate) fn run(command: &mut Command) -> Result<Needed> {
    let start = Instant::now();
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("starting {command:?}"))?;
    let watch = Watch::start(child.id());
    let output = child.wait_with_output()?;
    let seconds = start.elapsed().as_secs_f64();
    let mebibytes = watch.end();
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{command:?}: {}: {}", output.status, said.trim());
    }
    Ok(Needed { seconds, mebibytes })
}

/// Watches a process until it is told to end.
#[derive(Debug)]
pub(crate) struct Watch {
    is_over: Arc<AtomicBool>,
    most: Arc<AtomicU64>,
    thread: JoinHandle<()>,
}

impl Watch {
    /// From now on.
    pub(crate) fn start(pid: u32) -> Self {
        let (is_over, most) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (over, seen) = (Arc::clone(&is_over), Arc::clone(&most));
        let thread = std::thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                seen.fetch_max(resident_bytes(pid), Ordering::Relaxed);
                std::thread::sleep(BETWEEN.max(LOOK));
            }
        });
        Self { is_over, most, thread }
    }

    /// The most that was seen, in MiB.
    pub(crate) fn end(self) -> f64 {
        self.is_over.store(true, Ordering::Relaxed);
        // It cannot panic, and what it has seen stays.
        self.thread.join().ok();
        mebibytes(self.most.load(Ordering::Relaxed))
    }
}

fn mebibytes(bytes: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a size for people")]
    let bytes = bytes as f64;
    bytes / MIB
}

/// The resident memory of a process and of all that come from it, in bytes.
fn resident_bytes(root: u32) -> u64 {
    let all: Vec<(u32, u32)> = process::all()
        .into_iter()
        .filter_map(|pid| Some((pid, process::stat(pid)?.parent)))
        .collect();
    let mut members = BTreeSet::from([root]);
    loop {
        let before = members.len();
        members.extend(
            all.iter().filter(|one| members.contains(&one.1)).map(|one| one.0).collect::<Vec<_>>(),
        );
        if members.len() == before {
            break;
        }
    }
    members.into_iter().filter_map(|pid| status_bytes(pid, "VmRSS:")).sum()
}

/// A size of `/proc/PID/status`.
fn status_bytes(pid: u32, name: &str) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_of_children_counts() {
        let hold = "x=$(head -c 30000000 /dev/zero | tr '\\0' x); sleep 0.3";
        let needed = run(Command::new("bash")
            .args(["-c", &format!("bash -c '{}'", hold.replace('\'', "'\\''"))]))
        .unwrap();
        assert!((28.0..200.0).contains(&needed.mebibytes), "{needed:?}");
        assert!((0.3..5.0).contains(&needed.seconds), "{needed:?}");
        assert!(run(&mut Command::new("false")).is_err());
    }
}
