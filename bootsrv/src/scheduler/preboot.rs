//! Boots nodes ahead for jobs that are known to start soon: those that wait for more nodes than are
//! free now. Each then finds its node on, as a job on a node that stayed on does.

use super::pending::{self, PendingJob};
use crate::catalog;
use crate::clock::{SECOND_NS, now_unix_ns};
use crate::deployment::Deployment;
use crate::deployment::engine::Engine;
use crate::hub::Hub;
use crate::slurm::{Scontrol, SlurmNode};
use crate::slurm_queue::Word;
use crate::store::NodeRow;
use protocol::api::NodeDefinition;
use protocol::job_options::JobOptions;
use protocol::names::{JobId, NodeName};
use protocol::profile::Asker;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// Between two looks at the queue: slurmctld sends all its jobs.
const LOOK: Duration = Duration::from_secs(10);
/// How long before its job a node is booted at the earliest: longer than a boot, and shorter than
/// idle nodes stay on.
const AHEAD_SECONDS: i64 = 300;
/// Most nodes of the site that are on, or boot, ahead of a job.
const NODES_AHEAD_MAX: usize = 128;

/// For which job a node was booted ahead: once, even if the job starts later than it was to.
type Done = BTreeSet<(JobId, NodeName)>;

pub(super) async fn run(engine: Arc<Engine>, hub: Arc<Hub>, scontrol: Scontrol) {
    let mut done = Done::new();
    loop {
        if let Err(why) = look(&engine, &hub, &scontrol, &mut done).await {
            log::warn!("looking for jobs to boot ahead for: {why}");
        }
        sleep(LOOK).await;
    }
}

async fn look(
    engine: &Arc<Engine>,
    hub: &Arc<Hub>,
    scontrol: &Scontrol,
    done: &mut Done,
) -> Result<(), String> {
    let shown = scontrol.run(&["show", "job", "-o"]).await.map_err(|error| crate::chain(&error))?;
    let jobs = pending::parse(&shown);
    done.retain(|(job, _)| jobs.iter().any(|one| one.job == *job));
    let partition = |job: &PendingJob| {
        engine.config.partition(&job.partition).filter(|partition| partition.preboot)
    };
    let jobs: Vec<PendingJob> = jobs.into_iter().filter(|job| partition(job).is_some()).collect();
    let names: BTreeSet<NodeName> = jobs.iter().flat_map(|job| job.nodes.clone()).collect();
    if names.is_empty() {
        return Ok(());
    }
    let names: Vec<NodeName> = names.into_iter().collect();
    let nodes = scontrol.nodes(&names).await.map_err(|error| crate::chain(&error))?;
    let (rows, live) = (engine.store.nodes(), engine.store.live_deployments());
    let rows = rows.map_err(|error| crate::chain(&error))?;
    let live = live.map_err(|error| crate::chain(&error))?;
    let free = free(&rows, &nodes, &live);
    let chosen: Vec<(PendingJob, NodeDefinition)> =
        choose(&jobs, &free, room(&live), now_unix_ns() / SECOND_NS, done)
            .into_iter()
            .filter_map(|(job, node)| Some((job.clone(), (*free.get(node)?).clone())))
            .collect();
    for (job, node) in &chosen {
        done.insert((job.job, node.name.clone()));
    }
    let (engine, hub) = (Arc::clone(engine), Arc::clone(hub));
    let booting = tokio::task::spawn_blocking(move || boot(&engine, &hub, &chosen));
    booting.await.map_err(|error| error.to_string())
}

/// How many more nodes may be ahead of a job.
fn room(live: &[Deployment]) -> usize {
    let ahead = live.iter().filter(|one| one.job.is_none() && !one.state.has_given_node_back());
    NODES_AHEAD_MAX.saturating_sub(ahead.count())
}

/// The nodes that are off and that nobody has, for Slurm and for us.
fn free<'a>(
    rows: &'a [NodeRow],
    shown: &HashMap<NodeName, SlurmNode>,
    live: &[Deployment],
) -> BTreeMap<&'a NodeName, &'a NodeDefinition> {
    const NOT: [&str; 6] = ["DRAIN", "DOWN", "FAIL", "POWERING_DOWN", "POWERING_UP", "COMPLETING"];
    let is_off = |node: &SlurmNode| {
        node.has("IDLE") && node.has("POWERED_DOWN") && !NOT.iter().any(|flag| node.has(flag))
    };
    let is_free = |row: &&NodeRow| {
        let name = &row.definition.name;
        row.maintenance.is_none()
            && row.wanted_since_unix_ns.is_none()
            && shown.get(name).is_some_and(is_off)
            && !live.iter().any(|one| &one.node == name && !one.state.has_given_node_back())
    };
    let free = rows.iter().filter(is_free);
    free.map(|row| (&row.definition.name, &row.definition)).collect()
}

/// Which node is booted for which job: soonest first. Pure.
fn choose<'a>(
    jobs: &'a [PendingJob],
    free: &BTreeMap<&NodeName, &NodeDefinition>,
    room: usize,
    now_unix_seconds: i64,
    done: &Done,
) -> Vec<(&'a PendingJob, &'a NodeName)> {
    let mut soon: Vec<&PendingJob> = jobs
        .iter()
        .filter(|job| job.start_unix_seconds - now_unix_seconds < AHEAD_SECONDS)
        .collect();
    soon.sort_by_key(|job| (job.start_unix_seconds, job.job));
    let mut taken = BTreeSet::new();
    let nodes = soon.into_iter().flat_map(|job| job.nodes.iter().map(move |node| (job, node)));
    let wanted = nodes.filter(|(job, node)| {
        free.contains_key(node)
            && !done.contains(&(job.job, (*node).clone()))
            && taken.insert((*node).clone())
    });
    wanted.take(room).collect()
}

fn boot(engine: &Engine, hub: &Hub, chosen: &[(PendingJob, NodeDefinition)]) {
    for (job, node) in chosen {
        let Some(partition) = engine.config.partition(&job.partition) else { continue };
        let options = options(engine, hub, job);
        let kernel = options.kernel.as_ref().unwrap_or(&partition.default_kernel);
        match super::boot(engine, hub, node, partition, &options) {
            Ok(()) => {
                log::info!("node={} boots {kernel} ahead of job {}", node.name, job.job);
                engine.slurm.say(Word::PowerUp(node.name.clone()));
            }
            Err(error) => log::warn!("node={} ahead of job {}: {error}", node.name, job.job),
        }
    }
}

/// What the job asked for, as far as it is known and its user may have it; the partition's defaults
/// otherwise.
fn options(engine: &Engine, hub: &Hub, job: &PendingJob) -> JobOptions {
    let asker = Asker {
        user: Some(&job.user),
        account: job.account.as_deref(),
        partition: Some(&job.partition),
    };
    let named = engine.warmth.wishes.of(job.uid, job.submit_unix_seconds);
    let (kernel, node_image) = named.unwrap_or_default();
    let kernel = kernel.filter(|name| catalog::kernel(&engine.config, hub, name, asker).is_ok());
    JobOptions { kernel, node_image, ..JobOptions::default() }
}

#[cfg(test)]
#[path = "preboot_tests.rs"]
mod tests;
