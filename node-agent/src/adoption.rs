//! The node goes on as another job's, without a boot: what the job before left is removed, and what the
//! next one asked for is looked at again.

use crate::leftovers;
use crate::limit::within;
use crate::machine::{cpus_online, memory};
use crate::orders::Node;
use crate::server::Server;
use crate::{application, settings, slurmd};
use anyhow::{Context as _, Result, anyhow, bail};
use protocol::boot::{Adoption, AgentStage, AppliedSetting};
use std::sync::{Arc, mpsc};
use std::time::Duration;

/// How long all of it may take; the image is set up afterwards, in its own time.
const STEPS: Duration = Duration::from_secs(20);

/// Makes the node the next deployment's, and reports so with its token. On an error nothing was reported.
pub(crate) fn take_over(node: &Node, next: &Arc<Server>, order: &Adoption) -> Result<()> {
    let applied = node.reporter.heartbeat().applied;
    let (wanted, slurmd, at_first) = (order.clone(), node.slurmd, node.available_kib);
    let slurmd = within(STEPS, move || prepare(&wanted, &applied, slurmd, at_first))
        .map_err(|_| anyhow!("its preparation has not ended after {} s", STEPS.as_secs()))??;
    let is_new = node.reporter.go_on(next.clone(), |heartbeat| {
        heartbeat.stages.retain(|known| known.stage != AgentStage::ApplicationReady);
        heartbeat.cpus_online = cpus_online();
        heartbeat.memory_kib = memory("MemTotal");
    });
    if !is_new {
        bail!("the node shuts down");
    }
    if order.application {
        let (is_there, seen) = mpsc::channel();
        is_there.send(slurmd).ok();
        application::start(next.clone(), node.reporter.clone(), seen);
    }
    Ok(())
}

/// Gives slurmd's process id.
fn prepare(
    wanted: &Adoption,
    applied: &[AppliedSetting],
    slurmd: u32,
    at_first_kib: u64,
) -> Result<u32> {
    let clear = if wanted.application { application::clear } else { application::declare_none };
    clear().context("letting go of the application image of the job before")?;
    leftovers::remove()?;
    let slurmd = slurmd::pid(slurmd).context("slurmd does not run any more")?;
    check_cpus(wanted.cpus_online, cpus_online())?;
    settings::still_applied(applied)?;
    leftovers::check_memory(at_first_kib)?;
    Ok(slurmd)
}

fn check_cpus(wanted: u32, found: u32) -> Result<()> {
    if found != wanted {
        bail!("{found} CPUs are on-line, {wanted} are asked for");
    }
    Ok(())
}
