//! The nodes' power: one worker a node, and nobody else commands its baseboard controller.

mod breaker;
mod captures;
mod driver;
mod drivers;
mod inrush;
mod listener;
mod order;
mod patience;
#[cfg(test)]
#[path = "../simulation/driver.rs"]
pub(crate) mod simulated;
mod site;
#[cfg(test)]
mod testing;
mod worker;

pub use captures::Captures;
pub use driver::IPMI_SENSOR;
pub use listener::{Listener, SILENCE};
pub use order::{Observed, Order, Power, PowerOff};
pub use site::Site;

use crate::deployment::State;
use drivers::Drivers;
use protocol::api::{ConsoleSource, NodeDefinition, PowerAction};
use protocol::names::NodeName;
use protocol::power::PowerDefinition;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

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
    held: Arc<Mutex<HashMap<NodeName, Instant>>>,
    by_hand: Arc<Mutex<HashSet<NodeName>>>,
    strangers: Arc<Mutex<HashMap<NodeName, Instant>>>,
    /// Consoles that are captured: a controller may have few sessions.
    pub captures: Captures,
}

/// A node that asked for the hold script within this time is waiting in iPXE.
const HELD: Duration = Duration::from_secs(4);

/// Between two log lines about strangers that ask for one node's script: anybody can ask.
const STRANGER: Duration = Duration::from_secs(60);

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
            // A node that is in use is so for its new worker too.
            let known = handles.get(&definition.name).map(|handle| *handle.active.borrow());
            let (active, active_receiver) = watch::channel(known.unwrap_or(State::Released));
            let (observed_sender, observed) = watch::channel(Observed::default());
            worker::start(
                definition.clone(),
                Drivers::open_anyway(definition, &self.captures),
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

    /// How many nodes there are.
    pub fn nodes(&self) -> usize {
        self.handles().len()
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

    /// Shows a node so, without a worker that looks at it.
    #[cfg(test)]
    pub(crate) fn show(&self, node: &NodeDefinition, seen: Observed) {
        let (orders, active) = (mpsc::unbounded_channel().0, watch::Sender::new(State::Released));
        let observed = watch::channel(seen).1;
        let handle = Handle { orders, active, observed, definition: node.clone() };
        self.handles().insert(node.name.clone(), handle);
    }

    /// What was last seen of a node.
    #[must_use]
    pub fn observed(&self, node: &NodeName) -> Observed {
        self.handles().get(node).map(|handle| *handle.observed.borrow()).unwrap_or_default()
    }

    /// Notes that a node asked for its script and got the hold script; gives whether that is new.
    pub fn note_held(&self, node: &NodeName) -> bool {
        let now = Instant::now();
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.insert(node.clone(), now).is_none_or(|before| now - before > HELD)
    }

    /// Notes that a stranger asked for a node's boot script; gives whether the last was long ago.
    pub fn note_stranger(&self, node: &NodeName) -> bool {
        let now = Instant::now();
        let mut strangers = self.strangers.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = strangers.get(node).is_none_or(|before| now - *before > STRANGER);
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
        held.get(node).is_some_and(|at| at.elapsed() < HELD)
    }
}

/// Whether this bootsrv can do with the node as its definition says.
///
/// # Errors
/// One line on why not.
pub fn supported(definition: &NodeDefinition) -> Result<(), String> {
    if definition.console.is_some() && definition.console_log.is_some() {
        return Err("console and console_log are two ways to one console: leave one out".into());
    }
    let is_ipmi = matches!(definition.power, PowerDefinition::Ipmi { .. });
    if definition.console == Some(ConsoleSource::Sol) && !is_ipmi {
        return Err("console = \"sol\" goes over IPMI: power.method is not \"ipmi\"".into());
    }
    Drivers::open(definition, &Captures::default()).map(drop)
}
