//! Who hears a capture: keeps what the console writes, and tells of trouble once.

use super::kept::Kept;
use crate::deployment::DeploymentId;
use crate::store::{Store, StoreError};
use ipmi::{CaptureEvent, CaptureState};
use protocol::names::NodeName;
use std::sync::Arc;

/// The ear of one boot's capture.
pub(super) struct Keeper {
    node: NodeName,
    boot: DeploymentId,
    kept: Kept,
    store: Arc<Store>,
    /// Trouble was told of: a capture asks again for as long as the node boots.
    has_told: bool,
}

impl Keeper {
    pub(super) fn new(node: NodeName, boot: DeploymentId, kept: Kept, store: Arc<Store>) -> Self {
        Self { node, boot, kept, store, has_told: false }
    }

    pub(super) fn hear(&mut self, event: CaptureEvent<'_>) {
        match event {
            CaptureEvent::Bytes(bytes) => {
                if let Err(error) = self.kept.add(bytes) {
                    self.tell_once(&format!("keeping its console: {error}"));
                }
            }
            CaptureEvent::Session(session) => {
                told(&self.node, self.store.note_console_session(self.boot, session));
            }
            CaptureEvent::State(CaptureState::Connecting | CaptureState::Open) => {}
            CaptureEvent::State(CaptureState::InUse) => {
                self.tell_once("another session has its serial console");
            }
            CaptureEvent::State(CaptureState::Lost(why)) => {
                self.tell_once(&format!("its serial console is lost: {why}"));
            }
            CaptureEvent::State(CaptureState::Failed(why)) => {
                self.tell_once(&format!("its serial console cannot be captured: {why}"));
            }
        }
    }

    fn tell_once(&mut self, what: &str) {
        if !self.has_told {
            self.has_told = true;
            log::warn!("node={}: {what}", self.node);
        }
    }
}

/// What the console has lost is no reason to stop.
pub(super) fn told(node: &NodeName, done: Result<(), StoreError>) {
    if let Err(error) = done {
        log::error!("node={node}: {}", crate::chain(&error));
    }
}
