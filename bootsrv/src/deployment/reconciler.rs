//! The loop that moves deployments on when nobody else does: free nodes, time limits, and what
//! slurmctld shows. It survives a restart because it reads everything from the store.

use super::engine::{Engine, is_free};
use super::transition::{Event, limit_seconds};
use super::{Deployment, State, view};
use crate::clock::{SECOND_NS, now_unix_ns};
use crate::slurm::Scontrol;
use crate::slurm_queue::Word;
use crate::store::StoreError;
use protocol::names::{JobId, NodeName};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// Longest sleep when nothing changes.
const TICK: Duration = Duration::from_millis(500);
/// Between two questions to slurmctld while a node is about to register: it decides how long a
/// job waits after its last node registered.
const REGISTER_LOOK: Duration = Duration::from_millis(60);
/// Between two comparisons of all idle nodes with what slurmctld shows.
const RESYNC: Duration = Duration::from_secs(15);
/// Between two thinnings of old readings.
const THIN: Duration = Duration::from_secs(3600);

/// Runs for ever.
pub async fn run(engine: Arc<Engine>, scontrol: Scontrol) {
    let mut comments: HashMap<JobId, String> = HashMap::new();
    let mut resync_at = Instant::now();
    let mut thin_at = Instant::now();
    loop {
        let registering = match step(&engine, &mut comments) {
            Ok(registering) => registering,
            Err(error) => {
                log::error!("reconciling: {}", crate::chain(&error));
                Vec::new()
            }
        };
        if !registering.is_empty() {
            see_registrations(&engine, &scontrol, &registering).await;
        }
        if engine.resync_wanted.swap(false, Ordering::Relaxed) || Instant::now() >= resync_at {
            resync(&engine, &scontrol).await;
            resync_at = Instant::now() + RESYNC;
        }
        if Instant::now() >= thin_at {
            thin(&engine);
            thin_at = Instant::now() + THIN;
        }
        let pause = if registering.is_empty() { TICK } else { REGISTER_LOOK };
        // Woken early by any change; a timeout is the normal case.
        drop(timeout(pause, engine.changed.notified()).await);
    }
}

/// Everything that needs no answer from outside. Returns what waits for its registration.
fn step(
    engine: &Engine,
    comments: &mut HashMap<JobId, String>,
) -> Result<Vec<Deployment>, StoreError> {
    let live = engine.store.live_deployments()?;
    let now = now_unix_ns();
    for one in &live {
        if one.state == State::Waiting {
            free_or_supersede(engine, one, &live)?;
        }
        if let Some(limit) = limit_seconds(one.state, &engine.config.limits)
            && now - one.since_unix_ns > i64::from(limit) * SECOND_NS
        {
            engine.apply(one.id, &Event::TimedOut)?;
        }
    }
    say_comments(engine, &live, comments);
    Ok(live.into_iter().filter(|one| one.state == State::Registering).collect())
}

/// slurmctld gave the node to a new job, so whatever held it before is over.
fn free_or_supersede(
    engine: &Engine,
    one: &Deployment,
    live: &[Deployment],
) -> Result<(), StoreError> {
    for older in live.iter().filter(|older| older.node == one.node && older.id < one.id) {
        engine.apply(older.id, &Event::Superseded)?;
    }
    if is_free(&one.node, one.id, live) {
        engine.apply(one.id, &Event::NodeFree)?;
    }
    Ok(())
}

/// How far a booting job is shows in `squeue -o %k`.
fn say_comments(engine: &Engine, live: &[Deployment], comments: &mut HashMap<JobId, String>) {
    let mut jobs: HashMap<JobId, Vec<Deployment>> = HashMap::new();
    for one in live {
        if let Some(job) = one.job {
            jobs.entry(job).or_default().push(one.clone());
        }
    }
    // A failed job's comment is prolog's: it says why the job is held.
    jobs.retain(|_, nodes| {
        nodes.iter().all(|one| one.state <= State::Ready && one.failure.is_none())
    });
    comments.retain(|job, _| jobs.contains_key(job));
    for (job, nodes) in jobs {
        let text = view::comment(&nodes);
        if comments.get(&job) != Some(&text) {
            engine.slurm.say(Word::Comment(job, text.clone()));
            comments.insert(job, text);
        }
    }
}

async fn see_registrations(engine: &Engine, scontrol: &Scontrol, waiting: &[Deployment]) {
    let nodes: Vec<NodeName> = waiting.iter().map(|one| one.node.clone()).collect();
    let shown = match scontrol.nodes(&nodes).await {
        Ok(shown) => shown,
        Err(error) => {
            log::warn!("asking slurmctld: {}", crate::chain(&error));
            return;
        }
    };
    for one in waiting {
        if shown.get(&one.node).is_some_and(|node| node.is_registered())
            && let Err(error) = engine.apply(one.id, &Event::Registered)
        {
            log::error!("node={}: {}", one.node, crate::chain(&error));
        }
    }
}

/// Nodes without a deployment must be off for slurmctld too. It repairs what a crash of ours or of
/// slurmctld's lost, and brings a new site's nodes to `idle~`.
async fn resync(engine: &Engine, scontrol: &Scontrol) {
    let (Ok(rows), Ok(live)) = (engine.store.nodes(), engine.store.live_deployments()) else {
        return;
    };
    let idle: Vec<NodeName> = rows
        .into_iter()
        .filter(|row| row.wanted_since_unix_ns.is_none())
        .map(|row| row.definition.name)
        .filter(|name| {
            !live.iter().any(|one| &one.node == name && !one.state.has_given_node_back())
        })
        .collect();
    let Ok(shown) = scontrol.nodes(&idle).await else { return };
    for name in idle {
        let Some(node) = shown.get(&name) else { continue };
        if node.has("POWERED_DOWN") || node.has_job() || node.has("POWERING_UP") {
            continue;
        }
        if node.has("POWERING_DOWN") {
            engine.slurm.say(Word::Resume(name));
        } else if !node.has("DRAIN") || node.has("NOT_RESPONDING") {
            engine.slurm.say(Word::PowerDown(name));
        }
    }
}

fn thin(engine: &Engine) {
    match engine.store.thin_samples(now_unix_ns()) {
        Ok(0) => {}
        Ok(count) => log::info!("dropped {count} old readings"),
        Err(error) => log::error!("dropping old readings: {}", crate::chain(&error)),
    }
}
