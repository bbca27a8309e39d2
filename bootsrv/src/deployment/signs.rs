//! What is heard of the nodes' agents, and who waits to tell them something.
//!
//! In memory only: after a restart of bootsrv the agents are heard of again within
//! [`protocol::boot::ORDERS_SECONDS`].

use super::DeploymentId;
use protocol::boot::ORDERS_SECONDS;
use protocol::names::{Digest, NodeName};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// An agent keeps a question open all the time: one that is away for longer than it is kept open, and
/// a little, is not there.
const ALIVE: Duration = Duration::from_secs(ORDERS_SECONDS as u64 + 10);

/// Most kernels remembered that do not clear memory.
const KERNELS_MAX: usize = 1_000;

/// The nodes' signs of life.
#[derive(Debug)]
pub struct Signs {
    /// Since when we listen.
    since: Instant,
    nodes: Mutex<HashMap<NodeName, Node>>,
    cannot_clear: Mutex<HashSet<Digest>>,
}

impl Default for Signs {
    fn default() -> Self {
        Self { since: Instant::now(), nodes: Mutex::default(), cannot_clear: Mutex::default() }
    }
}

#[derive(Debug, Default)]
struct Node {
    heard: Option<Instant>,
    boot: Option<(DeploymentId, Instant)>,
    changed: Arc<Notify>,
}

impl Signs {
    fn nodes(&self) -> MutexGuard<'_, HashMap<NodeName, Node>> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The node's agent was heard of.
    pub fn heard(&self, node: &NodeName) {
        self.nodes().entry(node.clone()).or_default().heard = Some(Instant::now());
    }

    /// The node's boot for a deployment was heard of: it asked for its script, or its agent reported.
    pub fn boot_heard(&self, node: &NodeName, id: DeploymentId) {
        self.nodes().entry(node.clone()).or_default().boot = Some((id, Instant::now()));
    }

    /// When the node was heard of last.
    #[must_use]
    pub fn heard_at(&self, node: &NodeName) -> Option<Instant> {
        self.nodes().get(node)?.heard
    }

    /// When its boot for that deployment was, if that is the boot that was heard of last.
    #[must_use]
    pub fn boot_heard_at(&self, node: &NodeName, id: DeploymentId) -> Option<Instant> {
        let (of, at) = self.nodes().get(node)?.boot?;
        (of == id).then_some(at)
    }

    /// Whether it was lately.
    #[must_use]
    pub fn is_alive(&self, node: &NodeName) -> bool {
        let heard = self.nodes().get(node).and_then(|node| node.heard);
        heard.is_some_and(|at| at.elapsed() < ALIVE)
    }

    /// Whether it was within that time; `None`: we have not listened for so long.
    #[must_use]
    pub fn was_heard_within(&self, node: &NodeName, time: Duration) -> Option<bool> {
        let heard = self.nodes().get(node).and_then(|node| node.heard);
        match heard.is_some_and(|at| at.elapsed() < time) {
            true => Some(true),
            false => (self.since.elapsed() >= time).then_some(false),
        }
    }

    /// Wakes who waits for something to tell the node.
    pub fn wake(&self, node: &NodeName) {
        if let Some(node) = self.nodes().get(node) {
            node.changed.notify_waiters();
        }
    }

    /// What [`Self::wake`] wakes.
    #[must_use]
    pub fn changed(&self, node: &NodeName) -> Arc<Notify> {
        Arc::clone(&self.nodes().entry(node.clone()).or_default().changed)
    }

    /// A kernel was told to clear the memory, and did not.
    pub fn note_cannot_clear(&self, vmlinuz: Digest) {
        let mut kernels = self.cannot_clear.lock().unwrap_or_else(PoisonError::into_inner);
        if kernels.len() < KERNELS_MAX {
            kernels.insert(vmlinuz);
        }
    }

    /// Whether that was seen of a kernel.
    #[must_use]
    pub fn cannot_clear(&self, vmlinuz: &Digest) -> bool {
        self.cannot_clear.lock().unwrap_or_else(PoisonError::into_inner).contains(vmlinuz)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_agent_that_is_not_heard_of_is_not_there() {
        let (signs, node) = (Signs::default(), "n1".parse().unwrap());
        assert!(!signs.is_alive(&node));
        signs.heard(&node);
        tokio::time::advance(ALIVE - Duration::from_secs(1)).await;
        assert!(signs.is_alive(&node));
        tokio::time::advance(Duration::from_secs(2)).await;
        assert!(!signs.is_alive(&node));
    }

    #[tokio::test(start_paused = true)]
    async fn a_boot_is_heard_of_for_its_deployment_only() {
        let (signs, node) = (Signs::default(), "n1".parse().unwrap());
        signs.boot_heard(&node, 1);
        assert_eq!(signs.boot_heard_at(&node, 1), Some(Instant::now()));
        assert_eq!(signs.boot_heard_at(&node, 2), None);
        assert_eq!(signs.heard_at(&node), None, "another question");
    }
}
