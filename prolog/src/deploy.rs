//! The sequence: ask bootsrv, wait until the nodes are up, give up at the deadline. Over a server
//! and a clock, so that tests need neither; knows nothing of Slurm.
//!
//! Every request may be repeated, and is, whenever the answer was lost.

use crate::verdict::Verdict;
use bootsrv_client::ClientError;
use protocol::api::{JOB_WAIT_SECONDS_MAX, JobRequest, JobState, JobView};
use protocol::application::{PreparationState, PreparationView};
use protocol::error::ErrorKind;
use protocol::names::JobId;
use std::time::Duration;

/// How long bootsrv may keep an answer back until the job's boot is decided. Longer than that, and a
/// bootsrv whose machine has died is found late.
const WAIT: Duration = Duration::from_secs(JOB_WAIT_SECONDS_MAX as u64);
/// Shortest time from one question to the next: of a bootsrv that does not keep answers back.
const POLL: Duration = Duration::from_millis(100);
/// After bootsrv did not answer or was busy; it doubles up to [`RETRY_MAX`].
const RETRY_MIN: Duration = Duration::from_millis(200);
/// Longest pause: a bootsrv that is back is found within this.
const RETRY_MAX: Duration = Duration::from_secs(2);
/// A job that was ended while it booted is asked about once more after this time: slurmctld runs epilog
/// and ResumeFailProgram at once, and why it ended may be heard after that it did.
const WHY: Duration = Duration::from_secs(1);
/// How many nodes a message names.
const NODES_NAMED_MAX: usize = 3;
const MEGABYTE: u64 = 1_000_000;

/// The part of bootsrv's API this sequence needs.
pub(crate) trait Server {
    /// Asks for the boot.
    fn put(&self, job: JobId, request: &JobRequest) -> Result<JobView, ClientError>;
    /// Where the job stands, once its boot is decided or that time is over.
    fn get(&self, job: JobId, wait: Duration) -> Result<JobView, ClientError>;
}

/// Time since prolog started.
pub(crate) trait Clock {
    /// Since the start.
    fn elapsed(&self) -> Duration;
    /// Waits.
    fn sleep(&self, time: Duration);
}

/// When to give up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Since the start, the site's own script included; below Slurm's `PrologEpilogTimeout`.
    pub(crate) timeout: Duration,
}

/// Asks and waits.
pub(crate) fn wait(
    server: &dyn Server,
    clock: &dyn Clock,
    job: JobId,
    request: &JobRequest,
    limits: Limits,
) -> Verdict {
    let mut asked = false;
    let mut retry = RETRY_MIN;
    let mut seen = Seen::Nothing;
    let mut is_over = false;
    loop {
        let begin = clock.elapsed();
        let answer = if asked {
            server.get(job, WAIT.min(limits.timeout.saturating_sub(begin)))
        } else {
            server.put(job, request)
        };
        let pause = match answer {
            Ok(view) => {
                let verdict = judge(&view, request, asked);
                match verdict {
                    Some(Verdict::Over { .. }) if !is_over => {
                        is_over = true;
                        WHY
                    }
                    Some(verdict) => return verdict,
                    None => {
                        retry = RETRY_MIN;
                        // An older try that is still being cleared away is not ours: ask again.
                        let was_asked = asked;
                        asked = view.restart_count == request.restart_count;
                        seen = Seen::Booting(progress(&view));
                        // It is heard now: from here on the answer may be waited for.
                        let took = clock.elapsed().saturating_sub(begin);
                        if asked && !was_asked { Duration::ZERO } else { POLL.saturating_sub(took) }
                    }
                }
            }
            Err(error) => match error.kind() {
                ErrorKind::User | ErrorKind::Forbidden if asked => {
                    // It knew the job and no longer does: its store was set back. Ask anew.
                    asked = false;
                    POLL
                }
                ErrorKind::Busy => {
                    let pause = retry;
                    if retry == RETRY_MIN {
                        log::warn!("job={job} {}", error.chain());
                    }
                    retry = (retry * 2).min(RETRY_MAX);
                    seen = Seen::Unavailable(error.chain());
                    pause
                }
                kind @ (ErrorKind::User
                | ErrorKind::Forbidden
                | ErrorKind::Site
                | ErrorKind::Internal) => return refused(kind, error.chain()),
            },
        };
        if clock.elapsed() + pause >= limits.timeout {
            return seen.give_up(limits.timeout);
        }
        clock.sleep(pause);
    }
}

/// `None`: wait on.
fn judge(view: &JobView, request: &JobRequest, asked: bool) -> Option<Verdict> {
    if view.restart_count > request.restart_count {
        let reason = format!("try {} of this job has begun meanwhile", view.restart_count + 1);
        return Some(Verdict::Over { reason });
    }
    if view.restart_count < request.restart_count {
        return None;
    }
    match view.state {
        JobState::Booting => None,
        JobState::Ready => Some(Verdict::Ready {
            nodes: request.nodes.clone(),
            power_off_after: view.power_off_after,
        }),
        JobState::Failed => Some(failed(view)),
        // The answer to the very first request may still show how this try ended before slurmctld
        // was restarted; from then on it is the end of the job.
        JobState::Ending | JobState::Ended if !asked => None,
        JobState::Ending | JobState::Ended => {
            Some(Verdict::Over { reason: "the job was ended while its nodes booted".into() })
        }
    }
}

fn failed(view: &JobView) -> Verdict {
    let Some(failure) = &view.failure else {
        let reason = format!("bootsrv gives no reason; {}", progress(view));
        return Verdict::TryAgain { reason, kind: ErrorKind::Internal, failed_tries: None };
    };
    let reason = match &failure.node {
        Some(node) if !failure.reason.contains(node.as_str()) => {
            format!("{node}: {}", failure.reason)
        }
        _ => failure.reason.clone(),
    };
    if failure.hold {
        Verdict::Hold { reason, kind: ErrorKind::User }
    } else {
        let failed_tries = Some(view.failed_tries);
        Verdict::TryAgain { reason, kind: ErrorKind::Site, failed_tries }
    }
}

fn refused(kind: ErrorKind, reason: String) -> Verdict {
    match kind {
        ErrorKind::User | ErrorKind::Forbidden => Verdict::Hold { reason, kind },
        ErrorKind::Busy | ErrorKind::Site | ErrorKind::Internal => {
            Verdict::TryAgain { reason, kind, failed_tries: None }
        }
    }
}

/// What the job waits for, for people: its image if that is on its way, and the nodes that are not
/// ready.
fn progress(view: &JobView) -> String {
    let image = view.application.as_ref().and_then(image);
    let waiting: Vec<String> = view
        .nodes
        .iter()
        .filter(|node| node.state != "ready")
        .map(|node| format!("{} is {} ({})", node.node, node.state, node.detail))
        .collect();
    let more = waiting.len().saturating_sub(NODES_NAMED_MAX);
    let mut text: Vec<String> = image.into_iter().collect();
    text.extend(waiting.into_iter().take(NODES_NAMED_MAX));
    if more > 0 {
        text.push(format!("{more} more"));
    }
    text.join(", ")
}

/// What the application image is doing; none: nothing any more.
fn image(application: &PreparationView) -> Option<String> {
    let doing = match application.state {
        PreparationState::Resolving => "being asked for at its registry".to_owned(),
        PreparationState::Pulling => match application.bytes_total {
            Some(total) => format!(
                "being fetched, {} of {} MB",
                application.bytes_done / MEGABYTE,
                total / MEGABYTE
            ),
            None => "being fetched".to_owned(),
        },
        PreparationState::Converting => "being converted".to_owned(),
        PreparationState::Failed => "not to be had".to_owned(),
        PreparationState::Ready => return None,
    };
    let detail = application.detail.as_ref().map(|detail| format!(": {detail}"));
    Some(format!("{} is {doing}{}", application.reference, detail.unwrap_or_default()))
}

/// What was last heard, for the message at the deadline.
enum Seen {
    Nothing,
    Booting(String),
    Unavailable(String),
}

impl Seen {
    fn give_up(self, after: Duration) -> Verdict {
        let after = after.as_secs();
        let (reason, kind) = match self {
            Self::Nothing => (format!("no answer after {after} s"), ErrorKind::Busy),
            Self::Booting(nodes) => (format!("not up after {after} s: {nodes}"), ErrorKind::Site),
            Self::Unavailable(reason) => {
                (format!("gave up after {after} s: {reason}"), ErrorKind::Busy)
            }
        };
        // bootsrv has noted no fault of a node: only the number of starts is known.
        Verdict::TryAgain { reason, kind, failed_tries: None }
    }
}

#[cfg(test)]
#[path = "deploy_tests.rs"]
mod tests;
