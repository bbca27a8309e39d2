//! Deployments as the API shows them.

use super::{Blame, Deployment, Mark, State};
use crate::slurm::OUR_COMMENT;
use crate::store::{Store, StoreError, Try};
use protocol::api::{DeploymentView, JobFailure, JobState, JobView, MarkView};

/// A try of a job with all its nodes.
///
/// # Errors
/// When the store cannot be read.
pub fn job(store: &Store, of: &Try) -> Result<JobView, StoreError> {
    let deployments = store.deployments_of_try(of.id)?;
    let nodes = deployments.iter().map(|one| deployment(store, one)).collect::<Result<_, _>>()?;
    Ok(JobView {
        job: of.asked.job,
        reference: of.asked.reference,
        restart_count: of.asked.restart_count,
        user: of.asked.user.clone(),
        partition: of.asked.partition.clone(),
        kernel: of.asked.kernel.clone(),
        image: of.asked.image.clone(),
        state: state(&deployments, of.ended),
        nodes,
        failure: failure(&deployments),
        failed_tries: store.failed_tries(of.asked.job, of.id)?,
        power_off_after: of.asked.power_off_after,
    })
}

/// Where a job stands, from where its nodes stand.
#[must_use]
pub fn state(deployments: &[Deployment], ended: bool) -> JobState {
    let all = |test: fn(&Deployment) -> bool| deployments.iter().all(test);
    // Also afterwards: draining a node makes slurmctld end the job, and prolog must hear why.
    if deployments.iter().any(|one| one.failure.is_some()) {
        return JobState::Failed;
    }
    if all(|one| one.state == State::Released) {
        return JobState::Ended;
    }
    if ended || all(|one| one.state > State::Ready) {
        return JobState::Ending;
    }
    if all(|one| !one.state.is_before_ready()) { JobState::Ready } else { JobState::Booting }
}

/// The failure that decides what happens to the job: a fault of the job's own weighs more.
fn failure(deployments: &[Deployment]) -> Option<JobFailure> {
    let failed = || deployments.iter().filter_map(|one| Some((one, one.failure.as_ref()?)));
    let (one, worst) =
        failed().find(|(_, failure)| failure.blame == Blame::Job).or_else(|| failed().next())?;
    Some(JobFailure {
        hold: worst.blame == Blame::Job,
        node: Some(one.node.clone()),
        reason: worst.reason.clone(),
    })
}

fn deployment(store: &Store, one: &Deployment) -> Result<DeploymentView, StoreError> {
    let timeline = store.marks(one.id)?;
    Ok(DeploymentView {
        node: one.node.clone(),
        state: one.state.name().into(),
        detail: match &one.failure {
            Some(failure) => format!("failed: {}", failure.reason),
            None => one.state.describe().into(),
        },
        since_unix_ns: one.since_unix_ns,
        timeline: timeline.into_iter().map(mark).collect(),
        applied: one.applied.clone(),
    })
}

fn mark((mark, unix_ns): (Mark, i64)) -> MarkView {
    MarkView { mark: mark.name().into(), unix_ns }
}

/// The line in a job's comment while it boots.
#[must_use]
pub fn comment(deployments: &[Deployment]) -> String {
    let ready = deployments.iter().filter(|one| !one.state.is_before_ready()).count();
    let slowest = deployments.iter().min_by_key(|one| one.state);
    let waiting = slowest.filter(|one| one.state.is_before_ready());
    let what =
        waiting.map_or_else(String::new, |one| format!(", {} {}", one.node, one.state.describe()));
    format!("{OUR_COMMENT} {ready} of {} nodes ready{what}", deployments.len())
}
