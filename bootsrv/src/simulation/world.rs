//! What a run consists of, behind one lock: machines, slurmctld, the store, and bootsrv while it is up.

use super::dice::Dice;
use super::hooks::{self, Call, HookFault};
use super::machine::Machine;
use super::slurmctld::Slurmctld;
use crate::clock::now_unix_ns;
use crate::config::Config;
use crate::deployment::DeploymentId;
use crate::http::App;
use crate::hub::Hub;
use crate::store::Store;
use protocol::names::NodeName;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::task::AbortHandle;
use tokio::time::Instant;

/// Most lines of a trace that are kept.
const TRACE_MAX: usize = 2_000;

#[derive(Debug)]
pub(crate) struct World {
    pub(super) dice: Dice,
    pub(super) machines: Vec<Machine>,
    pub(super) slurm: Slurmctld,
    pub(super) store: Arc<Store>,
    pub(super) config: Arc<Config>,
    pub(super) hub: Arc<Hub>,
    /// bootsrv, while it is up.
    pub(super) app: Option<App>,
    pub(super) next_hook: Option<HookFault>,
    /// Hooks to be started when the lock is free.
    pub(super) calls: Vec<Call>,
    /// Every deployment of a node, in order.
    pub(super) deployments: BTreeMap<NodeName, Vec<DeploymentId>>,
    pub(super) counts: BTreeMap<String, u32>,
    pub(super) broken: Vec<String>,
    pub(super) trace: VecDeque<String>,
    /// Of the whole trace: two runs of one seed have the same.
    pub(super) digest: u64,
    pub(super) start: Instant,
    /// By more than a second or two: what is when cannot be compared.
    pub(super) clock_was_set: bool,
}

pub(super) type Shared = Arc<Mutex<World>>;

/// Does something with the world, and starts the hooks that follow.
pub(super) fn with<T>(shared: &Shared, act: impl FnOnce(&mut World) -> T) -> T {
    let mut world = shared.lock().unwrap();
    let result = act(&mut world);
    let calls = std::mem::take(&mut world.calls);
    drop(world);
    for call in calls {
        hooks::start(shared, call);
    }
    result
}

/// Starts a part of the simulation; its panic breaks the run.
pub(super) fn go(shared: &Shared, part: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
    let part = tokio::spawn(part);
    let (handle, shared) = (part.abort_handle(), Arc::clone(shared));
    tokio::spawn(async move {
        if part.await.is_err_and(|error| error.is_panic()) {
            let mut world = shared.lock().unwrap_or_else(PoisonError::into_inner);
            world.broken("a part of the simulation panicked".into());
        }
    });
    handle
}

impl World {
    pub(super) fn note(&mut self, what: String) {
        let line = format!("{:>10.1} {what}", self.start.elapsed().as_secs_f64());
        // FNV-1a.
        for byte in line.bytes() {
            self.digest = (self.digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        self.trace.push_back(line);
        if self.trace.len() > TRACE_MAX {
            self.trace.pop_front();
        }
    }

    pub(super) fn count(&mut self, what: &str) {
        *self.counts.entry(what.to_owned()).or_default() += 1;
    }

    /// A promise is broken: the trace up to here is kept.
    pub(super) fn broken(&mut self, what: String) {
        if self.broken.is_empty() {
            let trace: Vec<String> = self.trace.iter().cloned().collect();
            self.broken.push(format!("{}\n{what}, at {}", trace.join("\n"), now_unix_ns()));
        } else {
            self.broken.push(what);
        }
    }
}
