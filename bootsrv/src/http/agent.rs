//! What the node agent asks: its plan, its secrets, and what it reports.

use super::App;
use super::answer::{Answer, Refused, refuse};
use super::auth::Booting;
use crate::clock::now_unix_ns;
use crate::deployment::transition::Event;
use crate::deployment::{Blame, Deployment, Failure, Mark, State};
use crate::store::NodeRow;
use crate::{catalog, plan as boot_plan};
use axum::Json;
use axum::extract::State as AppState;
use protocol::boot::{AgentStage, BootPlan, Heartbeat, HeartbeatReply, Secrets};
use protocol::error::ErrorKind;
use protocol::profile::Asker;

/// `GET` the plan.
pub(super) async fn plan(
    AppState(app): AppState<App>,
    Booting(one): Booting,
) -> Answer<Json<BootPlan>> {
    require_booting(&one)?;
    let node = node_of(&app, &one)?;
    let choice = catalog::find(&app.engine.config, &app.hub, &one.kernel, Asker::default())?;
    let image = catalog::image(&app.hub, &one.image)?;
    match boot_plan::plan(&app.engine.config, &node.definition, &one, &choice, &image) {
        Ok(plan) => Ok(Json(plan)),
        Err(error) => Err(site_file_missing(&app, &one, &error)),
    }
}

/// `POST`: the secrets, once.
pub(super) async fn secrets(
    AppState(app): AppState<App>,
    Booting(one): Booting,
) -> Answer<Json<Secrets>> {
    require_booting(&one)?;
    let node = node_of(&app, &one)?;
    let secrets = match boot_plan::secrets(&app.engine.config, &node.definition) {
        Ok(secrets) => secrets,
        Err(error) => return Err(site_file_missing(&app, &one, &error)),
    };
    if app.engine.store.take_secrets(one.id)? {
        return Ok(Json(secrets));
    }
    let reason =
        "its secrets were asked for twice: the agent was restarted or the token was stolen";
    fail(&app, &one, Blame::Node, reason)?;
    Err(refuse(ErrorKind::Forbidden, reason))
}

/// `POST`: a report. It repeats everything, so the first time of each mark counts.
pub(super) async fn heartbeat(
    AppState(app): AppState<App>,
    Booting(one): Booting,
    Json(report): Json<Heartbeat>,
) -> Answer<Json<HeartbeatReply>> {
    let wanted = one.state < State::PoweringOff;
    if !wanted {
        return Ok(Json(HeartbeatReply { wanted }));
    }
    if one.boot_id.as_ref().is_some_and(|known| known != &report.boot_id) {
        fail(&app, &one, Blame::Node, "reports from another boot: the node was reset")?;
        return Ok(Json(HeartbeatReply { wanted: false }));
    }
    app.engine.store.note_agent(one.id, &report.boot_id, &report.applied)?;
    let marks = marks(&report, now_unix_ns());
    let furthest =
        report.stages.iter().map(|entry| entry.stage).max().unwrap_or(AgentStage::AgentStarted);
    app.engine.apply_at(one.id, &Event::Agent(furthest), &marks)?;
    if let Some(failure) = &report.failure {
        let blame = if failure.setting { Blame::Job } else { Blame::Node };
        fail(&app, &one, blame, &failure.reason)?;
        return Ok(Json(HeartbeatReply { wanted: false }));
    }
    if let Some(reason) = unfit(&app, &one, &report)? {
        fail(&app, &one, Blame::Node, &reason)?;
        return Ok(Json(HeartbeatReply { wanted: false }));
    }
    Ok(Json(HeartbeatReply { wanted }))
}

/// The site's mistake, and the same on every node: the job is held with the file's name, instead of
/// draining one node after the other.
fn site_file_missing(app: &App, one: &Deployment, error: &boot_plan::SiteFileError) -> Refused {
    let reason = crate::chain(error);
    match fail(app, one, Blame::Job, &reason) {
        Ok(()) => refuse(ErrorKind::Site, reason),
        Err(refused) => refused,
    }
}

fn require_booting(one: &Deployment) -> Answer<()> {
    if matches!(one.state, State::Booting | State::Starting) {
        return Ok(());
    }
    Err(refuse(ErrorKind::Forbidden, format!("{} is not booting", one.node)))
}

fn node_of(app: &App, one: &Deployment) -> Answer<NodeRow> {
    let missing = || refuse(ErrorKind::Site, format!("node {} is no longer defined", one.node));
    app.engine.store.node(&one.node)?.ok_or_else(missing)
}

fn fail(app: &App, one: &Deployment, blame: Blame, reason: &str) -> Answer<()> {
    // The text comes from the node: one line, and not longer than a drain reason.
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    let reason = reason.chars().map(clean).take(250).collect();
    app.engine.apply(one.id, &Event::Failed(Failure { blame, reason }))?;
    Ok(())
}

/// Fewer CPUs than the profile leaves is a fault of the node, even where Slurm is told to overlook
/// it (`SlurmdParameters=config_overrides`, which profiles that take CPUs away need).
fn unfit(app: &App, one: &Deployment, report: &Heartbeat) -> Answer<Option<String>> {
    if report.cpus_online == 0 || one.state > State::Starting {
        return Ok(None);
    }
    let node = node_of(app, one)?;
    let choice = catalog::find(&app.engine.config, &app.hub, &one.kernel, Asker::default())?;
    let expected = boot_plan::cpus_expected(&choice.profile, &node.definition);
    let found = report.cpus_online;
    Ok((found < expected)
        .then(|| format!("has {found} CPUs on-line, kernel {} leaves {expected}", one.kernel)))
}

/// The stages as marks on our clock: the node's clock is only used for differences.
fn marks(report: &Heartbeat, now: i64) -> Vec<(Mark, i64)> {
    let kernel_started = now.saturating_sub(report.uptime_ns);
    let on_our_clock =
        |uptime: i64| kernel_started.saturating_add(uptime.clamp(0, report.uptime_ns.max(0)));
    let stages = report.stages.iter().filter_map(|entry| {
        let mark = match entry.stage {
            AgentStage::AgentStarted => Mark::AgentStarted,
            AgentStage::PlanReceived => Mark::PlanReceived,
            AgentStage::SettingsApplied => Mark::SettingsApplied,
            AgentStage::RootReady => Mark::RootReady,
            AgentStage::InitStarted => Mark::InitStarted,
            AgentStage::SlurmdStarted => Mark::SlurmdStarted,
            AgentStage::ShuttingDown => return None,
        };
        Some((mark, on_our_clock(entry.uptime_ns)))
    });
    [(Mark::KernelStarted, kernel_started)].into_iter().chain(stages).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::boot::StageTime;

    #[test]
    fn stages_are_dated_back_from_the_nodes_uptime() {
        let report = Heartbeat {
            boot_id: "b".into(),
            kernel_release: "k".into(),
            uptime_ns: 5_000,
            stages: vec![
                StageTime { stage: AgentStage::AgentStarted, uptime_ns: 2_000 },
                // A node that claims to know the future is held to the present.
                StageTime { stage: AgentStage::InitStarted, uptime_ns: 99_000 },
            ],
            cpus_online: 0,
            memory_kib: 0,
            applied: vec![],
            failure: None,
        };
        let expected = [
            (Mark::KernelStarted, 95_000),
            (Mark::AgentStarted, 97_000),
            (Mark::InitStarted, 100_000),
        ];
        assert_eq!(marks(&report, 100_000), expected);
    }
}
