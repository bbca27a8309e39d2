//! What the node agent asks: its plan, its secrets, and what it reports.

mod take_over;

use super::App;
use super::answer::{Answer, Refused, refuse};
use super::auth::Booting;
use crate::clock::now_unix_ns;
use crate::deployment::transition::Event;
use crate::deployment::{Application, Blame, Deployment, Failure, Mark, State, Way};
use crate::plan as boot_plan;
use crate::store::NodeRow;
use axum::Json;
use axum::extract::State as AppState;
use axum::http::HeaderMap;
use protocol::boot::{AgentStage, BOOT_ID_HEADER, BootPlan, Heartbeat, HeartbeatReply, Secrets};
use protocol::error::ErrorKind;
use protocol::profile::CpusLeft;

/// Longest boot id, in bytes; the kernel's has 36.
const BOOT_ID_BYTES_MAX: usize = 64;

/// `GET` the plan.
pub(super) async fn plan(
    AppState(app): AppState<App>,
    Booting(one): Booting,
) -> Answer<Json<BootPlan>> {
    require_booting(&one)?;
    let node = node_of(&app, &one)?;
    let pin = app.engine.store.pin(one.id)?;
    match boot_plan::plan(&app.engine.config, &node.definition, &one, &pin) {
        Ok(plan) => Ok(Json(plan)),
        Err(error) => Err(site_file_missing(&app, &one, &error)),
    }
}

/// `POST`: the secrets, once; a boot whose answer was lost with us may ask again soon.
pub(super) async fn secrets(
    AppState(app): AppState<App>,
    Booting(one): Booting,
    headers: HeaderMap,
) -> Answer<Json<Secrets>> {
    require_booting(&one)?;
    let boot_id = headers
        .get(BOOT_ID_HEADER)
        .and_then(|value| value.to_str().ok())
        .filter(|id| !id.is_empty() && id.len() <= BOOT_ID_BYTES_MAX)
        .ok_or_else(|| refuse(ErrorKind::User, format!("no {BOOT_ID_HEADER} header")))?;
    let node = node_of(&app, &one)?;
    let secrets = match boot_plan::secrets(&app.engine.config, &node.definition) {
        Ok(secrets) => secrets,
        Err(error) => return Err(site_file_missing(&app, &one, &error)),
    };
    if app.engine.store.take_secrets(one.id, boot_id, now_unix_ns())? {
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
    app.engine.signs.heard(&one.node);
    if one.state >= State::PoweringOff {
        return Ok(Json(HeartbeatReply { wanted: take_over::goes_on(&app, &one, &report)? }));
    }
    if one.boot_id.as_ref().is_some_and(|known| known != &report.boot_id) {
        fail(&app, &one, Blame::Node, "reports from another boot: the node was reset")?;
        return Ok(Json(HeartbeatReply { wanted: false }));
    }
    if one.state == State::TakingOver && !take_over::is_as_asked(&app, &one, &report)? {
        return Ok(Json(HeartbeatReply { wanted: false }));
    }
    app.engine.is_alive(one.id);
    app.engine.store.note_agent(one.id, &report.boot_id, &report.applied)?;
    let mut marks = marks(&report, now_unix_ns());
    if one.way == Way::Adopt {
        // All else was reached for another deployment.
        marks.retain(|(mark, _)| *mark == Mark::ApplicationReady);
    }
    app.engine.report(one.id, &Event::Agent(furthest(&report)), &marks)?;
    let set_up = report.stages.iter().any(|entry| entry.stage == AgentStage::ApplicationReady);
    if set_up && one.application == Application::Awaited {
        app.engine.apply(one.id, &Event::ApplicationReady)?;
    }
    if let Some(failure) = &report.failure {
        let blame = if failure.setting { Blame::Job } else { Blame::Node };
        fail(&app, &one, blame, &failure.reason)?;
        return Ok(Json(HeartbeatReply { wanted: false }));
    }
    if let Some(Failure { blame, reason }) = unfit(&app, &one, &report)? {
        fail(&app, &one, blame, &reason)?;
        return Ok(Json(HeartbeatReply { wanted: false }));
    }
    Ok(Json(HeartbeatReply { wanted: true }))
}

/// How far the boot is. The application image is set up beside it, in its own time.
fn furthest(report: &Heartbeat) -> AgentStage {
    let stages = report.stages.iter().map(|entry| entry.stage);
    let of_boot = stages.filter(|stage| *stage != AgentStage::ApplicationReady);
    of_boot.max().unwrap_or(AgentStage::AgentStarted)
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
    if matches!(one.state, State::TakingOver | State::Booting | State::Starting) {
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

/// Whether the node's CPUs are not those its kernel is to leave, or there is less memory than the node
/// has, from the report of a boot.
fn unfit(app: &App, one: &Deployment, report: &Heartbeat) -> Answer<Option<Failure>> {
    if report.cpus_online == 0 || one.state > State::Starting {
        return Ok(None);
    }
    let node = node_of(app, one)?;
    let pin = app.engine.store.pin(one.id)?;
    let expected = boot_plan::cpus_expected(&pin.profile, &node.definition);
    let fault = cpus_fault(pin.profile.cpus, expected, report.cpus_online)
        .or_else(|| memory_fault(&pin.profile.arguments, node.definition.memory_mib?, report));
    Ok(fault
        .map(|(blame, what)| Failure { blame, reason: format!("kernel {}: {what}", one.kernel) }))
}

/// Fewer CPUs than the profile leaves is a fault of the node, even where Slurm is told to overlook
/// it (`SlurmdParameters=config_overrides`, which profiles that take CPUs away need). More, where the
/// profile says that it takes some away, is a profile that does not do what it says: it would do no
/// better on another node. Where it takes none, only nodes.toml may be wrong, and no job needs that.
fn cpus_fault(left: CpusLeft, expected: u32, found: u32) -> Option<(Blame, String)> {
    let what = || format!("{found} CPUs are on-line, it leaves {expected}");
    if found < expected {
        Some((Blame::Node, what()))
    } else if found > expected && left != CpusLeft::All {
        Some((Blame::Job, what()))
    } else {
        None
    }
}

/// Less memory than Slurm gives to jobs is a fault of the node, unless the profile takes some away.
/// Slurm itself is told to overlook it, as with CPUs.
fn memory_fault(
    arguments: &[String],
    expected_mib: u32,
    report: &Heartbeat,
) -> Option<(Blame, String)> {
    const TAKES_SOME: [&str; 4] = ["mem=", "memmap=", "crashkernel=", "reserve_mem="];
    let (found_mib, expected) = (report.memory_kib / 1024, u64::from(expected_mib));
    // Another kernel may keep a little more for itself; a module that is gone is a larger part. None: it
    // was not read.
    if report.memory_kib == 0 || found_mib >= expected - expected / 32 {
        return None;
    }
    let is_less = |one: &String| TAKES_SOME.iter().any(|name| one.starts_with(name));
    let blame = if arguments.iter().any(is_less) { Blame::Job } else { Blame::Node };
    Some((blame, format!("{found_mib} MiB of memory are there, the node has {expected_mib}")))
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
            AgentStage::ApplicationReady => Mark::ApplicationReady,
            AgentStage::ShuttingDown | AgentStage::Jumping => return None,
        };
        Some((mark, on_our_clock(entry.uptime_ns)))
    });
    [(Mark::KernelStarted, kernel_started)].into_iter().chain(stages).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::application_tests::Fixture;
    use protocol::boot::StageTime;

    #[test]
    fn missing_cpus_are_the_nodes_fault_and_too_many_the_profiles() {
        let blame = |left, found| cpus_fault(left, 2, found).map(|(blame, _)| blame);
        for left in [CpusLeft::All, CpusLeft::OnePerCore, CpusLeft::AllButOffline] {
            assert_eq!(blame(left, 2), None);
            assert_eq!(blame(left, 1), Some(Blame::Node));
        }
        // smt-off with both threads of each core still there.
        assert_eq!(blame(CpusLeft::OnePerCore, 4), Some(Blame::Job));
        assert_eq!(blame(CpusLeft::AllButOffline, 3), Some(Blame::Job));
        assert_eq!(blame(CpusLeft::All, 4), None);
    }

    #[test]
    fn missing_memory_is_the_nodes_fault_unless_the_profile_takes_it() {
        let report = Heartbeat { memory_kib: 500 << 10, ..report(vec![]) };
        let blame = |arguments: &[&str], expected| {
            let arguments: Vec<String> = arguments.iter().map(|&one| one.into()).collect();
            memory_fault(&arguments, expected, &report).map(|(blame, _)| blame)
        };
        assert_eq!(blame(&["mem=1G"], 500), None);
        assert_eq!(blame(&["quiet"], 516), None, "a debug kernel");
        assert_eq!(blame(&["quiet"], 520), Some(Blame::Node));
        assert_eq!(blame(&["quiet", "mem=500M"], 520), Some(Blame::Job));
        let unread = Heartbeat { memory_kib: 0, ..report.clone() };
        assert_eq!(memory_fault(&[], 520, &unread), None);
    }

    #[tokio::test]
    async fn a_report_of_another_boot_shows_that_the_node_was_reset() {
        for state in [State::Ready, State::Ended, State::Kept] {
            let fixture = Fixture::new(false);
            let store = &fixture.app.engine.store;
            store.note_agent(fixture.in_state(state).id, "b", &[]).unwrap();
            let hears = async |boot_id: &str| {
                let one = fixture.in_state(state);
                let report = Heartbeat { boot_id: boot_id.into(), ..report(vec![]) };
                let app = AppState(fixture.app.clone());
                heartbeat(app, Booting(one), Json(report)).await.unwrap().0.wanted
            };
            assert!(hears("b").await, "{state:?}");
            assert!(!hears("c").await, "{state:?}");
            let failed = store.deployment(fixture.in_state(state).id).unwrap().unwrap();
            let failure = failed.failure.unwrap();
            assert_eq!(failure.reason, "reports from another boot: the node was reset");
            assert_eq!(failure.blame, Blame::Node);
        }
    }

    fn report(stages: Vec<StageTime>) -> Heartbeat {
        Heartbeat {
            boot_id: "b".into(),
            kernel_release: "k".into(),
            uptime_ns: 5,
            stages,
            cpus_online: 0,
            memory_kib: 0,
            applied: vec![],
            failure: None,
            memory_cleared: None,
        }
    }

    #[test]
    fn an_image_that_is_set_up_early_is_no_stage_of_the_boot() {
        let at = |stage| StageTime { stage, uptime_ns: 1 };
        let early = report(vec![at(AgentStage::InitStarted), at(AgentStage::ApplicationReady)]);
        assert_eq!(furthest(&early), AgentStage::InitStarted);
        assert!(marks(&early, 100).iter().any(|(mark, _)| *mark == Mark::ApplicationReady));
        assert_eq!(furthest(&report(vec![])), AgentStage::AgentStarted);
    }

    #[test]
    fn stages_are_dated_back_from_the_nodes_uptime() {
        let stages = vec![
            StageTime { stage: AgentStage::AgentStarted, uptime_ns: 2_000 },
            // A node that claims to know the future is held to the present.
            StageTime { stage: AgentStage::InitStarted, uptime_ns: 99_000 },
        ];
        let report = Heartbeat { uptime_ns: 5_000, ..report(stages) };
        let expected = [
            (Mark::KernelStarted, 95_000),
            (Mark::AgentStarted, 97_000),
            (Mark::InitStarted, 100_000),
        ];
        assert_eq!(marks(&report, 100_000), expected);
    }
}
