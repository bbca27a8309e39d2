//! The loop that moves deployments on when nobody else does: free nodes, time limits, and what
//! slurmctld shows. It survives a restart because it reads everything from the store.

use super::ages::{Ages, Begins};
use super::engine::{Engine, is_free};
use super::resync::Resync;
use super::take_over::{Owner, Running, TakeOver, Wanted, choose};
use super::transition::{Event, limit_seconds, may_be_taken_over};
use super::{Application, Blame, Deployment, DeploymentId, Failure, Mark, State, Way, view};
use crate::clock::{SECOND_NS, now_unix_ns};
use crate::power::SILENCE;
use crate::slurm::Scontrol;
use crate::slurm_queue::Word;
use crate::store::{StoreError, Try};
use protocol::names::{JobId, NodeName};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// Longest sleep when nothing changes.
const TICK: Duration = Duration::from_millis(500);
/// Between two questions to slurmctld while a node is about to register: it decides how long a
/// job waits after its last node registered.
const REGISTER_LOOK: Duration = Duration::from_millis(60);
/// Between two comparisons of all nodes with what slurmctld shows.
const RESYNC: Duration = Duration::from_secs(15);

/// Starts the loop; it runs for ever.
pub fn start(engine: Arc<Engine>, scontrol: Scontrol) {
    crate::essential::spawn("the reconciler", run(engine, scontrol));
}

async fn run(engine: Arc<Engine>, scontrol: Scontrol) {
    let mut comments: HashMap<JobId, String> = HashMap::new();
    let mut ages = Ages::default();
    let mut slurm_was_away: Option<Instant> = None;
    let mut resync = Resync::default();
    let mut resync_at = Instant::now();
    loop {
        let begin = Instant::now();
        let registering = match step(&engine, &mut comments, &mut ages, slurm_was_away) {
            Ok(registering) => registering,
            Err(error) => {
                log::error!("reconciling: {}", crate::chain(&error));
                Vec::new()
            }
        };
        let took = begin.elapsed();
        if !registering.is_empty()
            && !see_registrations(&engine, &scontrol, &registering, &ages).await
        {
            slurm_was_away = Some(Instant::now());
        }
        if engine.resync_wanted.swap(false, Ordering::Relaxed) || Instant::now() >= resync_at {
            resync.round(&engine, &scontrol).await;
            learn_preemption(&engine, &scontrol).await;
            resync_at = Instant::now() + RESYNC;
        }
        // Half of the time at most: while a thousand nodes boot there is always a change.
        sleep(took.min(TICK)).await;
        let pause = if registering.is_empty() { TICK } else { REGISTER_LOOK };
        // Woken early by any change; a timeout is the normal case.
        drop(timeout(pause, engine.changed.notified()).await);
    }
}

/// Everything that needs no answer from outside. Returns what waits for its registration.
fn step(
    engine: &Engine,
    comments: &mut HashMap<JobId, String>,
    ages: &mut Ages,
    slurm_was_away: Option<Instant>,
) -> Result<Vec<Deployment>, StoreError> {
    let mut live = engine.store.live_deployments()?;
    ages.round(&live, now_unix_ns());
    let mut failed = Vec::new();
    for of_node in by_node(&mut live) {
        for one in of_node {
            if let Err(error) = move_on(engine, one, of_node, ages, slurm_was_away) {
                failed.push(format!("node={}: {}", one.node, crate::chain(&error)));
            }
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

/// The deployments of each node, oldest first: with a thousand nodes, one must not look at all others'.
fn by_node(live: &mut [Deployment]) -> Vec<&[Deployment]> {
    live.sort_by(|one, other| (&one.node, one.id).cmp(&(&other.node, other.id)));
    let mut nodes: Vec<&[Deployment]> = live.chunk_by(|one, next| one.node == next.node).collect();
    nodes.sort_by_key(|of_node| of_node.first().map(|one| one.id));
    nodes
}

/// What one deployment needs: its node may be free now, or its state has lasted too long.
fn move_on(
    engine: &Engine,
    one: &Deployment,
    live: &[Deployment],
    ages: &mut Ages,
    slurm_was_away: Option<Instant>,
) -> Result<(), StoreError> {
    if one.state == State::Waiting {
        free_or_supersede(engine, one, live)?;
        // It may have waited for longer than its limit for what does not count, and goes on only now.
        if engine.store.deployment(one.id)?.is_none_or(|now| now.state != State::Waiting) {
            return Ok(());
        }
    } else if one.state == State::TakingOver {
        // A crash came between the two halves of a hand-over.
        hand_over(engine, one, live)?;
    }
    if let Some(limit) = limit_seconds(one, &engine.config.limits)
        && let Some(begins) = counts_from(engine, one, live)?
        && ages.lasted(one.id, begins, unheard_until(engine, one, slurm_was_away))
            > Duration::from_secs(limit.into())
    {
        engine.apply(one.id, &late(engine, one))?;
    }
    Ok(())
}

/// Until when nobody could be heard, or nothing be written: what lasted too long only because of that is
/// no fault of a node's.
fn unheard_until(
    engine: &Engine,
    one: &Deployment,
    slurm_was_away: Option<Instant>,
) -> Option<Instant> {
    let slurm = slurm_was_away.filter(|_| one.state == State::Registering);
    engine.store_was_away().max(slurm)
}

/// What a state that has lasted too long means. An image that does not come is nobody's fault; a node
/// that has fallen silent meanwhile is.
fn late(engine: &Engine, one: &Deployment) -> Event {
    let silent = engine.signs.was_heard_within(&one.node, SILENCE) == Some(false);
    if one.state != State::FetchingImage || !silent {
        return Event::TimedOut;
    }
    let reason = "fell silent while it set its job's application image up".to_owned();
    Event::Failed(Failure { blame: Blame::Node, reason })
}

/// A power-on that cannot be taken back waits until the job's application image is there: until then
/// the job may still fail.
fn waits_for_image(engine: &Engine, one: &Deployment) -> Result<bool, StoreError> {
    if one.application != Application::Awaited {
        return Ok(false);
    }
    let row = engine.store.node(&one.node)?;
    if row.is_none_or(|row| row.definition.power.can_switch_off()) {
        return Ok(false);
    }
    let of = one.try_id.map(|id| engine.store.one_try(id)).transpose()?.flatten();
    Ok(of.is_some_and(|of| of.asked.application_image.is_none()))
}

/// From when a state's limit counts; `None`: not yet. A node can set an image up only once that is
/// prepared, and however many nodes fetch it at once, it has time as long as bytes come.
fn counts_from(
    engine: &Engine,
    one: &Deployment,
    live: &[Deployment],
) -> Result<Option<Begins>, StoreError> {
    let since = one.since_unix_ns;
    if one.state == State::Waiting {
        // Its limit is for the node's last use to end; how long an image or a boot takes has a limit
        // of its own.
        let boots = |older: &&Deployment| {
            older.node == one.node && older.id < one.id && older.job.is_none() && older.stays_on
        };
        let last = live.iter().filter(boots).map(|older| older.since_unix_ns).max();
        let waits = waits_for_boot(one, live) || waits_for_image(engine, one)?;
        return Ok((!waits).then(|| [since, last.unwrap_or(0), 0]));
    }
    if one.state != State::FetchingImage {
        return Ok(Some([since, 0, 0]));
    }
    let of = one.try_id.map(|id| engine.store.one_try(id)).transpose()?.flatten();
    let image = of.and_then(|of| of.asked.application_image);
    Ok(image.map(|image| [since, image.since_unix_ns, engine.last_fetch(one.id)]))
}

/// A node that boots for nobody, as ahead of this job, is not powered off for it: it can be taken over
/// when it is ready. If it does not get so far, its own limits end that.
fn waits_for_boot(one: &Deployment, live: &[Deployment]) -> bool {
    let boots = |state: State| state.is_before_ready() && state != State::Waiting;
    one.state == State::Waiting
        && live.iter().any(|older| {
            older.node == one.node
                && older.id < one.id
                && older.job.is_none()
                && older.stays_on
                && older.failure.is_none()
                && boots(older.state)
        })
}

fn hand_over(engine: &Engine, one: &Deployment, live: &[Deployment]) -> Result<(), StoreError> {
    let Some(from) = live.iter().find(|older| one.taken_from == Some(older.id)) else {
        return Ok(());
    };
    let marks = engine.store.marks(one.id)?;
    let at = marks.iter().find(|(mark, _)| *mark == Mark::TakeOver).map(|(_, at)| *at);
    engine.apply_at(from.id, &Event::HandedOver, at.unwrap_or_else(now_unix_ns))
}

/// slurmctld gave the node to a new job, so whatever held it before is over: the node goes on from
/// there, or is powered off first.
fn free_or_supersede(
    engine: &Engine,
    one: &Deployment,
    live: &[Deployment],
) -> Result<(), StoreError> {
    if let Some((from, choice)) = take_over(engine, one, live)? {
        return engine.take_over(one.id, from, choice);
    }
    if waits_for_boot(one, live) {
        return Ok(());
    }
    for older in live.iter().filter(|older| older.node == one.node && older.id < one.id) {
        engine.apply(older.id, &Event::Superseded)?;
    }
    if is_free(&one.node, one.id, live) && !waits_for_image(engine, one)? {
        engine.apply(one.id, &Event::NodeFree)?;
    }
    Ok(())
}

/// The running deployment that this one may take the node over from: the only other one on it.
fn take_over(
    engine: &Engine,
    one: &Deployment,
    live: &[Deployment],
) -> Result<Option<(DeploymentId, TakeOver)>, StoreError> {
    let mut others = live.iter().filter(|other| {
        other.node == one.node && other.id < one.id && !other.state.has_given_node_back()
    });
    let (Some(from), None) = (others.next(), others.next()) else { return Ok(None) };
    if !may_be_taken_over(from) {
        return Ok(None);
    }
    let Some(of) = one.try_id.map(|id| engine.store.one_try(id)).transpose()?.flatten() else {
        return Ok(None);
    };
    let Some(partition) = engine.config.partition(&of.asked.partition) else { return Ok(None) };
    let before = from.try_id.map(|id| engine.store.one_try(id)).transpose()?.flatten();
    if from.try_id.is_some() && before.is_none() {
        return Ok(None);
    }
    let (runs, wanted) = (engine.store.pin(from.id)?, engine.store.pin(one.id)?);
    let running = Running {
        deployment: from,
        pin: &runs,
        owner: before.as_ref().map(Owner::of),
        is_alive: engine.signs.is_alive(&one.node),
    };
    let cannot_clear = engine.signs.cannot_clear(&wanted.vmlinuz.sha256);
    let wanted = Wanted { pin: &wanted, owner: Owner::of(&of), partition, cannot_clear };
    Ok(choose(running, wanted).map(|choice| (from.id, choice)))
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
        let has_image = nodes.iter().any(|one| one.application != Application::None);
        let of = has_image.then(|| of_nodes(engine, &nodes)).flatten();
        let image = of.as_ref().and_then(|of| view::application(&engine.images, of, true));
        let text = view::comment(&nodes, image.as_ref());
        if comments.get(&job) != Some(&text) {
            // Slurm would give the comment of a plain id to the whole array or heterogeneous job.
            if let Some(of) = of.or_else(|| of_nodes(engine, &nodes)) {
                engine.slurm.say(Word::Comment(of.asked.reference, text.clone()));
            }
            comments.insert(job, text);
        }
    }
}

/// When the node's present boot began at the earliest, seconds since 1970. Without such a mark (it was
/// on by hand, or goes on as it is, or this host's clock was set since) any registration counts.
fn boot_begin(engine: &Engine, one: &Deployment, ages: &Ages) -> Result<i64, StoreError> {
    if ages.clock_was_set(one.id) {
        return Ok(0);
    }
    let began = match one.way {
        Way::Boot => Mark::PowerOn,
        Way::Kexec => Mark::TakeOver,
        Way::Adopt => return Ok(0),
    };
    let marks = engine.store.marks(one.id)?;
    let at = marks.iter().find(|(mark, _)| *mark == began).map_or(0, |(_, at)| *at);
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
async fn see_registrations(
    engine: &Engine,
    scontrol: &Scontrol,
    waiting: &[Deployment],
    ages: &Ages,
) -> bool {
    let nodes: Vec<NodeName> = waiting.iter().map(|one| one.node.clone()).collect();
    let shown = match scontrol.nodes(&nodes).await {
        Ok(shown) => shown,
        Err(error) => {
            log::warn!("asking slurmctld: {}", crate::chain(&error));
            return false;
        }
    };
    for one in waiting {
        let registered = boot_begin(engine, one, ages).and_then(|begin| {
            let node = shown.get(&one.node).filter(|node| node.is_registered_since(begin));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::application::request::tests::{example, prepared};
    use crate::clock;
    use crate::config::Config;
    use crate::examples::{CONFIG, asked};
    use crate::pin::Pin;
    use crate::power::Fleet;
    use crate::slurm_queue::SlurmQueue;
    use crate::store::{NewTry, Store};
    use crate::token;

    fn engine() -> Engine {
        engine_on(Store::in_memory().unwrap())
    }

    fn engine_on(store: Store) -> Engine {
        let config: Config = toml::from_str(&CONFIG.replace("STATE", "/s")).unwrap();
        let (slurm, _words) = SlurmQueue::recorded();
        Engine::new(Arc::new(store), Arc::new(config), Fleet::default(), slurm)
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
    fn a_job_waits_for_its_node_that_boots_for_nobody() {
        let one = Deployment { id: 2, ..Deployment::example() };
        let ahead = Deployment {
            job: None,
            stays_on: true,
            state: State::Booting,
            ..Deployment::example()
        };
        let waits = |older: Deployment| waits_for_boot(&one, &[older, one.clone()]);
        assert!(waits(ahead.clone()));
        let failure = Some(Failure { blame: Blame::Node, reason: "r".into() });
        assert!(!waits(Deployment { failure, ..ahead.clone() }), "it does not come");
        assert!(!waits(Deployment { state: State::Ready, ..ahead.clone() }), "it is there");
        assert!(!waits(Deployment { state: State::PoweringOff, ..ahead.clone() }));
        assert!(!waits(Deployment { job: one.job, ..ahead.clone() }), "another job's boot");
        assert!(!waits(Deployment { stays_on: false, ..ahead }));
    }

    #[tokio::test(start_paused = true)]
    async fn a_try_that_cannot_be_read_is_not_the_others_trouble() {
        let engine = engine();
        let (bad, _) = fetching(&engine, 7);
        let (good, late) = fetching(&engine, 8);
        engine.store.spoil_try(bad);
        engine.store.set_application_image(good, &prepared(5)).unwrap();
        let mut ages = Ages::default();
        step(&engine, &mut HashMap::new(), &mut ages, None).unwrap();
        tokio::time::advance(Duration::from_secs(3600)).await;
        step(&engine, &mut HashMap::new(), &mut ages, None).unwrap();
        let now = engine.store.deployment(late.id).unwrap().unwrap();
        assert!(now.failure.is_some(), "its limit was noticed: {now:?}");
    }

    /// It boots, as long as that is no limit's matter.
    #[tokio::test(start_paused = true)]
    async fn neither_a_clock_that_is_set_nor_a_locked_store_lets_a_limit_pass() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store.db");
        let engine = engine_on(Store::open(&path).unwrap());
        let (_, one) = fetching(&engine, 7);
        let since = 1_795_000_000 * SECOND_NS;
        clock::simulated::set(since);
        engine.store.change(one.id, Some(State::Booting), None, &[], since).unwrap();
        let mut ages = Ages::default();
        let pass = |seconds, ages: &mut Ages| {
            step(&engine, &mut HashMap::new(), ages, None).unwrap();
            let advance = tokio::time::advance(Duration::from_secs(seconds));
            assert!(engine.store.deployment(one.id).unwrap().unwrap().failure.is_none());
            advance
        };
        pass(100, &mut ages).await;
        clock::simulated::set(since + 3_600 * SECOND_NS);
        pass(10, &mut ages).await;
        clock::simulated::set(since - 3_600 * SECOND_NS);
        pass(9, &mut ages).await;
        let other = rusqlite::Connection::open(&path).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        assert!(engine.apply(one.id, &Event::ScriptAsked).is_ok(), "it changes nothing");
        assert!(engine.apply(one.id, &Event::JobEnded).is_err());
        drop(other);
        pass(119, &mut ages).await;
        pass(2, &mut ages).await;
        step(&engine, &mut HashMap::new(), &mut ages, None).unwrap();
        clock::simulated::end();
        let failure = engine.store.deployment(one.id).unwrap().unwrap().failure.unwrap();
        assert!(failure.reason.contains("did not report within 120 s"), "{failure:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_that_falls_silent_while_it_sets_its_image_up_is_to_blame() {
        let engine = engine();
        let (_, one) = fetching(&engine, 7);
        engine.signs.heard(&one.node);
        tokio::time::advance(SILENCE - Duration::from_secs(1)).await;
        assert_eq!(late(&engine, &one), Event::TimedOut, "its image may not come");
        tokio::time::advance(Duration::from_secs(2)).await;
        let Event::Failed(failure) = late(&engine, &one) else { panic!("nobody is to blame") };
        assert_eq!(failure.blame, Blame::Node);
        assert!(failure.reason.starts_with("fell silent"), "{}", failure.reason);
    }

    #[test]
    fn a_node_has_time_for_its_image_as_long_as_bytes_come() {
        let engine = engine();
        let (of, one) = fetching(&engine, 7);
        let id = one.id;
        assert_eq!(one.application, Application::Awaited);
        let from = || counts_from(&engine, &one, &[]).unwrap();
        assert_eq!(from(), None, "it is not prepared yet");
        engine.store.set_application_image(of, &prepared(5)).unwrap();
        let begins = from().unwrap();
        engine.fetch(id).store(9, Ordering::Relaxed);
        assert!(from().is_some_and(|now| now != begins), "it counts anew");
    }
}
