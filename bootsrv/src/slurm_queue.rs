//! Words for slurmctld, said one after the other and tried again until they are heard, so that no
//! handler and no worker waits for slurmctld.

use crate::deployment::State;
use crate::essential;
use crate::slurm::{Scontrol, SlurmError, SlurmNode};
use crate::store::Store;
use protocol::names::{JobReference, NodeName};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, mpsc};

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
    /// An admin has taken back the drain, or DOWN, that we made: the one the store says, no other.
    Undrain(NodeName),
    /// Slurm set the node DOWN, but it has no fault.
    Spare(NodeName),
    /// The node boots for no job: expect it.
    PowerUp(NodeName),
    /// Power the node down, whatever it is about to do; not if it has a job by now: that has its own word.
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
    /// Held while a comment is said.
    commenting: Arc<Mutex<()>>,
}

/// Longest wait for a comment that is under way.
const COMMENT_WAIT: Duration = Duration::from_secs(2);

/// Times a word is said before it is given up; the resync of the reconciler repairs what is lost.
const TRIES: u32 = 5;
/// Most words taken up at once.
const BATCH: usize = 1_000;

impl SlurmQueue {
    /// Makes the queue and the task that empties it.
    #[must_use]
    pub fn start(scontrol: Scontrol, store: Arc<Store>) -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        let commenting = Arc::default();
        let words = run(scontrol, store, receiver, Arc::clone(&commenting));
        essential::spawn("the Slurm queue", words);
        Self { sender, commenting }
    }

    /// A queue whose words can be looked at, for tests.
    #[must_use]
    pub fn recorded() -> (Self, mpsc::UnboundedReceiver<Word>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self { sender, commenting: Arc::default() }, receiver)
    }

    /// Waits until no comment of a job that has failed or is over by now can be said any more: what prolog
    /// writes then is the last word.
    pub async fn comments_are_said(&self) {
        drop(tokio::time::timeout(COMMENT_WAIT, self.commenting.lock()).await);
    }

    /// Leaves a word; returns at once.
    pub fn say(&self, word: Word) {
        if self.sender.send(word).is_err() {
            log::error!("the Slurm queue has ended");
        }
    }
}

async fn run(
    scontrol: Scontrol,
    store: Arc<Store>,
    mut receiver: mpsc::UnboundedReceiver<Word>,
    commenting: Arc<Mutex<()>>,
) {
    let (comments, shown) = mpsc::unbounded_channel();
    let said = say_comments(scontrol.clone(), Arc::clone(&store), shown, commenting);
    essential::spawn("the comments", said);
    let mut words = Vec::new();
    while receiver.recv_many(&mut words, BATCH).await > 0 {
        let noted: Vec<NodeName> = words.iter().filter_map(Word::noted).cloned().collect();
        // First, because a power-down makes slurmctld forget what is to be noted.
        note_drains(&scontrol, &store, &noted).await;
        let (mut resumed, mut idle, mut down) = (Vec::new(), Vec::new(), Vec::new());
        for word in words.drain(..) {
            match word.clone() {
                // Many nodes go off together: one word for all of them.
                Word::Resume(node) => resumed.push(node),
                Word::PowerDownWhenIdle(node) => idle.push(node),
                Word::PowerDown(node) => down.push(node),
                Word::NoteDrain(_) => {}
                // slurmctld requeues the job a moment after its epilog: wait beside the queue.
                Word::StartNow(job) => drop(tokio::spawn(start_now(scontrol.clone(), job))),
                Word::Undrain(node) => undrain(&scontrol, &store, &node).await,
                Word::Comment(job, text) => drop(comments.send((job, text))),
                Word::Drain(..) | Word::Down(..) | Word::Spare(_) | Word::PowerUp(_) => {
                    say(&scontrol, &word).await;
                }
            }
        }
        power_down(&scontrol, &down.into_iter().collect()).await;
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
            | Word::PowerDown(_)
            | Word::PowerDownWhenIdle(_)
            | Word::Undrain(_)
            | Word::StartNow(_) => Ok(()),
            Word::Spare(node) => scontrol.resume(std::slice::from_ref(node)).await,
            Word::Drain(node, reason) => scontrol.drain(node, reason).await,
            Word::Down(node, reason) => scontrol.down(node, reason).await,
            Word::PowerUp(node) => scontrol.power_up(node).await,
        };
        let Err(error) = result else {
            log::debug!("slurmctld heard {word:?}");
            return;
        };
        log::warn!("telling slurmctld {word:?}, attempt {attempt}: {}", crate::chain(&error));
        tokio::time::sleep(Duration::from_millis(500 * u64::from(attempt))).await;
    }
}

/// Not a node that slurmctld has given to a job since: it would be taken from under it. The job whose
/// fault or end this is about has left it, or is leaving it (`COMPLETING`).
async fn power_down(scontrol: &Scontrol, nodes: &BTreeSet<NodeName>) {
    let nodes: Vec<NodeName> = nodes.iter().cloned().collect();
    for attempt in 1..=TRIES {
        if nodes.is_empty() {
            return;
        }
        let Err(error) = power_down_free(scontrol, &nodes).await else { return };
        log::warn!("powering down, attempt {attempt}: {}", crate::chain(&error));
        tokio::time::sleep(Duration::from_millis(500 * u64::from(attempt))).await;
    }
}

async fn power_down_free(scontrol: &Scontrol, nodes: &[NodeName]) -> Result<(), SlurmError> {
    let shown = scontrol.nodes(nodes).await?;
    let has_job = |shown: &SlurmNode| shown.has_job() && !shown.has("COMPLETING");
    let (busy, free): (Vec<&NodeName>, Vec<&NodeName>) =
        nodes.iter().partition(|node| shown.get(*node).is_some_and(has_job));
    for node in busy {
        log::info!("node={node} is not powered down in Slurm: it has a job by now");
    }
    // One that slurmctld does not know would make it refuse the others.
    let free: Vec<NodeName> =
        free.into_iter().filter(|node| shown.contains_key(*node)).cloned().collect();
    if free.is_empty() { Ok(()) } else { scontrol.power_down(&free).await }
}

/// Said once: the resync says it again until slurmctld has heard it.
async fn undrain(scontrol: &Scontrol, store: &Store, node: &NodeName) {
    let reason = match store.ending_drain(node) {
        Ok(Some(reason)) => reason,
        Ok(None) => return,
        Err(error) => return log::error!("node={node}: {}", crate::chain(&error)),
    };
    if let Err(error) = scontrol.undrain(node, &reason).await {
        return log::warn!("taking the drain of {node} back: {}", crate::chain(&error));
    }
    if let Err(error) = store.drain_has_ended(node, &reason) {
        log::error!("node={node}: {}", crate::chain(&error));
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
    commenting: Arc<Mutex<()>>,
) {
    let mut comments = Vec::new();
    while receiver.recv_many(&mut comments, BATCH).await > 0 {
        let latest: HashMap<JobReference, String> = comments.drain(..).collect();
        for (job, text) in latest {
            let _said = commenting.lock().await;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slurm::Carrier;
    use futures_util::FutureExt;
    use futures_util::future::BoxFuture;
    use std::sync::Mutex;

    /// A slurmctld whose node is in that state, and what it was told.
    #[derive(Debug, Default)]
    struct Node {
        state: &'static str,
        told: Mutex<Vec<String>>,
    }

    impl Carrier for Node {
        fn carry<'a>(&'a self, words: &'a [&'a str]) -> BoxFuture<'a, Result<String, SlurmError>> {
            async move {
                if words.first() == Some(&"update") {
                    self.told.lock().unwrap().push(words.join(" "));
                }
                Ok(format!("NodeName=n1 State={}\n", self.state))
            }
            .boxed()
        }
    }

    #[tokio::test]
    async fn a_node_that_has_a_job_by_now_is_not_powered_down() {
        let told = "update nodename=n1 state=power_down_force";
        for (state, expected) in [
            ("ALLOCATED+POWERING_UP", vec![]),
            ("ALLOCATED", vec![]),
            ("MIXED", vec![]),
            ("IDLE+POWERING_UP", vec![told]),
            ("IDLE+COMPLETING+POWERING_UP", vec![told]),
            ("ALLOCATED+COMPLETING", vec![told]),
        ] {
            let node = Arc::new(Node { state, ..Node::default() });
            let carrier: Arc<dyn Carrier> = Arc::clone(&node) as Arc<dyn Carrier>;
            let nodes = BTreeSet::from(["n1", "n9"].map(|name| name.parse().unwrap()));
            power_down(&Scontrol::over(carrier), &nodes).await;
            assert_eq!(*node.told.lock().unwrap(), expected, "{state}");
        }
    }
}
