//! slurmctld as far as bootsrv, its hooks and its nodes see it, after what Slurm 22.05 was observed to
//! do (the virtual cluster has the real one). Times are shorter than a site's.

mod alloc;
mod judge;
mod state;
#[cfg(test)]
mod tests;
mod tick;
mod words;

pub use state::{Job, Phase, Power, Slurmd};

use crate::simulated::dice::Dice;
use crate::simulated::tally::Tally;
use protocol::names::NodeName;
use state::State;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep};

/// Between two looks at everything; real ones look every second or later.
const TICK: Duration = Duration::from_millis(200);

/// A program that slurmctld starts.
#[derive(Debug, Clone)]
pub enum Call {
    /// PrologSlurmctld of a job's try.
    Prolog(u32, u32),
    /// EpilogSlurmctld.
    Epilog(u32, u32),
    /// ResumeProgram: jobs, and the nodes that each waits for.
    Resume(Vec<(u32, Vec<NodeName>)>),
    /// SuspendProgram.
    Suspend(Vec<NodeName>),
    /// ResumeFailProgram.
    ResumeFail(Vec<NodeName>),
}

/// slurm.conf's times.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// SuspendTimeout.
    pub suspend_timeout: Duration,
    /// ResumeTimeout.
    pub resume_timeout: Duration,
    /// SlurmdTimeout.
    pub slurmd_timeout: Duration,
    /// Until a requeued job is tried again; two minutes in 22.05.
    pub requeue_delay: Duration,
    /// SuspendTime of the partition whose nodes stay on.
    pub suspend_time: Duration,
    /// How long a node is COMPLETING.
    pub completing: Duration,
}

/// A partition.
#[derive(Debug, Clone)]
pub struct Partition {
    /// Its name.
    pub name: String,
    /// How many nodes it has; they follow each other.
    pub nodes: usize,
    /// `after_job = "stay_on"`.
    pub stays_on: bool,
}

/// The stand-in.
#[derive(Debug)]
pub struct Slurmctld {
    state: Mutex<State>,
    calls: UnboundedSender<Call>,
}

impl Slurmctld {
    /// With all nodes powered down.
    #[must_use]
    pub fn new(
        nodes: Vec<NodeName>,
        partitions: Vec<Partition>,
        timing: Timing,
        dice: Dice,
        tally: Arc<Tally>,
        calls: UnboundedSender<Call>,
    ) -> Self {
        let state = State::new(nodes, partitions, timing, dice, tally);
        Self { state: Mutex::new(state), calls }
    }

    /// Runs for ever.
    pub async fn run(self: Arc<Self>) {
        let mut was_away = false;
        loop {
            sleep(TICK).await;
            self.with(|state| {
                let is_away = state.is_away();
                if was_away && !is_away {
                    state.comes_back();
                }
                was_away = is_away;
                if !is_away {
                    state.tick();
                }
            });
        }
    }

    /// Does something with the state, and starts the programs that follow.
    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let result = act(&mut state);
        let calls = std::mem::take(&mut state.calls);
        drop(state);
        for call in calls {
            // Whoever starts programs is gone only at the end of a run.
            self.calls.send(call).ok();
        }
        result
    }

    /// `sbatch`.
    pub fn submit(&self, job: Job) {
        self.with(|state| state.submit(job));
    }

    /// slurmd has registered from a node.
    pub fn registered(&self, index: usize, slurmd: Slurmd) {
        self.with(|state| state.registered(index, slurmd));
    }

    /// slurmd does not run there any more.
    pub fn lost(&self, index: usize) {
        self.with(|state| state.lost(index));
    }

    /// A node's power came or went, or came again.
    pub fn power_changed(&self, index: usize, on: bool) {
        self.with(|state| state.power_changed(index, on));
    }

    /// A line of a node's story, which is told where a promise about it is broken.
    pub fn note(&self, index: usize, what: &str) {
        self.with(|state| state.note(index, what));
    }

    /// A promise is broken.
    pub fn broken(&self, what: &str) {
        self.with(|state| state.broken(what.to_owned()));
    }

    /// All broken promises so far.
    #[must_use]
    pub fn all_broken(&self) -> Vec<String> {
        self.with(|state| state.broken.clone())
    }

    /// What a scontrol with these arguments prints; the error goes to its standard error.
    ///
    /// # Errors
    /// What slurmctld refuses.
    pub fn scontrol(&self, arguments: &[&str]) -> Result<String, String> {
        self.with(|state| state.scontrol(arguments))
    }

    /// It does not answer for so long; its prologs end with it.
    pub fn go_away(&self, time: Duration) {
        self.with(|state| state.go_away(Instant::now() + time));
    }

    /// A job that has nodes is cancelled, if there is one.
    pub fn cancel_one(&self) {
        self.with(State::cancel_one);
    }

    /// What its PrologSlurmctld runs with.
    #[must_use]
    pub fn job(&self, id: u32) -> Option<Job> {
        self.with(|state| state.jobs.get(&id).cloned())
    }

    /// A job's nodes by name.
    #[must_use]
    pub fn nodes_of(&self, id: u32) -> Vec<NodeName> {
        self.with(|state| state.nodes_of(id))
    }

    /// The prolog of a job's try has started.
    pub fn prolog_started(&self, id: u32, restarts: u32, handle: AbortHandle) {
        self.with(|state| state.prolog_started(id, restarts, handle));
    }

    /// It ended with this exit code.
    pub fn prolog_ended(&self, id: u32, restarts: u32, code: i32) {
        self.with(|state| state.prolog_ended(id, restarts, code));
    }

    /// Jobs that are not over.
    #[must_use]
    pub fn jobs_left(&self) -> usize {
        self.with(|state| state.live.len())
    }

    /// Whether every node is powered down, or out of service with a reason.
    #[must_use]
    pub fn is_at_rest(&self) -> bool {
        self.with(State::is_at_rest)
    }

    /// Nodes that are drained or down, with their reasons.
    #[must_use]
    pub fn out_of_service(&self) -> Vec<(NodeName, String)> {
        self.with(|state| state.out_of_service())
    }

    /// How many jobs ended in which way, and how often they were started.
    #[must_use]
    pub fn ends(&self) -> Vec<(String, u64)> {
        self.with(|state| state.ends())
    }

    /// Looks at everything once all is quiet.
    pub fn judge_rest(&self) {
        self.with(State::judge_rest);
    }

    /// Ids of jobs that have been started at least once.
    #[must_use]
    pub fn jobs_started(&self) -> BTreeSet<u32> {
        self.with(|state| {
            state.jobs.values().filter(|job| job.starts > 0).map(|job| job.id).collect()
        })
    }

    /// What is known of a node, and its story.
    #[must_use]
    pub fn story(&self, name: &NodeName) -> String {
        self.with(|state| state.story(name))
    }

    /// For somebody who looks on: jobs pending, starting, running; nodes by power.
    #[must_use]
    pub fn summary(&self) -> String {
        self.with(|state| state.summary())
    }
}
