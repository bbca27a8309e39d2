//! What Slurm's power programs say. They may come before, after, or without a job's request.

use super::App;
use super::answer::{Answer, Refused, blocking};
use super::auth::Signed;
use super::node::boot_default;
use crate::clock::now_unix_ns;
use crate::deployment::transition::Event;
use crate::deployment::{Deployment, Mark, State};
use crate::power::{Order, PowerOff};
use crate::slurm_queue::Word;
use axum::Json;
use axum::extract::State as AppState;
use protocol::api::NodesRequest;
use protocol::names::NodeName;

/// `POST`: ResumeProgram wants nodes. Those for a job are left to the job's own request, which
/// PrologSlurmctld brings at the same time; the others boot the default kernel.
pub(super) async fn resume(
    AppState(app): AppState<App>,
    Signed { caller, body }: Signed<NodesRequest>,
) -> Answer<Json<()>> {
    caller.require_admin()?;
    blocking(move || want(&app, &body)).await
}

pub(super) fn want(app: &App, body: &NodesRequest) -> Answer<Json<()>> {
    for_each(app, &body.nodes, |node, newest| {
        if newest.is_some_and(|one| !one.state.has_given_node_back()) {
            return Ok(());
        }
        if body.for_jobs.contains(node) {
            return Ok(app.engine.store.set_wanted(node, Some(now_unix_ns()))?);
        }
        boot_default(app, node)
    })
}

/// `POST`: SuspendProgram gives nodes back: power them off.
pub(super) async fn suspend(
    AppState(app): AppState<App>,
    Signed { caller, body }: Signed<NodesRequest>,
) -> Answer<Json<()>> {
    caller.require_admin()?;
    // A thousand nodes are a thousand transactions: not on a thread that others wait for.
    blocking(move || give_back(&app, &body.nodes)).await
}

fn give_back(app: &App, nodes: &[NodeName]) -> Answer<Json<()>> {
    for_each(app, nodes, |node, newest| {
        app.engine.store.set_wanted(node, None)?;
        match newest {
            Some(one) => app.engine.apply(one.id, &Event::GivenBack)?,
            // Never used: it is off, or somebody has it on by hand, which Slurm overrules.
            None => {
                app.engine.fleet.order(node, Order::Off(PowerOff::default()));
                app.engine.slurm.say(Word::Resume(node.clone()));
            }
        }
        Ok(())
    })
}

/// `POST`: ResumeFailProgram: slurmctld waited longer than ResumeTimeout and set the nodes DOWN.
pub(super) async fn resume_fail(
    AppState(app): AppState<App>,
    Signed { caller, body }: Signed<NodesRequest>,
) -> Answer<Json<()>> {
    caller.require_admin()?;
    blocking(move || resume_failed(&app, &body.nodes)).await
}

fn resume_failed(app: &App, nodes: &[NodeName]) -> Answer<Json<()>> {
    for_each(app, nodes, |node, newest| {
        app.engine.store.set_wanted(node, None)?;
        let Some(one) = newest else { return Ok(()) };
        let marks = app.engine.store.marks(one.id)?;
        // An earlier use of the node, which it has nothing to do with.
        let has_run = marks.iter().any(|(mark, _)| *mark == Mark::JobStarted);
        if !has_run {
            app.engine.apply(one.id, &Event::ResumeTimedOut)?;
        }
        Ok(())
    })
}

/// `POST`: RebootProgram: an admin wants nodes booted anew. slurmctld waits until a node is idle, so
/// a node that a job has is left alone. The new deployment puts an end to the one before it.
pub(super) async fn reboot(
    AppState(app): AppState<App>,
    Signed { caller, body }: Signed<NodesRequest>,
) -> Answer<Json<()>> {
    caller.require_admin()?;
    blocking(move || boot_anew(&app, &body.nodes)).await
}

fn boot_anew(app: &App, nodes: &[NodeName]) -> Answer<Json<()>> {
    for_each(app, nodes, |node, newest| {
        let in_use = |one: &Deployment| one.state < State::Ended;
        match newest.filter(in_use).and_then(|one| one.job) {
            Some(job) => log::warn!("node={node} is not rebooted: job {job} has it"),
            None => boot_default(app, node)?,
        }
        Ok(())
    })
}

/// Slurm's programs are the whole cluster's: nodes that are not ours are passed over. What fails for
/// one node is done for the others all the same; the first failure is the answer.
fn for_each(
    app: &App,
    nodes: &[NodeName],
    mut act: impl FnMut(&NodeName, Option<Deployment>) -> Answer<()>,
) -> Answer<Json<()>> {
    let mut first = Ok(Json(()));
    for node in nodes {
        if app.engine.store.node(node)?.is_none() {
            log::warn!("node={node} is named by slurmctld, but is not defined: bmc node import");
            continue;
        }
        let acted = app.engine.store.current_on(node).map_err(Refused::from);
        if let Err(refused) = acted.and_then(|newest| act(node, newest)) {
            log::error!("node={node}: {}", refused.0);
            first = first.and(Err(refused));
        }
    }
    first
}
