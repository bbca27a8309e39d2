//! Deployments as the API shows them.

use super::engine::Engine;
use super::{Blame, Deployment, Mark, State};
use crate::application::Board;
use crate::application::preparation::{Known, line};
use crate::slurm::OUR_COMMENT;
use crate::store::{Store, StoreError, Try};
use protocol::api::{DeploymentView, JobFailure, JobState, JobView, MarkView};
use protocol::application::{PreparationState, PreparationView};

/// A try of a job with all its nodes.
///
/// # Errors
/// When the store cannot be read.
pub fn job(engine: &Engine, of: &Try) -> Result<JobView, StoreError> {
    let store = &engine.store;
    let deployments = store.deployments_of_try(of.id)?;
    let nodes = deployments.iter().map(|one| deployment(store, one)).collect::<Result<_, _>>()?;
    let failure = failure(&deployments);
    Ok(JobView {
        job: of.asked.job,
        reference: of.asked.reference,
        restart_count: of.asked.restart_count,
        user: of.asked.user.clone(),
        partition: of.asked.partition.clone(),
        kernel: of.asked.kernel.clone(),
        image: of.asked.image.clone(),
        application: application(&engine.images, of, failure.is_none()),
        state: state(&deployments, of.ended),
        nodes,
        failure,
        failed_tries: store.failed_tries(of.asked.job, of.id)?,
        power_off_after: of.asked.power_off_after,
    })
}

/// How far a job's application image is.
#[must_use]
pub fn application(images: &Board, of: &Try, is_well: bool) -> Option<PreparationView> {
    let request = of.asked.application.as_ref()?;
    let image = of.asked.application_image.as_ref();
    Known { uid: of.asked.uid, request, image, waits: is_well && !of.ended }.view(images)
}

/// Where a job stands, from where its nodes stand.
#[must_use]
pub fn state(deployments: &[Deployment], ended: bool) -> JobState {
    let all = |test: fn(&Deployment) -> bool| deployments.iter().all(test);
    // Also afterwards: draining a node makes slurmctld end the job, and prolog must hear why.
    if deployments.iter().any(|one| one.failure.is_some()) {
        return JobState::Failed;
    }
    if all(|one| matches!(one.state, State::Released | State::Kept)) {
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
        console: match &one.failure {
            Some(_) => store.console_lines(one.id)?,
            None => Vec::new(),
        },
    })
}

fn mark((mark, unix_ns): (Mark, i64)) -> MarkView {
    MarkView { mark: mark.name().into(), unix_ns }
}

/// The line in a job's comment while it boots; `image`: how far its application image is.
#[must_use]
pub fn comment(deployments: &[Deployment], image: Option<&PreparationView>) -> String {
    let ready = deployments.iter().filter(|one| !one.state.is_before_ready()).count();
    let slowest = deployments.iter().min_by_key(|one| one.state);
    let waiting = slowest.filter(|one| one.state.is_before_ready());
    let what =
        waiting.map_or_else(String::new, |one| format!(", {} {}", one.node, one.state.describe()));
    // A comment for each percent would be many words for slurmctld: bmc status has the figures.
    let image = image.filter(|image| image.state != PreparationState::Ready && waiting.is_some());
    let image = image.map_or_else(String::new, |image| match image.detail.as_ref() {
        Some(detail) => format!(", image: {detail}"),
        None => format!(", {}", line(&tenths(image))),
    });
    format!("{OUR_COMMENT} {ready} of {} nodes ready{what}{image}", deployments.len())
}

/// The view with its bytes rounded down to a tenth of all.
fn tenths(view: &PreparationView) -> PreparationView {
    let step = view.bytes_total.unwrap_or(0).div_ceil(10).max(1);
    PreparationView { bytes_done: view.bytes_done / step * step, ..view.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::application::preparation::nothing;

    #[test]
    fn a_comment_says_how_far_the_image_is_in_few_steps() {
        let node = Deployment { state: State::FetchingImage, ..Deployment::example() };
        let comment = |view: PreparationView| comment(std::slice::from_ref(&node), Some(&view));
        let view = |bytes_done| PreparationView {
            bytes_done,
            bytes_total: Some(100_000_000),
            layers_total: Some(3),
            ..nothing(PreparationState::Pulling)
        };
        assert_eq!(comment(view(41_000_000)), comment(view(49_000_000)));
        let text = comment(view(41_000_000));
        assert!(
            text.ends_with("pulling the image 40 of 100 MB, 0 of 3 layers converted"),
            "{text}"
        );
        let waits = PreparationView { detail: Some("r.io asks for 7 s".into()), ..view(1) };
        assert!(comment(waits).ends_with(", image: r.io asks for 7 s"));
        assert!(comment(nothing(PreparationState::Ready)).ends_with("the application image"));
    }
}
