//! The least possible boot, measured as the product's is: see `tests::floor`.

use crate::boot::{self, ProcessorTime, kernel_start, registers, seconds};
use crate::watch::{Followed, until};
use anyhow::{Result, bail};
use std::time::Duration;
use tests::cluster::{Cluster, Node};
use tests::floor::{Floor, init};
use tests::product::wait_until;

const LIMIT: Duration = Duration::from_secs(60);

/// What one boot took; times in nanoseconds since 1970.
#[derive(Debug)]
pub(crate) struct Least {
    pub(crate) kernel_unix_ns: Option<i64>,
    pub(crate) clock_zero_unix_ns: Option<i64>,
    pub(crate) registered_unix_ns: Option<i64>,
    /// Of the node's QEMU from the kernel's start until the node is registered.
    pub(crate) cpu: ProcessorTime,
    /// What its first process says, each with the seconds of the kernel's clock.
    pub(crate) said: String,
}

/// Boots the node once and powers it off again.
pub(crate) fn measure(cluster: &Cluster, floor: &Floor, node: Node) -> Result<Least> {
    let (mut log, mut console) = (boot::slurmctld_log(cluster)?, boot::console(cluster, node)?);
    floor.start(cluster, node)?;
    let line = registers(node);
    let mut cpu = ProcessorTime::default();
    let seen = until(&mut [&mut log, &mut console], LIMIT, |files| {
        let kernel = files.last().and_then(|console| kernel_start(console));
        let registered = files.first().and_then(|log| log.first(&line));
        cpu.look(cluster, node, kernel.is_some(), registered.is_some());
        Ok(registered.is_some())
    })?;
    floor.stop(cluster, node)?;
    if !seen {
        bail!("the least possible boot did not register: {}", console.tail());
    }
    rest(cluster, node)?;
    let kernel_unix_ns = kernel_start(&console);
    let clock_zero_unix_ns = boot::clock_zero(&console, init::MARK);
    let registered_unix_ns = log.first(&line);
    Ok(Least {
        kernel_unix_ns,
        clock_zero_unix_ns,
        registered_unix_ns,
        cpu,
        said: said(&console, kernel_unix_ns, clock_zero_unix_ns, registered_unix_ns),
    })
}

/// The boot in one line, in seconds of the kernel's clock.
fn said(
    console: &Followed,
    kernel: Option<i64>,
    zero: Option<i64>,
    registered: Option<i64>,
) -> String {
    let at = |time, what: &str| {
        seconds(zero, time, what).map_or_else(|why| why, |at| format!("{at:.3} {what}"))
    };
    let (first, last) = (at(kernel, "first instruction"), at(registered, "registered"));
    format!("{first}, {}, {last}", console.lines_with(init::MARK))
}

/// Until slurmctld takes the node for powered down again: the boot server sees to it.
fn rest(cluster: &Cluster, node: Node) -> Result<()> {
    let name = format!("nodename={node}");
    cluster.check(&["scontrol", "update", &name, "state=power_down_force"])?;
    wait_until(Duration::from_secs(60), &format!("{node} is powered down for slurmctld"), || {
        let words = ["sinfo", "--noheader", "--Node", "--nodes", &node.to_string(), "--format=%t"];
        Ok(cluster.check(&words)?.trim() == "idle~")
    })
}
