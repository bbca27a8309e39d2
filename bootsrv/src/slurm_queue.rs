//! Words for slurmctld, said one after the other and tried again until they are heard, so that no
//! handler and no worker waits for slurmctld.

use crate::deployment::State;
use crate::essential;
use crate::slurm::{Scontrol, SlurmNode};
use crate::store::Store;
use protocol::names::{JobReference, NodeName};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// Something slurmctld has to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Word {
    /// The node is off and may be allocated again.
    Resume(NodeName),
    /// The node's job is over: look whether an admin drained the node during it. slurmctld forgets
    /// such a drain when it starts SuspendProgram, because `power_down_asap` uses the same flag.
    NoteDrain(NodeName),
    /// Take the node out of service.
    Drain(NodeName, String),
    /// Set the node DOWN.
    Down(NodeName, String),
    /// The admin's maintenance is over: take back the drain that it made, and no other.
    Undrain(NodeName),
    /// Slurm set the node DOWN, but it has no fault.
    Spare(NodeName),
    /// The node boots for no job: expect it.
    PowerUp(NodeName),
    /// Power the node down.
    PowerDown(NodeName),
    /// Power the node down as soon as no job is on it: its job was not to have it marked before.
    PowerDownWhenIdle(NodeName),
    /// Show this in the job's comment.
    Comment(JobReference, String),
    /// The job was requeued for a node's fault: let it start at once.
    StartNow(JobReference),
}

impl Word {
    fn noted(&self) -> Option<&NodeName> {
        let Self::NoteDrain(node) = self else { return None };
        Some(node)
    }
}

/// How the reason of a drain begins that `bmc node maintenance` made.
pub const MAINTENANCE: &str = "maintenance: ";

/// The sending end.
#[derive(Debug, Clone)]
pub struct SlurmQueue {
    sender: mpsc::UnboundedSender<Word>,
}

/// Times a word is said before it is given up; the resync of the reconciler repairs what is lost.
const TRIES: u32 = 5;
/// Most words taken up at once.
const BATCH: usize = 1_000;

impl SlurmQueue {
    /// Makes the queue and the task that empties it.
    #[must_use]
    pub fn start(scontrol: Scontrol, store: Arc<Store>) -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        essential::spawn("the Slurm queue", run(scontrol, store, receiver));
        Self { sender }
    }

    /// A queue whose words can be looked at, for tests.
    #[must_use]
    pub fn recorded() -> (Self, mpsc::UnboundedReceiver<Word>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self { sender }, receiver)
    }

    /// Leaves a word; returns at once.
    pub fn say(&self, word: Word) {
        if self.sender.send(word).is_err() {
            log::error!("the Slurm queue has ended");
        }
    }
}

async fn run(scontrol: Scontrol, store: Arc<Store>, mut receiver: mpsc::UnboundedReceiver<Word>) {
    let (comments, shown) = mpsc::unbounded_channel();
    essential::spawn("the comments", say_comments(scontrol.clone(), Arc::clone(&store), shown));
    let mut words = Vec::new();
    while receiver.recv_many(&mut words, BATCH).await > 0 {
        let noted: Vec<NodeName> = words.iter().filter_map(Word::noted).cloned().collect();
        // First, because a power-down makes slurmctld forget what is to be noted.
        note_drains(&scontrol, &store, &noted).await;
        let (mut resumed, mut idle) = (Vec::new(), Vec::new());
        for word in words.drain(..) {
            match word.clone() {
                // Many nodes go off together: one word for all of them.
                Word::Resume(node) => resumed.push(node),
                Word::PowerDownWhenIdle(node) => idle.push(node),
                Word::NoteDrain(_) => {}
                // slurmctld requeues the job a moment after its epilog: wait beside the queue.
                Word::StartNow(job) => drop(tokio::spawn(start_now(scontrol.clone(), job))),
                Word::Undrain(node) => {
                    drop(store.set_kept_drain(&node, None));
                    say(&scontrol, &word).await;
                }
                Word::Comment(job, text) => drop(comments.send((job, text))),
                Word::Drain(..)
                | Word::Down(..)
                | Word::Spare(_)
                | Word::PowerUp(_)
                | Word::PowerDown(_) => say(&scontrol, &word).await,
            }
        }
        power_down_when_idle(&scontrol, &idle).await;
        resume(&scontrol, &store, resumed).await;
    }
}

async fn note_drains(scontrol: &Scontrol, store: &Store, nodes: &[NodeName]) {
    if nodes.is_empty() {
        return;
    }
    match scontrol.nodes(nodes).await {
        Ok(shown) => {
            for (node, shown) in shown {
                if let Some(reason) = shown.admin_drain()
                    && let Err(error) = store.set_kept_drain(&node, Some(reason))
                {
                    log::error!("node={node}: {}", crate::chain(&error));
                }
            }
        }
        Err(error) => log::warn!("asking slurmctld: {}", crate::chain(&error)),
    }
}

async fn say(scontrol: &Scontrol, word: &Word) {
    for attempt in 1..=TRIES {
        let result = match word {
            // Taken out of the batch before.
            Word::Resume(_)
            | Word::NoteDrain(_)
            | Word::Comment(..)
            | Word::PowerDownWhenIdle(_)
            | Word::StartNow(_) => Ok(()),
            Word::Spare(node) => scontrol.resume(std::slice::from_ref(node)).await,
            Word::Drain(node, reason) => scontrol.drain(node, reason).await,
            Word::Down(node, reason) => scontrol.down(node, reason).await,
            Word::Undrain(node) => scontrol.undrain(node, MAINTENANCE).await,
            Word::PowerUp(node) => scontrol.power_up(node).await,
            Word::PowerDown(node) => scontrol.power_down(std::slice::from_ref(node)).await,
        };
        let Err(error) = result else {
            log::debug!("slurmctld heard {word:?}");
            return;
        };
        log::warn!("telling slurmctld {word:?}, attempt {attempt}: {}", crate::chain(&error));
        tokio::time::sleep(Duration::from_millis(500 * u64::from(attempt))).await;
    }
}

async fn power_down_when_idle(scontrol: &Scontrol, nodes: &[NodeName]) {
    for attempt in 1..=TRIES {
        let told =
            if nodes.is_empty() { Ok(()) } else { scontrol.power_down_when_idle(nodes).await };
        let Err(error) = told else { return };
        log::warn!("powering down, attempt {attempt}: {}", crate::chain(&error));
        tokio::time::sleep(Duration::from_millis(500 * u64::from(attempt))).await;
    }
}

/// Refused until slurmctld has requeued the job; a held one stays held.
async fn start_now(scontrol: Scontrol, job: JobReference) {
    for attempt in 1..=TRIES {
        tokio::time::sleep(Duration::from_millis(700 * u64::from(attempt))).await;
        match scontrol.start_now(job).await {
            Ok(()) => return,
            Err(error) => log::debug!("job={job}: {}", crate::chain(&error)),
        }
    }
}

/// `state=resume` ends the wait for SuspendTimeout, but it also clears DRAIN and DOWN: such a node,
/// of ours or an admin's, is left to wait, because nobody is to get it anyway. A drain that slurmctld forgot
/// when it powered the node down is made again.
async fn resume(scontrol: &Scontrol, store: &Store, mut nodes: Vec<NodeName>) {
    for attempt in 1..=TRIES {
        if nodes.is_empty() {
            return;
        }
        match scontrol.nodes(&nodes).await {
            Ok(shown) => {
                forget_safe_drains(store, &shown);
                // Only a node that slurmctld is powering down is waiting. Before that it is too
                // early: its SuspendProgram has still to come, and brings this word again.
                let waits = |shown: &SlurmNode| {
                    shown.has("POWERING_DOWN") && !shown.has("DRAIN") && !shown.has("DOWN")
                };
                nodes.retain(|node| shown.get(node).is_some_and(waits));
                drain_again(scontrol, store, &mut nodes).await;
                if nodes.is_empty() || scontrol.resume(&nodes).await.is_ok() {
                    return;
                }
            }
            Err(error) => log::warn!("asking slurmctld: {}", crate::chain(&error)),
        }
        tokio::time::sleep(Duration::from_millis(300 * u64::from(attempt))).await;
    }
}

/// A drain that has outlived the start of SuspendProgram stays, and a node that is DOWN is out of
/// use as well: to make the drain again later would undo what an admin has ended.
fn forget_safe_drains(store: &Store, shown: &HashMap<NodeName, SlurmNode>) {
    let powered_down = |shown: &SlurmNode| shown.has("POWERING_DOWN") || shown.has("POWERED_DOWN");
    let out_of_use = |shown: &SlurmNode| shown.has("DRAIN") || shown.has("DOWN");
    for (node, _) in shown.iter().filter(|(_, shown)| out_of_use(shown) && powered_down(shown)) {
        if let Err(error) = store.set_kept_drain(node, None) {
            log::error!("node={node}: {}", crate::chain(&error));
        }
    }
}

/// Shows how far jobs are, beside everything else: a comment is a courtesy, and nothing that matters
/// may wait for it. Of several for one job only the latest is said.
async fn say_comments(
    scontrol: Scontrol,
    store: Arc<Store>,
    mut receiver: mpsc::UnboundedReceiver<(JobReference, String)>,
) {
    let mut comments = Vec::new();
    while receiver.recv_many(&mut comments, BATCH).await > 0 {
        let latest: HashMap<JobReference, String> = comments.drain(..).collect();
        for (job, text) in latest {
            if !still_boots(&store, job) {
                continue;
            }
            if let Err(error) = scontrol.comment(job, &text).await {
                log::debug!("{}", crate::chain(&error));
            }
        }
    }
}

/// The comment of a failed or ended job is prolog's: it says why the job is held.
fn still_boots(store: &Store, job: JobReference) -> bool {
    let latest = store.latest_try_of(job).ok().flatten();
    let nodes = latest.and_then(|one| store.deployments_of_try(one.id).ok()).unwrap_or_default();
    nodes.iter().all(|one| one.state <= State::Ready && one.failure.is_none())
}

/// Takes the nodes out of the list whose drain slurmctld forgot, and drains them.
async fn drain_again(scontrol: &Scontrol, store: &Store, nodes: &mut Vec<NodeName>) {
    let mut drained = Vec::new();
    nodes.retain(|node| match store.kept_drain(node) {
        Ok(Some(reason)) => {
            drained.push((node.clone(), reason));
            false
        }
        Ok(None) => true,
        Err(error) => {
            log::error!("node={node}: {}", crate::chain(&error));
            true
        }
    });
    for (node, reason) in drained {
        match scontrol.drain(&node, &reason).await {
            Ok(()) => drop(store.set_kept_drain(&node, None)),
            Err(error) => log::warn!("node={node}: {}", crate::chain(&error)),
        }
    }
}
