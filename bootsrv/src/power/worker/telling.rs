//! What the worker has to say, and says again until it is taken: the store may be locked, or its disk
//! full, just then.

use super::Worker;
use crate::clock::now_unix_ns;
use crate::deployment::DeploymentId;
use crate::deployment::transition::Event;
use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// Between two attempts.
const AGAIN: Duration = Duration::from_secs(1);
/// Most that is remembered: a node's deployments that end while the store cannot be written.
const UNTOLD_MAX: usize = 16;

/// What was not taken yet, oldest first, with when it happened.
#[derive(Debug, Default)]
pub(super) struct Untold {
    news: VecDeque<(DeploymentId, Event, i64)>,
    next: Option<Instant>,
}

impl Untold {
    /// Waits until something is to be said again.
    pub(super) async fn is_due(&self) {
        match self.next {
            Some(at) => sleep_until(at).await,
            None => std::future::pending().await,
        }
    }

    fn keep(&mut self, id: DeploymentId, event: Event, at_unix_ns: i64) {
        if self.news.len() < UNTOLD_MAX {
            self.news.push_back((id, event, at_unix_ns));
        }
        self.next = Some(Instant::now() + AGAIN);
    }
}

impl Worker {
    pub(super) fn tell(&mut self, id: Option<DeploymentId>, event: &Event) {
        let Some(id) = id else { return };
        let now = now_unix_ns();
        // All else is said again anyway, or would be wrong later: a boot that was cut is another by then.
        let counts =
            matches!(event, Event::PowerOnAccepted | Event::PowerSeenOff | Event::Failed(_));
        if !self.is_taken(id, event, now) && counts {
            self.untold.keep(id, event.clone(), now);
        }
    }

    pub(super) fn tell_again(&mut self) {
        self.untold.next = None;
        while let Some((id, event, at)) = self.untold.news.pop_front() {
            if !self.is_taken(id, &event, at) {
                self.untold.news.push_front((id, event, at));
                self.untold.next = Some(Instant::now() + AGAIN);
                return;
            }
        }
    }

    fn is_taken(&self, id: DeploymentId, event: &Event, at_unix_ns: i64) -> bool {
        let name = &self.definition.name;
        self.listener().is_none_or(|listener| listener.happened(name, id, event, at_unix_ns))
    }
}
