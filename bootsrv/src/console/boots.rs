//! Consoles boot by boot: where each begins, its capture where the site logs none, and what it showed.

use super::keeper::{Keeper, told};
use super::kept::Kept;
use super::lines::{last, plain, telling};
use super::log_file::{Begin, tail};
use crate::deployment::{Deployment, DeploymentId, State};
use crate::power::Captures;
use crate::store::Store;
use protocol::api::{ConsoleSource, NodeDefinition};
use std::io::Result;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The consoles of all nodes.
#[derive(Debug)]
pub struct Consoles {
    store: Arc<Store>,
    /// Of the files of captured consoles.
    directory: PathBuf,
    captures: Captures,
}

/// What a console showed of a boot that failed.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// The line that tells most, for the failure's reason.
    pub(crate) telling: Option<String>,
    /// The last lines, for the job's status.
    pub(crate) last: Vec<String>,
}

impl Consoles {
    /// Puts the parts together; nothing is captured yet.
    #[must_use]
    pub(crate) fn new(store: Arc<Store>, state_dir: &Path, captures: Captures) -> Self {
        Self { store, directory: state_dir.join("consoles"), captures }
    }

    /// The node is the boot's, and not powered on for it yet: what runs on it until then is not its own.
    pub(crate) fn forget(&self, boot: &Deployment) {
        told(&boot.node, self.store.forget_console_begin(boot.id));
    }

    /// The boot asked for its script; its power-on may not have been told before.
    pub(crate) fn begin_unless_known(&self, boot: &Deployment) {
        if self.store.console_begin(boot.id).is_ok_and(|known| known.is_none()) {
            self.begin(boot);
        }
    }

    /// A boot begins, or begins anew: what the console had before is not its own. It is captured from
    /// now on: the power command has its session by then.
    pub(crate) fn begin(&self, boot: &Deployment) {
        let Some(node) = self.definition(boot) else { return };
        let Some(path) = self.path(&node) else { return };
        let begun = match node.console {
            Some(ConsoleSource::Sol) => Kept::open(&path).and_then(|kept| kept.clear()),
            None => Ok(()),
        };
        let noted = match begun.and_then(|()| Begin::at_end(&path)) {
            Ok(begin) => self.store.note_console_begin(boot.id, &begin),
            Err(error) => {
                log::warn!("node={}: its console {}: {error}", node.name, path.display());
                self.store.forget_console_begin(boot.id)
            }
        };
        told(&node.name, noted);
        if node.console.is_some() {
            self.capture(&node, boot.id, &path);
        }
    }

    /// After a restart of this program: a boot goes on.
    pub(crate) fn resume(&self, boot: &Deployment) {
        // The one has not begun; the other is powered on again.
        let begins = matches!(boot.state, State::Waiting | State::PoweringOn);
        if begins || !boot.state.is_before_ready() {
            return;
        }
        let Some(node) = self.definition(boot).filter(|node| node.console.is_some()) else {
            return;
        };
        let Some(path) = self.path(&node) else { return };
        match self.begin_of(boot.id, &path) {
            Some(_) => self.capture(&node, boot.id, &path),
            None => self.begin(boot),
        }
    }

    /// A boot is over, well or not.
    pub(crate) fn end(&self, boot: &Deployment) {
        self.captures.end(&boot.node, boot.id);
    }

    /// What the console has shown since the boot began; nothing where that is not known.
    pub(crate) fn seen(&self, boot: &Deployment) -> Seen {
        let node = self.definition(boot);
        // A capture has ended when the node is ready: it knows nothing of a crash in use.
        let node = node.filter(|node| node.console.is_none() || boot.state.is_before_ready());
        let Some(path) = node.as_ref().and_then(|node| self.path(node)) else {
            return Seen::default();
        };
        let Some(begin) = self.begin_of(boot.id, &path) else { return Seen::default() };
        match tail(&path, Some(&begin)) {
            Ok(bytes) => {
                let lines = plain(&bytes).lines();
                Seen { telling: telling(&lines), last: last(&lines) }
            }
            Err(error) => {
                log::warn!("node={}: its console {}: {error}", boot.node, path.display());
                Seen::default()
            }
        }
    }

    /// Keeps the last lines of a boot that failed for whoever asks later.
    pub(crate) fn keep(&self, boot: &Deployment, lines: &[String]) {
        if !lines.is_empty() {
            told(&boot.node, self.store.keep_console_lines(boot.id, lines));
        }
    }

    /// The newest part of a node's console, without control characters but line feeds; `None`: its
    /// definition names none.
    ///
    /// # Errors
    /// With the file: when it cannot be read.
    pub(crate) fn newest(&self, node: &NodeDefinition) -> Option<(PathBuf, Result<String>)> {
        let path = self.path(node)?;
        let text = tail(&path, None).map(|bytes| plain(&bytes).text());
        Some((path, text))
    }

    fn definition(&self, boot: &Deployment) -> Option<NodeDefinition> {
        match self.store.node(&boot.node) {
            Ok(row) => row.map(|row| row.definition),
            Err(error) => {
                log::error!("node={}: {}", boot.node, crate::chain(&error));
                None
            }
        }
    }

    /// The file that a node's console is in.
    fn path(&self, node: &NodeDefinition) -> Option<PathBuf> {
        match node.console {
            Some(ConsoleSource::Sol) => Some(self.directory.join(format!("{}.log", node.name))),
            None => node.console_log.as_ref().map(PathBuf::from),
        }
    }

    /// Where a boot begins in that file; `None`: not known.
    fn begin_of(&self, boot: DeploymentId, path: &Path) -> Option<Begin> {
        let begin = self.store.console_begin(boot).unwrap_or_else(|error| {
            log::error!("deployment {boot}: {}", crate::chain(&error));
            None
        });
        begin.filter(|begin| begin.path == path)
    }

    fn capture(&self, node: &NodeDefinition, boot: DeploymentId, path: &Path) {
        if self.captures.is_running(&node.name, boot) {
            return;
        }
        let kept = match Kept::open(path) {
            Ok(kept) => kept,
            Err(error) => {
                log::warn!("node={}: its console {}: {error}", node.name, path.display());
                return;
            }
        };
        let former = self.store.console_session(boot).unwrap_or_default();
        let mut keeper = Keeper::new(node.name.clone(), boot, kept, Arc::clone(&self.store));
        self.captures.start(node, boot, former, move |event| keeper.hear(event));
    }
}
