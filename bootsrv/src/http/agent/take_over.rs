//! Reports about a running node that goes from one deployment to the next.

use super::super::App;
use super::super::answer::Answer;
use super::unfit;
use crate::clock::now_unix_ns;
use crate::deployment::transition::Event;
use crate::deployment::{Deployment, Mark, State, Way};
use protocol::boot::{AgentStage, Heartbeat};

/// Whether a node whose deployment is over goes on all the same, because the next one is about to take
/// it over. Its last word before it starts the next kernel dates the jump.
pub(super) fn goes_on(app: &App, over: &Deployment, report: &Heartbeat) -> Answer<bool> {
    let newest = app.engine.store.current_on(&over.node)?;
    let is_next = |next: &Deployment| {
        next.state == State::TakingOver
            && next.taken_from == Some(over.id)
            && over.boot_id.as_ref() == Some(&report.boot_id)
    };
    let Some(next) = newest.filter(is_next) else { return Ok(false) };
    let jumping = report.stages.iter().find(|entry| entry.stage == AgentStage::Jumping);
    if let Some(jumping) = jumping {
        let ago = report.uptime_ns.saturating_sub(jumping.uptime_ns).max(0);
        let at = now_unix_ns().saturating_sub(ago);
        app.engine.store.change(next.id, None, None, &[(Mark::Jumped, at)], at)?;
    }
    Ok(true)
}

/// The first reports of a node that is being taken over. `false`: it is not what it has to be, and
/// boots instead.
pub(super) fn is_as_asked(app: &App, one: &Deployment, report: &Heartbeat) -> Answer<bool> {
    let before =
        one.taken_from.map(|from| app.engine.store.deployment(from)).transpose()?.flatten();
    let booted_before = before.and_then(|before| before.boot_id);
    let same_boot = booted_before.as_ref() == Some(&report.boot_id);
    let fault = match (&report.failure, one.way) {
        (Some(failure), _) => Some(failure.reason.clone()),
        (None, Way::Adopt) if !same_boot => Some("is not in the boot it was in".into()),
        (None, Way::Kexec) if same_boot => Some("still runs the kernel it had".into()),
        (None, _) => unfit(app, one, report)?.map(|failure| failure.reason),
    };
    let uncleared = one.way == Way::Kexec
        && app.engine.store.clears_memory(one.id)?
        && report.memory_cleared == Some(false);
    if uncleared {
        app.engine.signs.note_cannot_clear(app.engine.store.pin(one.id)?.vmlinuz.sha256);
    }
    let Some(fault) = fault.or_else(|| uncleared.then(|| "did not clear its memory".into())) else {
        return Ok(true);
    };
    let fault: String = fault.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    log::warn!("node={} cannot be taken over: {fault}", one.node);
    app.engine.apply(one.id, &Event::TakeOverFailed)?;
    Ok(false)
}
