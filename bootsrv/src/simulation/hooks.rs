//! Slurm's hooks as our programs are: they ask bootsrv again and again for a while, then give up.

use super::slurmctld::{Phase, Power};
use super::world::{Shared, World, go, with};
use crate::http::{App, doors};
use protocol::api::{JobRequest, JobState, JobView, NodesRequest};
use protocol::error::ErrorKind;
use protocol::names::{JobId, JobReference, NodeName};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// A hook that slurmctld starts.
#[derive(Debug, Clone)]
pub(super) enum Call {
    Prolog(u32, u32),
    Epilog(u32),
    Resume(Vec<NodeName>),
    Suspend(Vec<NodeName>),
    ResumeFail(Vec<NodeName>),
}

/// What happens to the next hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HookFault {
    Lost,
    Late,
    Twice,
}

/// How long prolog waits for its nodes, and the others for bootsrv.
const PROLOG: Duration = Duration::from_secs(900);
const POWER: Duration = Duration::from_secs(25);
const EPILOG: Duration = Duration::from_secs(7);
/// `tries_max` of client.toml.
const TRIES_MAX: u32 = 3;

pub(super) fn start(shared: &Shared, call: Call) {
    let of = Arc::clone(shared);
    match call {
        Call::Prolog(job, restarts) => {
            let handle = go(shared, prolog(of, job, restarts));
            with(shared, |world| {
                let place = world.place(job);
                world.slurm.jobs[place].prolog = Some(handle);
            });
        }
        other => drop(go(shared, program(of, other))),
    }
}

async fn program(shared: Shared, call: Call) {
    let fault = with(&shared, |world| {
        let fault = world.next_hook.take();
        if let Some(fault) = fault {
            world.note(format!("{fault:?}: {call:?}"));
        }
        fault
    });
    let delay = with(&shared, |world| world.dice.millis(20, 300));
    sleep(delay).await;
    match fault {
        Some(HookFault::Lost) => return,
        // As long as a program goes on trying.
        Some(HookFault::Late) => sleep(Duration::from_secs(20)).await,
        Some(HookFault::Twice) | None => {}
    }
    pass_on(&shared, &call).await;
    if fault == Some(HookFault::Twice) {
        sleep(Duration::from_secs(2)).await;
        pass_on(&shared, &call).await;
    }
}

async fn pass_on(shared: &Shared, call: &Call) {
    let (start, patience) =
        (Instant::now(), if matches!(call, Call::Epilog(_)) { EPILOG } else { POWER });
    while start.elapsed() < patience {
        if let Some(app) = with(shared, |world| world.app.clone()) {
            if let Err((kind, what)) = tell(&app, call).await {
                with(shared, |world| world.broken(format!("{call:?}: {kind:?} {what}")));
            }
            return;
        }
        sleep(Duration::from_millis(500)).await;
    }
    with(shared, |world| world.count("hook gave up"));
}

async fn tell(app: &App, call: &Call) -> Result<(), (ErrorKind, String)> {
    let nodes = |nodes: &[NodeName], for_jobs: &[NodeName]| NodesRequest {
        nodes: nodes.to_vec(),
        for_jobs: for_jobs.to_vec(),
    };
    match call {
        Call::Prolog(..) => Ok(()),
        Call::Epilog(job) => doors::end_job(app, JobId(*job)).await,
        Call::Resume(names) => doors::resume(app, &nodes(names, names)),
        Call::Suspend(names) => doors::suspend(app, nodes(names, &[])).await,
        Call::ResumeFail(names) => doors::resume_fail(app, nodes(names, &[])).await,
    }
}

/// How prolog ends.
enum Verdict {
    Ready { power_off_after: bool },
    Hold,
    TryAgain { failed_tries: Option<u32> },
    Over,
}

async fn prolog(shared: Shared, job: u32, restarts: u32) {
    let (start, mut asked) = (Instant::now(), false);
    let request = with(&shared, |world| world.request(job, restarts));
    let verdict = loop {
        if start.elapsed() > PROLOG {
            break Verdict::TryAgain { failed_tries: None };
        }
        if let Some(app) = with(&shared, |world| world.app.clone()) {
            let answer = if asked {
                doors::get_job(&app, JobId(job)).await
            } else {
                let answer = doors::put_job(&app, JobId(job), &request);
                with(&shared, |world| world.note_deployments(job));
                answer
            };
            match answer {
                Ok(view) => {
                    if let Some(verdict) = judge(&view, restarts, asked) {
                        break verdict;
                    }
                    asked = view.restart_count == restarts;
                }
                Err((ErrorKind::User | ErrorKind::Forbidden, _)) if asked => asked = false,
                Err((kind, what)) => {
                    with(&shared, |world| world.broken(format!("job {job}: {kind:?} {what}")));
                    break Verdict::TryAgain { failed_tries: None };
                }
            }
        }
        sleep(Duration::from_millis(250)).await;
    };
    with(&shared, |world| world.prolog_ends(job, restarts, &verdict));
}

fn judge(view: &JobView, restarts: u32, asked: bool) -> Option<Verdict> {
    if view.restart_count != restarts {
        return (view.restart_count > restarts).then_some(Verdict::Over);
    }
    match view.state {
        JobState::Booting => None,
        JobState::Ready => Some(Verdict::Ready { power_off_after: view.power_off_after }),
        JobState::Failed if view.failure.as_ref().is_some_and(|failure| failure.hold) => {
            Some(Verdict::Hold)
        }
        JobState::Failed => Some(Verdict::TryAgain { failed_tries: Some(view.failed_tries) }),
        JobState::Ending | JobState::Ended if !asked => None,
        JobState::Ending | JobState::Ended => Some(Verdict::Over),
    }
}

impl World {
    fn request(&self, job: u32, restarts: u32) -> JobRequest {
        let nodes = &self.slurm.jobs[self.place(job)].nodes;
        JobRequest {
            reference: JobReference::Job(JobId(job)),
            nodes: nodes.iter().map(|index| self.slurm.nodes[*index].name.clone()).collect(),
            restart_count: restarts,
            user: "alice".into(),
            uid: 2001,
            account: None,
            partition: "bmc".into(),
            options: serde_json::from_str("{}").unwrap(),
        }
    }

    fn note_deployments(&mut self, job: u32) {
        let Some(latest) = self.store.latest_try(JobId(job)).unwrap() else { return };
        for one in self.store.deployments_of_try(latest.id).unwrap() {
            let of_node = self.deployments.entry(one.node).or_default();
            if !of_node.contains(&one.id) {
                of_node.push(one.id);
            }
        }
    }

    fn prolog_ends(&mut self, job: u32, restarts: u32, verdict: &Verdict) {
        let place = self.place(job);
        let of = &mut self.slurm.jobs[place];
        if of.restarts != restarts || of.phase != Phase::Configuring(None) {
            return;
        }
        of.prolog = None;
        match verdict {
            Verdict::Ready { power_off_after } => {
                of.phase = Phase::Configuring(Some(Instant::now()));
                for index in of.nodes.clone() {
                    let node = &mut self.slurm.nodes[index];
                    node.asap = *power_off_after && node.power == Power::Up;
                }
            }
            Verdict::TryAgain { failed_tries } => {
                if failed_tries.unwrap_or(restarts + 1) < TRIES_MAX {
                    self.count("prolog: try again");
                    self.requeue(job);
                } else {
                    self.count("prolog: held after its tries");
                    self.leave(place, Phase::Held);
                }
            }
            Verdict::Hold => {
                self.count("prolog: held");
                self.leave(place, Phase::Held);
            }
            Verdict::Over => {
                self.count("prolog: over");
                self.requeue(job);
            }
        }
    }
}
