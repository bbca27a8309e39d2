//! The nodes' power: one worker a node, and nobody else talks to its baseboard controller.

mod controller;
mod inrush;
mod worker;

pub use controller::{Controller, Reading};

use crate::clock::now_unix_ns;
use crate::deployment::transition::Event;
use crate::deployment::{DeploymentId, Mark, State};
use energy::Sample;
use inrush::Inrush;
use protocol::api::{NodeDefinition, PowerAction};
use protocol::names::NodeName;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{mpsc, oneshot, watch};

/// What a worker is told to do.
#[derive(Debug)]
pub enum Order {
    /// Power on from off for this deployment.
    On(DeploymentId),
    /// Power off and look until it is; for this deployment, if any.
    Off(Option<DeploymentId>),
    /// An admin's wish, answered with the power as seen afterwards.
    Admin(PowerAction, oneshot::Sender<Result<Power, String>>),
}

/// Who hears what the workers see, and decides what follows.
pub trait Listener: std::fmt::Debug + Send + Sync {
    /// Something happened to a deployment.
    fn happened(&self, node: &NodeName, id: DeploymentId, event: &Event, marks: &[(Mark, i64)]);
    /// A meter was read.
    fn reading(&self, node: &NodeName, sample: Sample, meter: &str);
    /// The readings of a node that is off do not change any more.
    fn settled(&self, node: &NodeName);
    /// Whether the node waits in iPXE ([`Fleet::is_held`]).
    fn is_held(&self, node: &NodeName) -> bool;
}

/// Whether a node has power, as its controller says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Power {
    /// It has.
    On,
    /// It has not.
    Off,
}

/// The last a worker saw.
#[derive(Debug, Clone, Copy, Default)]
pub struct Observed {
    /// Power; `None`: not known.
    pub power: Option<Power>,
    /// Last reading; `None`: none, or no meter.
    pub watts: Option<u32>,
    /// When, nanoseconds since 1970.
    pub at_unix_ns: i64,
}

#[derive(Debug)]
struct Handle {
    orders: mpsc::UnboundedSender<Order>,
    active: watch::Sender<State>,
    observed: watch::Receiver<Observed>,
    definition: NodeDefinition,
}

/// All workers.
#[derive(Debug, Clone, Default)]
pub struct Fleet {
    handles: Arc<Mutex<HashMap<NodeName, Handle>>>,
    held: Arc<Mutex<HashMap<NodeName, i64>>>,
    by_hand: Arc<Mutex<HashSet<NodeName>>>,
    strangers: Arc<Mutex<HashMap<NodeName, i64>>>,
}

/// A node that asked for the hold script within this time is waiting in iPXE.
const HELD_NS: i64 = 4 * crate::clock::SECOND_NS;

/// Between two log lines about strangers that ask for one node's script: anybody can ask.
const STRANGER_NS: i64 = 60 * crate::clock::SECOND_NS;

impl Fleet {
    fn handles(&self) -> MutexGuard<'_, HashMap<NodeName, Handle>> {
        self.handles.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives every node its worker; a node whose definition changed gets a new one.
    pub fn start(&self, nodes: &[NodeDefinition], site: &Arc<Site>) {
        let mut handles = self.handles();
        for definition in nodes {
            if handles.get(&definition.name).is_some_and(|handle| &handle.definition == definition)
            {
                continue;
            }
            let (orders, orders_receiver) = mpsc::unbounded_channel();
            let (active, active_receiver) = watch::channel(State::Released);
            let (observed_sender, observed) = watch::channel(Observed::default());
            worker::start(
                definition.clone(),
                Arc::clone(site),
                worker::Lines {
                    orders: orders_receiver,
                    active: active_receiver,
                    observed: observed_sender,
                },
            );
            let handle = Handle { orders, active, observed, definition: definition.clone() };
            handles.insert(definition.name.clone(), handle);
        }
    }

    /// Tells a node's worker what to do; returns at once.
    pub fn order(&self, node: &NodeName, order: Order) {
        match self.handles().get(node) {
            Some(handle) if handle.orders.send(order).is_ok() => {}
            _ => log::error!("node={node} has no power worker: is it still defined?"),
        }
    }

    /// Tells the worker where the node's newest deployment stands: it samples power while one lives.
    pub fn set_active(&self, node: &NodeName, state: State) {
        if let Some(handle) = self.handles().get(node) {
            handle.active.send_replace(state);
        }
    }

    /// What was last seen of a node.
    #[must_use]
    pub fn observed(&self, node: &NodeName) -> Observed {
        self.handles().get(node).map(|handle| *handle.observed.borrow()).unwrap_or_default()
    }

    /// Notes that a node asked for its script and got the hold script; gives whether that is new.
    pub fn note_held(&self, node: &NodeName) -> bool {
        let now = now_unix_ns();
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.insert(node.clone(), now).is_none_or(|before| now - before > HELD_NS)
    }

    /// Notes that a stranger asked for a node's boot script; gives whether the last was long ago.
    pub fn note_stranger(&self, node: &NodeName) -> bool {
        let now = now_unix_ns();
        let mut strangers = self.strangers.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = strangers.get(node).is_none_or(|before| now - before > STRANGER_NS);
        if is_due {
            strangers.insert(node.clone(), now);
        }
        is_due
    }

    /// Notes that an admin switched a node by hand: on, it may stay so with nothing to do. A restart
    /// of bootsrv forgets it; maintenance is remembered.
    pub fn note_by_hand(&self, node: &NodeName, action: PowerAction) {
        let mut by_hand = self.by_hand.lock().unwrap_or_else(PoisonError::into_inner);
        match action {
            PowerAction::On => drop(by_hand.insert(node.clone())),
            PowerAction::Off => drop(by_hand.remove(node)),
            PowerAction::Status => {}
        }
    }

    /// Whether an admin has the node on by hand.
    #[must_use]
    pub fn is_on_by_hand(&self, node: &NodeName) -> bool {
        self.by_hand.lock().unwrap_or_else(PoisonError::into_inner).contains(node)
    }

    /// Whether a node waits in iPXE, so that it needs no power cycle to boot afresh.
    #[must_use]
    pub fn is_held(&self, node: &NodeName) -> bool {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.get(node).is_some_and(|at| now_unix_ns() - at < HELD_NS)
    }
}

pub use worker::Site;

/// The site's inrush limit.
#[must_use]
pub fn inrush(per_second: u32) -> Arc<Inrush> {
    Arc::new(Inrush::new(per_second))
}
