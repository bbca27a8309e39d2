//! What the agent knows of this boot, and the thread that tells bootsrv.
//!
//! Stages are noted at once and delivered in the background, so that the boot never waits for a
//! report. There is one sender, so a later report never overtakes an earlier one.

use crate::console::{Complaint, say, uptime_ns};
use crate::server::Server;
use protocol::boot::{AgentStage, AppliedSetting, BootFailure, Heartbeat, StageTime};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How long a failure is tried to be delivered before the node goes off.
const FAILURE_DELIVERY: Duration = Duration::from_secs(10);
/// Between two attempts.
const RETRY: Duration = Duration::from_millis(500);

/// The report and its delivery.
#[derive(Debug)]
pub(crate) struct Reporter {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    heartbeat: Heartbeat,
    /// Whom it is for: bootsrv, with the deployment's token.
    server: Arc<Server>,
    /// An order is being carried out: whether the deployment before is over does not matter any more.
    has_order: bool,
    /// Counts the changes of the heartbeat.
    version: u64,
    /// The version bootsrv has.
    delivered: u64,
}

impl Reporter {
    /// Starts the sender. `unwanted` is called, on the sender's thread, when bootsrv answers that
    /// this boot is over.
    pub(crate) fn start(
        heartbeat: Heartbeat,
        server: Arc<Server>,
        unwanted: impl Fn(&Self) + Send + 'static,
    ) -> Arc<Self> {
        let state =
            Mutex::new(State { heartbeat, server, has_order: false, version: 1, delivered: 0 });
        let reporter = Arc::new(Self { state, changed: Condvar::new() });
        let of_thread = reporter.clone();
        thread::spawn(move || {
            let mut complaint = Complaint::default();
            loop {
                of_thread.deliver_next(&unwanted, &mut complaint);
            }
        });
        reporter
    }

    /// Notes that a stage is reached now, and prints it. A stage is reached once, and a node ends in one
    /// way only: `false` says that it was reached before, or the node ends, and nothing was done.
    pub(crate) fn reached(&self, stage: AgentStage, text: &str) -> bool {
        let reached = StageTime { stage, uptime_ns: uptime_ns() };
        let is_new = self.change(|heartbeat| {
            let is_new = may_be_reached(&heartbeat.stages, stage);
            if is_new {
                heartbeat.stages.push(reached);
            }
            is_new
        });
        if is_new {
            say(format_args!("{text}"));
        }
        is_new
    }

    /// Notes the settings as read back, with what the kernel has left of the machine.
    pub(crate) fn settings(&self, applied: Vec<AppliedSetting>, cpus_online: u32, memory_kib: u64) {
        self.change(|heartbeat| {
            heartbeat.applied = applied;
            heartbeat.cpus_online = cpus_online;
            heartbeat.memory_kib = memory_kib;
            true
        });
    }

    /// Sends what is known once more.
    pub(crate) fn beat(&self) {
        self.change(|_| true);
    }

    /// Notes the failure and waits until it is delivered, or [`FAILURE_DELIVERY`] is over; tells
    /// whether bootsrv has it.
    pub(crate) fn fail(&self, failure: BootFailure) -> bool {
        self.change(|heartbeat| {
            heartbeat.failure = Some(failure);
            true
        });
        self.wait_until_delivered(FAILURE_DELIVERY)
    }

    /// Waits until bootsrv has all that is noted now; `false`: not within the limit.
    pub(crate) fn wait_until_delivered(&self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        let mut state = self.lock();
        let wanted = state.version;
        while state.delivered < wanted {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self.wait(state, left);
        }
        true
    }

    /// From now on it is an order that decides, no longer an answer to a heartbeat. `false`: the node ends
    /// already.
    pub(crate) fn take_order(&self) -> bool {
        let mut state = self.lock();
        state.has_order = !ends(&state.heartbeat.stages);
        state.has_order
    }

    /// From now on reports for another deployment, with its token. `false`: the node shuts down, and
    /// nothing was done. A jump that failed is no end: its failure is still to be reported.
    pub(crate) fn go_on(&self, server: Arc<Server>, edit: impl FnOnce(&mut Heartbeat)) -> bool {
        let mut state = self.lock();
        if state.heartbeat.stages.iter().any(|known| known.stage == AgentStage::ShuttingDown) {
            return false;
        }
        edit(&mut state.heartbeat);
        state.server = server;
        state.has_order = false;
        state.version += 1;
        self.changed.notify_all();
        true
    }

    /// The report as it stands, for the process that goes on reporting.
    pub(crate) fn heartbeat(&self) -> Heartbeat {
        self.lock().heartbeat.clone()
    }

    /// Edits the report, and wakes the sender if the edit says that there is something to send.
    fn change(&self, edit: impl FnOnce(&mut Heartbeat) -> bool) -> bool {
        let mut state = self.lock();
        let is_changed = edit(&mut state.heartbeat);
        if is_changed {
            state.version += 1;
            self.changed.notify_all();
        }
        is_changed
    }

    /// Waits for something new and tries once to send all of it.
    fn deliver_next(&self, unwanted: &impl Fn(&Self), complaint: &mut Complaint) {
        let mut state = self.lock();
        while state.delivered >= state.version {
            state = self.wait(state, Duration::from_secs(3600));
        }
        let (version, server) = (state.version, state.server.clone());
        let mut heartbeat = state.heartbeat.clone();
        drop(state);

        heartbeat.uptime_ns = uptime_ns();
        match server.heartbeat(&heartbeat) {
            Ok(reply) => {
                let mut state = self.lock();
                // What was said of a deployment before says nothing of this one.
                if !Arc::ptr_eq(&state.server, &server) {
                    return;
                }
                state.delivered = version;
                let is_over = !reply.wanted && !state.has_order;
                drop(state);
                self.changed.notify_all();
                if is_over {
                    unwanted(self);
                }
            }
            Err(error) => {
                complaint.say(&format!("report not delivered: {error:#}"));
                thread::sleep(RETRY);
            }
        }
    }

    /// A poisoned lock is taken as it is: a report is written in one step, so it is whole.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>, limit: Duration) -> MutexGuard<'a, State> {
        self.changed.wait_timeout(state, limit).unwrap_or_else(PoisonError::into_inner).0
    }
}

/// Whether the node is about to end, in either way.
fn ends(stages: &[StageTime]) -> bool {
    stages.iter().any(|known| is_end(known.stage))
}

fn is_end(stage: AgentStage) -> bool {
    matches!(stage, AgentStage::ShuttingDown | AgentStage::Jumping)
}

fn may_be_reached(stages: &[StageTime], stage: AgentStage) -> bool {
    stages.iter().all(|known| known.stage != stage) && !(is_end(stage) && ends(stages))
}

/// An error with its causes, as a report carries it.
pub(crate) fn one_line(error: &anyhow::Error) -> String {
    format!("{error:#}").replace(['\n', '\r'], " ")
}
