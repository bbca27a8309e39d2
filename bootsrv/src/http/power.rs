//! What Slurm's power programs say. They may come before, after, or without a job's request.

use super::App;
use super::answer::Answer;
use super::auth::Signed;
use super::node::boot_default;
use crate::clock::now_unix_ns;
use crate::deployment::transition::Event;
use crate::deployment::{Blame, Failure};
use crate::power::Order;
use crate::slurm_queue::Word;
use axum::Json;
use axum::extract::State as AppState;
use protocol::api::NodesRequest;

/// `POST`: ResumeProgram wants nodes. Those for a job are left to the job's own request, which
/// PrologSlurmctld brings at the same time; the others boot the default kernel.
pub(super) async fn resume(
    AppState(app): AppState<App>,
    Signed { caller, body }: Signed<NodesRequest>,
) -> Answer<Json<()>> {
    caller.require_admin()?;
    for node in &body.nodes {
        if app.engine.store.node(node)?.is_none() {
            log::warn!("node={node} is wanted by slurmctld, but is not defined: bmc node import");
            continue;
        }
        let live =
            app.engine.store.newest_on(node)?.is_some_and(|one| !one.state.has_given_node_back());
        if live {
            continue;
        }
        if body.for_jobs.contains(node) {
            app.engine.store.set_wanted(node, Some(now_unix_ns()))?;
        } else {
            boot_default(&app, node)?;
        }
    }
    Ok(Json(()))
}

/// `POST`: SuspendProgram gives nodes back: power them off.
pub(super) async fn suspend(
    AppState(app): AppState<App>,
    Signed { caller, body }: Signed<NodesRequest>,
) -> Answer<Json<()>> {
    caller.require_admin()?;
    for node in &body.nodes {
        app.engine.store.set_wanted(node, None)?;
        match app.engine.store.newest_on(node)? {
            Some(one) => app.engine.apply(one.id, &Event::GivenBack)?,
            // Never used: it is off, or somebody has it on by hand, which Slurm overrules.
            None => {
                app.engine.fleet.order(node, Order::Off(None));
                app.engine.slurm.say(Word::Resume(node.clone()));
            }
        }
    }
    Ok(Json(()))
}

/// `POST`: ResumeFailProgram: slurmctld waited longer than ResumeTimeout and set the nodes DOWN.
pub(super) async fn resume_fail(
    AppState(app): AppState<App>,
    Signed { caller, body }: Signed<NodesRequest>,
) -> Answer<Json<()>> {
    caller.require_admin()?;
    for node in &body.nodes {
        app.engine.store.set_wanted(node, None)?;
        if let Some(one) = app.engine.store.newest_on(node)? {
            let reason = "did not register within Slurm's ResumeTimeout".to_owned();
            app.engine.apply(one.id, &Event::Failed(Failure { blame: Blame::Node, reason }))?;
        }
    }
    Ok(Json(()))
}

/// `POST`: RebootProgram: an admin wants nodes booted anew. slurmctld waits until a node is idle, so
/// a node that a job has is left alone. The new deployment puts an end to the one before it.
pub(super) async fn reboot(
    AppState(app): AppState<App>,
    Signed { caller, body }: Signed<NodesRequest>,
) -> Answer<Json<()>> {
    caller.require_admin()?;
    for node in &body.nodes {
        let newest = app.engine.store.newest_on(node)?;
        match newest.filter(|one| !one.state.has_given_node_back()).and_then(|one| one.job) {
            Some(job) => log::warn!("node={node} is not rebooted: job {job} has it"),
            None => boot_default(&app, node)?,
        }
    }
    Ok(Json(()))
}
