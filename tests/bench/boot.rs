//! What one boot shows of itself: the node's QEMU, its console and slurmctld's log, all by the
//! host's clock.

use crate::watch::{Followed, now_unix_ns};
use anyhow::{Context, Result};
use std::path::Path;
use tests::cluster::holder::Holder;
use tests::cluster::layout::RunDir;
use tests::cluster::{Cluster, Node};
use tests::process::{self, TICKS_PER_SECOND};

/// slurmctld's log, in the run directory.
pub(crate) const SLURMCTLD_LOG: &str = "log/slurm/slurmctld.log";
/// The terminal reset that the start code of a Linux kernel makes when it sets the video mode, before
/// it leaves real mode: milliseconds after the kernel's first instruction, and the first sign of it.
const TERMINAL_RESET: &str = "\u{1b}c";
const SECOND_NS: i64 = 1_000_000_000;

/// How a node's QEMU stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Machine {
    /// When the process started, to a hundredth of a second.
    pub(crate) started_unix_ns: i64,
    /// The processor time it has used, in seconds.
    pub(crate) cpu_seconds: f64,
}

impl Machine {
    /// The node's QEMU now; `None`: it does not run.
    pub(crate) fn now(cluster: &Cluster, node: Node) -> Option<Self> {
        let run = RunDir::new(cluster.dir()).ok()?;
        let pid = process::read_pid_file(&run.node(node).join("qemu.pid"))?;
        // Its id is one of the cluster's own.
        let proc = format!("/proc/{}/root/proc", Holder::find(&run)?.init_pid());
        let stat = process::stat_below(Path::new(&proc), pid)?;
        let age = process::uptime_ticks()?.checked_sub(stat.start_ticks)?;
        let age_ns = i64::try_from(age).ok()? * (SECOND_NS / 100);
        #[expect(clippy::cast_precision_loss, reason = "clock ticks of one boot are few")]
        let cpu_seconds = stat.cpu_ticks as f64 / TICKS_PER_SECOND as f64;
        Some(Self { started_unix_ns: now_unix_ns() - age_ns, cpu_seconds })
    }
}

/// QEMU's processor time between two moments, each taken when it is first seen.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ProcessorTime {
    from: Option<f64>,
    to: Option<f64>,
}

impl ProcessorTime {
    /// Takes a reading for each moment that has come and has none yet.
    pub(crate) fn look(&mut self, cluster: &Cluster, node: Node, begun: bool, ended: bool) {
        for (moment, has_come) in [(&mut self.from, begun), (&mut self.to, ended)] {
            if has_come && moment.is_none() {
                *moment = Machine::now(cluster, node).map(|machine| machine.cpu_seconds);
            }
        }
    }

    /// The time between them in seconds, or why it is unknown.
    pub(crate) fn seconds(self) -> Result<f64, String> {
        let between = self.from.zip(self.to).map(|(from, to)| to - from);
        between.ok_or_else(|| "QEMU's processor time was not seen".to_owned())
    }
}

/// slurmctld's line when a node registers after having been off.
pub(crate) fn registers(node: Node) -> String {
    format!("Node {node} now responding")
}

/// Follows slurmctld's log.
pub(crate) fn slurmctld_log(cluster: &Cluster) -> Result<Followed> {
    Followed::from_now(&cluster.dir().join(SLURMCTLD_LOG))
}

/// Follows a node's console.
pub(crate) fn console(cluster: &Cluster, node: Node) -> Result<Followed> {
    Followed::from_now(&cluster.console_path(node)).with_context(|| format!("console of {node}"))
}

/// When the kernel's first instruction ran. The firmware's own reset of the terminal comes first, the
/// kernel's is the second since power on.
pub(crate) fn kernel_start(console: &Followed) -> Option<i64> {
    console.in_order(&[TERMINAL_RESET, TERMINAL_RESET]).pop()?
}

/// When the kernel's clock (`CLOCK_BOOTTIME`) was 0, from the first line with its time on the console.
pub(crate) fn clock_zero(console: &Followed, mark: &str) -> Option<i64> {
    let (line, seen) = console.after(mark)?;
    let (seconds, thousandths) = line.split_whitespace().next()?.split_once('.')?;
    let milliseconds = seconds.parse::<i64>().ok()? * 1000 + thousandths.parse::<i64>().ok()?;
    Some(seen - milliseconds * 1_000_000)
}

/// Seconds between two moments, or why not.
pub(crate) fn seconds(from: Option<i64>, to: Option<i64>, what: &str) -> Result<f64, String> {
    let (Some(from), Some(to)) = (from, to) else { return Err(format!("{what} was not seen")) };
    #[expect(clippy::cast_precision_loss, reason = "seconds of one job, for people")]
    let seconds = (to - from) as f64 / SECOND_NS as f64;
    Ok(seconds)
}
