//! Keeps the nodes' features in Slurm: what each node that is on for nobody runs, and for whom. slurmctld
//! forgets them when it is restarted or reconfigured, so it is looked at again and again.

use super::features::{self, Domain};
use super::wishes::Wishes;
use crate::config::{AfterJob, ShareWith};
use crate::deployment::engine::Engine;
use crate::deployment::take_over::Owner;
use crate::deployment::transition::may_be_taken_over;
use crate::deployment::{Deployment, DeploymentId};
use crate::slurm::{Scontrol, SlurmError};
use crate::store::{Store, StoreError};
use protocol::names::{Digest, NodeName};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep};

#[cfg(test)]
#[path = "warmth_tests.rs"]
mod tests;

/// Between two looks at our own nodes.
const TICK: Duration = Duration::from_secs(1);
/// Between two looks at what slurmctld shows; also after it did not answer.
const LOOK: Duration = Duration::from_secs(15);
/// Most different sets of features told at once: a scontrol each, of some 40 ms.
const CHANGES_MAX: usize = 50;

/// What is known of the nodes that are on, in memory.
#[derive(Debug, Default)]
pub struct Warmth {
    /// Of deployments that live: what never changes of them. `None`: it cannot be read.
    boots: Mutex<HashMap<DeploymentId, Option<Arc<Boot>>>>,
    /// slurmctld does not refuse jobs whose preference nobody meets.
    pub(super) forgives: AtomicBool,
    /// What jobs that wait asked for.
    pub(super) wishes: Wishes,
}

/// What a deployment boots, and whose job it is for.
#[derive(Debug)]
pub(super) struct Boot {
    pub(super) runs: Digest,
    uid: Option<u32>,
    account: Option<String>,
}

impl Boot {
    /// `None`: nobody's.
    pub(super) fn owner(&self) -> Option<Owner<'_>> {
        self.uid.map(|uid| Owner { uid, account: self.account.as_deref() })
    }

    /// The feature of its node in a partition with such trust.
    pub(super) fn feature(&self, share_with: ShareWith) -> Option<String> {
        Domain::of(self.owner(), share_with).map(|domain| features::name(&self.runs, domain))
    }
}

impl Warmth {
    /// The deployments whose nodes are on and nobody's.
    pub(super) fn warm(&self, store: &Store) -> Result<Vec<(Deployment, Arc<Boot>)>, StoreError> {
        let live = store.live_deployments()?;
        let mut boots = self.boots();
        boots.retain(|id, _| live.iter().any(|one| one.id == *id));
        let mut warm = Vec::new();
        for one in live.into_iter().filter(is_warm) {
            let boot = boots.entry(one.id).or_insert_with(|| read_or_tell(store, &one));
            if let Some(boot) = boot {
                warm.push((one, Arc::clone(boot)));
            }
        }
        Ok(warm)
    }

    fn boots(&self) -> MutexGuard<'_, HashMap<DeploymentId, Option<Arc<Boot>>>> {
        self.boots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Only while nobody has the node: a job whose preferred nodes are all busy waits for the backfill
/// scheduler, although others are idle; one whose preference nobody meets does not (seen with 22.05 and
/// 24.11).
fn is_warm(one: &Deployment) -> bool {
    may_be_taken_over(one) && one.failure.is_none()
}

/// What cannot be read of one is not the others' trouble.
fn read_or_tell(store: &Store, one: &Deployment) -> Option<Arc<Boot>> {
    let read = read(store, one);
    let told = |error: &StoreError| log::error!("node={}: {}", one.node, crate::chain(error));
    read.inspect_err(told).ok().map(Arc::new)
}

fn read(store: &Store, one: &Deployment) -> Result<Boot, StoreError> {
    let of = one.try_id.map(|id| store.one_try(id)).transpose()?.flatten();
    let (uid, account) = of.map(|of| (of.asked.uid, of.asked.account)).unzip();
    Ok(Boot { runs: features::boot(&store.pin(one.id)?), uid, account: account.flatten() })
}

/// What the nodes' features have to be; nodes without any are left out.
fn wanted(engine: &Engine) -> Result<BTreeMap<NodeName, BTreeSet<String>>, StoreError> {
    let mut wanted: BTreeMap<NodeName, BTreeSet<String>> = BTreeMap::new();
    if !super::is_wanted(&engine.config) {
        return Ok(wanted);
    }
    let stays = engine.config.partitions.iter().filter(|one| one.after_job == AfterJob::StayOn);
    let shares: BTreeSet<ShareWith> = stays.map(|partition| partition.share_with).collect();
    for (one, boot) in engine.warmth.warm(&engine.store)? {
        let features = shares.iter().filter_map(|share_with| boot.feature(*share_with)).collect();
        wanted.insert(one.node, features);
    }
    Ok(wanted)
}

/// Tells slurmctld for ever; where the site does not want it, until nothing of ours is left there.
pub(super) async fn run(engine: Arc<Engine>, scontrol: Scontrol) {
    let mut told: BTreeMap<NodeName, BTreeSet<String>> = BTreeMap::new();
    let mut look_at = Instant::now();
    loop {
        let all = Instant::now() >= look_at;
        let round = round(&engine, &scontrol, &told, all).await;
        if all {
            look_at = Instant::now() + LOOK;
        }
        match round {
            Ok(Some(now)) if now.is_empty() && !super::is_wanted(&engine.config) => return,
            Ok(Some(now)) => told = now,
            Ok(None) => look_at = Instant::now(),
            Err(error) => {
                log::warn!("telling slurmctld what the nodes run: {}", crate::chain(&error));
                sleep(LOOK).await;
                look_at = Instant::now();
            }
        }
        sleep(TICK).await;
    }
}

/// One round over the nodes that have changed, or over all. Gives what slurmctld now knows; `None`:
/// there was too much for one round.
async fn round(
    engine: &Engine,
    scontrol: &Scontrol,
    told: &BTreeMap<NodeName, BTreeSet<String>>,
    all: bool,
) -> Result<Option<BTreeMap<NodeName, BTreeSet<String>>>, RoundError> {
    let wanted = wanted(engine)?;
    let mut nodes: BTreeSet<NodeName> = wanted.keys().chain(told.keys()).cloned().collect();
    nodes.retain(|node| wanted.get(node) != told.get(node));
    if all {
        let forgives = scontrol.forgives_preferences().await?;
        engine.warmth.forgives.store(forgives, Ordering::Relaxed);
        nodes = engine.store.nodes()?.into_iter().map(|row| row.definition.name).collect();
    }
    let nodes: Vec<NodeName> = nodes.into_iter().collect();
    let changes = features::changes(&scontrol.features(&nodes).await?, &wanted);
    let is_all = changes.len() <= CHANGES_MAX;
    let mut refused = None;
    for (features, nodes) in changes.into_iter().take(CHANGES_MAX) {
        match scontrol.set_features(&nodes, &features).await {
            Ok(()) => {}
            // Some nodes' trouble is not the others'.
            Err(error @ SlurmError::Refused { .. }) => refused = Some(error),
            Err(error) => return Err(error.into()),
        }
    }
    refused.map_or(Ok(is_all.then_some(wanted)), |error| Err(error.into()))
}

/// Why a round did not come to its end.
#[derive(Debug, thiserror::Error)]
enum RoundError {
    #[error(transparent)]
    Slurm(#[from] SlurmError),
    #[error(transparent)]
    Store(#[from] StoreError),
}
