//! The loop that moves deployments on when nobody else does: free nodes, time limits, and what
//! slurmctld shows. It survives a restart because it reads everything from the store.

use super::engine::{Engine, is_free};
use super::resync::Resync;
use super::transition::{Event, limit_seconds};
use super::{Deployment, Mark, State, view};
use crate::clock::{SECOND_NS, now_unix_ns};
use crate::slurm::Scontrol;
use crate::slurm_queue::Word;
use crate::store::{StoreError, Try};
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
/// Between two comparisons of all nodes with what slurmctld shows.
const RESYNC: Duration = Duration::from_secs(15);
/// Between two thinnings of old readings.
const THIN: Duration = Duration::from_secs(3600);

/// Starts the loop; it runs for ever.
pub fn start(engine: Arc<Engine>, scontrol: Scontrol) {
    crate::essential::spawn("the reconciler", run(engine, scontrol));
}

async fn run(engine: Arc<Engine>, scontrol: Scontrol) {
    let mut comments: HashMap<JobId, String> = HashMap::new();
    let mut silences = Silences { ours: now_unix_ns(), slurmctlds: 0 };
    let mut resync = Resync::default();
    let mut resync_at = Instant::now();
    let mut thin_at = Instant::now();
    loop {
        let registering = match step(&engine, &mut comments, silences) {
            Ok(registering) => registering,
            Err(error) => {
                log::error!("reconciling: {}", crate::chain(&error));
                Vec::new()
            }
        };
        if !registering.is_empty() && !see_registrations(&engine, &scontrol, &registering).await {
            silences.slurmctlds = now_unix_ns();
        }
        if engine.resync_wanted.swap(false, Ordering::Relaxed) || Instant::now() >= resync_at {
            resync.round(&engine, &scontrol).await;
            learn_preemption(&engine, &scontrol).await;
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

/// Until when nobody could be heard, nanoseconds since 1970: what lasted too long only because of
/// that is no fault of a node's.
#[derive(Debug, Clone, Copy)]
struct Silences {
    /// bootsrv was away.
    ours: i64,
    /// slurmctld did not answer.
    slurmctlds: i64,
}

impl Silences {
    /// From when a state's limit counts.
    fn counts_from(self, one: &Deployment) -> i64 {
        let heard = one.since_unix_ns.max(self.ours);
        if one.state == State::Registering { heard.max(self.slurmctlds) } else { heard }
    }
}

/// Everything that needs no answer from outside. Returns what waits for its registration.
fn step(
    engine: &Engine,
    comments: &mut HashMap<JobId, String>,
    silences: Silences,
) -> Result<Vec<Deployment>, StoreError> {
    let live = engine.store.live_deployments()?;
    let now = now_unix_ns();
    let mut failed = Vec::new();
    for one in &live {
        if let Err(error) = move_on(engine, one, &live, silences, now) {
            failed.push(format!("node={}: {}", one.node, crate::chain(&error)));
        }
    }
    for id in engine.silent_suspects() {
        if let Err(error) = engine.apply(id, &Event::Silent) {
            failed.push(format!("deployment {id}: {}", crate::chain(&error)));
        }
    }
    // One node's trouble is not the others'; of a trouble of all, one line a round is enough.
    if let Some((first, others)) = failed.split_first() {
        log::error!("reconciling: {first} (and {} more)", others.len());
    }
    say_comments(engine, &live, comments);
    Ok(live.into_iter().filter(|one| one.state == State::Registering).collect())
}

/// What one deployment needs: its node may be free now, or its state has lasted too long.
fn move_on(
    engine: &Engine,
    one: &Deployment,
    live: &[Deployment],
    silences: Silences,
    now: i64,
) -> Result<(), StoreError> {
    if one.state == State::Waiting {
        free_or_supersede(engine, one, live)?;
    }
    if let Some(limit) = limit_seconds(one.state, &engine.config.limits)
        && let Some(since) = counts_from(engine, one, silences)?
        && now - since > i64::from(limit) * SECOND_NS
    {
        engine.apply(one.id, &Event::TimedOut)?;
    }
    Ok(())
}

/// From when a state's limit counts; `None`: not yet. A node can set an image up only once that is
/// prepared, and however many nodes fetch it at once, it has time as long as bytes come.
fn counts_from(
    engine: &Engine,
    one: &Deployment,
    silences: Silences,
) -> Result<Option<i64>, StoreError> {
    let heard = silences.counts_from(one);
    if one.state != State::FetchingImage {
        return Ok(Some(heard));
    }
    let of = one.try_id.map(|id| engine.store.one_try(id)).transpose()?.flatten();
    let image = of.and_then(|of| of.asked.application_image);
    Ok(image.map(|image| image.since_unix_ns.max(heard).max(engine.last_fetch(one.id))))
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
        let of = of_nodes(engine, &nodes);
        let image = of.as_ref().and_then(|of| view::application(&engine.images, of, true));
        let text = view::comment(&nodes, image.as_ref());
        if comments.get(&job) != Some(&text) {
            // Slurm would give the comment of a plain id to the whole array or heterogeneous job.
            if let Some(of) = of {
                engine.slurm.say(Word::Comment(of.asked.reference, text.clone()));
            }
            comments.insert(job, text);
        }
    }
}

/// When the node was powered on for this boot, seconds since 1970. Without that mark (it was on by
/// hand) any registration counts.
fn power_on(engine: &Engine, one: &Deployment) -> Result<i64, StoreError> {
    let marks = engine.store.marks(one.id)?;
    let at = marks.iter().find(|(mark, _)| *mark == Mark::PowerOn).map_or(0, |(_, at)| *at);
    Ok(at / SECOND_NS)
}

fn of_nodes(engine: &Engine, nodes: &[Deployment]) -> Option<Try> {
    let id = nodes.iter().find_map(|one| one.try_id)?;
    match engine.store.one_try(id) {
        Ok(found) => found,
        Err(error) => {
            log::error!("reading try {id}: {}", crate::chain(&error));
            None
        }
    }
}

/// Gives whether slurmctld answered.
async fn see_registrations(engine: &Engine, scontrol: &Scontrol, waiting: &[Deployment]) -> bool {
    let nodes: Vec<NodeName> = waiting.iter().map(|one| one.node.clone()).collect();
    let shown = match scontrol.nodes(&nodes).await {
        Ok(shown) => shown,
        Err(error) => {
            log::warn!("asking slurmctld: {}", crate::chain(&error));
            return false;
        }
    };
    for one in waiting {
        let registered = power_on(engine, one).and_then(|power_on| {
            let node = shown.get(&one.node).filter(|node| node.is_registered_since(power_on));
            node.map_or(Ok(()), |_| engine.apply(one.id, &Event::Registered))
        });
        if let Err(error) = registered {
            log::error!("node={}: {}", one.node, crate::chain(&error));
        }
    }
    true
}

async fn learn_preemption(engine: &Engine, scontrol: &Scontrol) {
    match scontrol.preempts().await {
        Ok(preempts) => engine.preemption.store(preempts, Ordering::Relaxed),
        Err(error) => log::warn!("asking slurmctld: {}", crate::chain(&error)),
    }
}

fn thin(engine: &Engine) {
    match engine.store.thin_samples(now_unix_ns()) {
        Ok(0) => {}
        Ok(count) => log::info!("dropped {count} old readings"),
        Err(error) => log::error!("dropping old readings: {}", crate::chain(&error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::application::request::tests::{example, prepared};
    use crate::config::Config;
    use crate::deployment::Application;
    use crate::examples::{CONFIG, asked};
    use crate::pin::Pin;
    use crate::power::Fleet;
    use crate::slurm_queue::SlurmQueue;
    use crate::store::{NewTry, Store};
    use crate::token;

    fn engine() -> Engine {
        let config: Config = toml::from_str(&CONFIG.replace("STATE", "/s")).unwrap();
        let (slurm, _words) = SlurmQueue::recorded();
        let store = Arc::new(Store::in_memory().unwrap());
        Engine::new(store, Arc::new(config), Fleet::default(), slurm)
    }

    /// A job's try, whose node is to fetch an image, and the deployment.
    fn fetching(engine: &Engine, job: u32) -> (i64, Deployment) {
        let asked = NewTry { application: Some(example()), ..asked(job) };
        let (kernel, image) = (asked.kernel.clone(), asked.image.clone());
        let node = format!("n{job}").parse().unwrap();
        let node = token::new_deployment(node, kernel, image, Pin::of_nothing());
        let of = engine.store.add_try(&asked, &[node], 1).unwrap();
        let id = engine.store.deployments_of_try(of).unwrap()[0].id;
        engine.store.change(id, Some(State::FetchingImage), None, &[], 2).unwrap();
        (of, engine.store.deployment(id).unwrap().unwrap())
    }

    #[test]
    fn a_try_that_cannot_be_read_is_not_the_others_trouble() {
        let engine = engine();
        let (bad, _) = fetching(&engine, 7);
        let (good, late) = fetching(&engine, 8);
        engine.store.spoil_try(bad);
        engine.store.set_application_image(good, &prepared(5)).unwrap();
        let silences = Silences { ours: 3, slurmctlds: 0 };
        step(&engine, &mut HashMap::new(), silences).unwrap();
        let now = engine.store.deployment(late.id).unwrap().unwrap();
        assert!(now.failure.is_some(), "its limit was noticed: {now:?}");
    }

    #[test]
    fn a_node_has_time_for_its_image_as_long_as_bytes_come() {
        let engine = engine();
        let (of, one) = fetching(&engine, 7);
        let id = one.id;
        assert_eq!(one.application, Application::Awaited);
        let silences = Silences { ours: 3, slurmctlds: 0 };
        let from = || counts_from(&engine, &one, silences).unwrap();
        assert_eq!(from(), None, "it is not prepared yet");
        engine.store.set_application_image(of, &prepared(5)).unwrap();
        assert_eq!(from(), Some(3));
        engine.fetch(id).store(9, Ordering::Relaxed);
        assert_eq!(from(), Some(9));
    }
}
