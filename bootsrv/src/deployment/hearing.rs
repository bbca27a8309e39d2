//! What the nodes' power workers see, as events of deployments, and what they ask.

use super::engine::Engine;
use super::transition::Event;
use super::{Deployment, DeploymentId, State};
use crate::clock::now_unix_ns;
use crate::power::{Listener, SILENCE};
use energy::Sample;
use protocol::api::PowerAction;
use protocol::names::NodeName;
use tokio::time::Instant;

/// Longest reason of a failure, in characters.
const REASON_CHARS_MAX: usize = 1_000;

impl Listener for Engine {
    fn happened(&self, node: &NodeName, id: DeploymentId, event: &Event, at_unix_ns: i64) -> bool {
        if *event == Event::PowerSeenOff {
            self.fleet.note_by_hand(node, PowerAction::Off);
        }
        let done = self.apply_at(id, event, at_unix_ns);
        if let Err(error) = &done {
            log::error!("node={node} {event:?}: {}", crate::chain(error));
        }
        !done.is_err_and(|error| error.passes())
    }

    fn reading(&self, node: &NodeName, sample: Sample, meter: &str) {
        if let Err(error) = self.store.add_sample(node, sample, meter) {
            log::error!("node={node}: keeping a reading: {}", crate::chain(&error));
        }
    }

    fn settled(&self, node: &NodeName) {
        match self.store.live_deployments_of(node) {
            Ok(live) => {
                for one in live.iter().filter(|one| one.state == State::Settling) {
                    self.happened(node, one.id, &Event::Settled, now_unix_ns());
                }
            }
            Err(error) => log::error!("node={node}: {}", crate::chain(&error)),
        }
    }

    fn is_held(&self, node: &NodeName) -> bool {
        self.fleet.is_held(node)
    }

    fn is_alive(&self, node: &NodeName) -> Option<bool> {
        self.signs.was_heard_within(node, SILENCE)
    }

    fn heard_at(&self, node: &NodeName) -> Option<Instant> {
        self.signs.heard_at(node)
    }

    fn boot_heard_at(&self, node: &NodeName, id: DeploymentId) -> Option<Instant> {
        self.signs.boot_heard_at(node, id)
    }

    fn stuck(&self, node: &NodeName, _id: Option<DeploymentId>, tried: &str) {
        self.drain(node, &format!("power does not go off: {tried}"));
    }

    fn explained(&self, node: &NodeName, id: DeploymentId, lines: &[String]) {
        let Ok(Some(Deployment { failure: Some(failure), .. })) = self.store.deployment(id) else {
            return;
        };
        let reason = format!("{}; controller: {}", failure.reason, lines.join("; "));
        let reason: String = reason.chars().take(REASON_CHARS_MAX).collect();
        if let Err(error) = self.store.explain_failure(id, &reason) {
            log::error!("node={node}: {}", crate::chain(&error));
        }
        log::warn!("node={node} failed: {reason}");
    }
}
