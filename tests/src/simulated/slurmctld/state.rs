//! Nodes and jobs.

use super::{Call, Partition, Timing};
use crate::simulated::dice::Dice;
use crate::simulated::tally::Tally;
use protocol::names::NodeName;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::task::AbortHandle;
use tokio::time::Instant;

/// Most lines of a node's story that are kept.
const STORY_MAX: usize = 80;
/// Most broken promises that are told with their story.
const BROKEN_MAX: usize = 50;

/// A slurmd that runs, with what a test knows of it and slurmctld does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slurmd {
    /// The job the node was booted, or taken over, for.
    pub job: Option<u32>,
    /// `uname -r` of the kernel under it.
    pub release: String,
}

/// A node's place in the power-saving logic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Power {
    /// `~`.
    Off,
    /// `#`.
    PoweringUp,
    /// None of the others.
    Up,
    /// `!`: asked for; it waits until no job is on the node.
    PowerDownAsked,
    /// `%`.
    PoweringDown,
}

#[derive(Debug)]
pub(super) struct Node {
    pub(super) name: NodeName,
    pub(super) partition: usize,
    pub(super) power: Power,
    /// Since when.
    pub(super) since: Instant,
    pub(super) drain: Option<String>,
    pub(super) down: Option<String>,
    /// Out of service since.
    pub(super) out_since: Option<Instant>,
    /// Marked by `power_down_asap`, which shows as a drain.
    pub(super) asap: bool,
    pub(super) holder: Option<u32>,
    pub(super) completing: Option<Instant>,
    /// Registered last at, seconds since 1970.
    pub(super) slurmd_start: Option<i64>,
    pub(super) heard: Instant,
    pub(super) slurmd: Option<Slurmd>,
    /// AvailableFeatures and ActiveFeatures.
    pub(super) features: (String, String),
    /// Switched off under a job's try that ran well, to be explained soon.
    pub(super) off_under: Option<(u32, u32, Instant)>,
    pub(super) story: VecDeque<String>,
}

/// How far a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// From then on it may start.
    Pending(Instant),
    /// It waits for its user.
    Held,
    /// It has nodes; its prolog ended well then.
    Configuring(Option<Instant>),
    /// Until then.
    Running(Instant),
    /// It ended by itself.
    Done,
    /// Its user ended it.
    Cancelled,
}

/// A job.
#[derive(Debug, Clone)]
pub struct Job {
    /// Its id.
    pub id: u32,
    /// Place of its partition.
    pub partition: usize,
    /// How many nodes it wants.
    pub size: usize,
    /// How long it runs.
    pub lasts: Duration,
    /// `--bmc-kernel`.
    pub kernel: Option<String>,
    /// `uname -r` it must see.
    pub release: String,
    /// How often it was requeued.
    pub restarts: u32,
    /// How often it began to run.
    pub starts: u32,
    /// How far it is.
    pub phase: Phase,
    /// Places of its nodes.
    pub nodes: Vec<usize>,
    /// Its comment.
    pub comment: String,
    /// Why it was requeued, each time.
    pub requeues: Vec<String>,
    pub(super) prolog: Option<AbortHandle>,
}

impl Job {
    /// A job nobody has submitted yet.
    #[must_use]
    pub fn new(id: u32, partition: usize, size: usize, lasts: Duration) -> Self {
        Self {
            id,
            partition,
            size,
            lasts,
            kernel: None,
            release: String::new(),
            restarts: 0,
            starts: 0,
            phase: Phase::Pending(Instant::now()),
            nodes: Vec::new(),
            comment: String::new(),
            requeues: Vec::new(),
            prolog: None,
        }
    }

    pub(super) fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Done | Phase::Cancelled | Phase::Held)
    }
}

impl Phase {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Pending(_) => "pending",
            Self::Held => "held",
            Self::Configuring(_) => "configuring",
            Self::Running(_) => "running",
            Self::Done => "done",
            Self::Cancelled => "cancelled",
        }
    }
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) nodes: Vec<Node>,
    pub(super) places: HashMap<NodeName, usize>,
    pub(super) partitions: Vec<Partition>,
    pub(super) jobs: BTreeMap<u32, Job>,
    /// Jobs that are not over.
    pub(super) live: BTreeSet<u32>,
    pub(super) timing: Timing,
    pub(super) dice: Dice,
    pub(super) tally: Arc<Tally>,
    pub(super) calls: Vec<Call>,
    /// For the next call of ResumeProgram, and of SuspendProgram: one for all.
    pub(super) to_resume: Vec<(u32, Vec<NodeName>)>,
    pub(super) to_suspend: Vec<NodeName>,
    pub(super) broken: Vec<String>,
    pub(super) away_until: Option<Instant>,
    pub(super) start: Instant,
}

impl State {
    pub(super) fn new(
        names: Vec<NodeName>,
        partitions: Vec<Partition>,
        timing: Timing,
        dice: Dice,
        tally: Arc<Tally>,
    ) -> Self {
        let of_partitions = partitions.iter().enumerate();
        let places = of_partitions.flat_map(|(place, one)| std::iter::repeat_n(place, one.nodes));
        let nodes: Vec<Node> =
            names.into_iter().zip(places).map(|(name, place)| Node::new(name, place)).collect();
        let places =
            nodes.iter().enumerate().map(|(place, node)| (node.name.clone(), place)).collect();
        Self {
            nodes,
            places,
            partitions,
            jobs: BTreeMap::new(),
            live: BTreeSet::new(),
            timing,
            dice,
            tally,
            calls: Vec::new(),
            to_resume: Vec::new(),
            to_suspend: Vec::new(),
            broken: Vec::new(),
            away_until: None,
            start: Instant::now(),
        }
    }

    pub(super) fn submit(&mut self, job: Job) {
        self.live.insert(job.id);
        self.jobs.insert(job.id, job);
    }

    pub(super) fn note(&mut self, index: usize, what: &str) {
        let at = self.start.elapsed().as_secs_f64();
        let Some(node) = self.nodes.get_mut(index) else { return };
        if node.story.len() >= STORY_MAX {
            node.story.pop_front();
        }
        node.story.push_back(format!("{at:8.1} {what}"));
    }

    pub(super) fn broken(&mut self, what: String) {
        self.tally.count("promises broken");
        if self.broken.len() < BROKEN_MAX {
            let at = self.start.elapsed().as_secs_f64();
            self.broken.push(format!("{at:8.1} {what}"));
        }
    }

    /// A promise about a node.
    pub(super) fn broken_at(&mut self, index: usize, what: &str) {
        let Some(name) = self.nodes.get(index).map(|node| node.name.clone()) else { return };
        let story = self.story(&name);
        self.broken(format!("{name}: {what}\n{story}"));
    }

    pub(super) fn story(&self, name: &NodeName) -> String {
        let Some(node) = self.places.get(name).and_then(|place| self.nodes.get(*place)) else {
            return String::new();
        };
        let mut text = String::new();
        for line in &node.story {
            // Writing to a String cannot fail.
            writeln!(text, "    {line}").ok();
        }
        let Node { power, drain, down, asap, holder, slurmd, .. } = node;
        let now = format!("{power:?} {drain:?} {down:?} asap={asap} {holder:?} {slurmd:?}");
        writeln!(text, "    now: {now}").ok();
        text
    }

    pub(super) fn nodes_of(&self, id: u32) -> Vec<NodeName> {
        let places = self.jobs.get(&id).map(|job| job.nodes.as_slice()).unwrap_or_default();
        places.iter().filter_map(|place| Some(self.nodes.get(*place)?.name.clone())).collect()
    }

    pub(super) fn out_of_service(&self) -> Vec<(NodeName, String)> {
        let reason = |node: &Node| node.down.clone().or_else(|| node.drain.clone());
        self.nodes.iter().filter_map(|node| Some((node.name.clone(), reason(node)?))).collect()
    }

    pub(super) fn ends(&self) -> Vec<(String, u64)> {
        let mut ends = BTreeMap::new();
        for job in self.jobs.values() {
            *ends.entry(format!("jobs {}", job.phase.name())).or_insert(0) += 1;
            *ends.entry("jobs' starts".to_owned()).or_insert(0) += u64::from(job.starts);
            *ends.entry("jobs' requeues".to_owned()).or_insert(0) += u64::from(job.restarts);
        }
        ends.into_iter().collect()
    }

    pub(super) fn summary(&self) -> String {
        let phases =
            self.live.iter().filter_map(|id| self.jobs.get(id)).map(|job| job.phase.name());
        let powers =
            self.nodes.iter().map(|node| match (node.down.is_some(), node.drain.is_some()) {
                (true, _) => "down".to_owned(),
                (false, true) => "drained".to_owned(),
                (false, false) => format!("{:?}", node.power),
            });
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for name in phases.map(str::to_owned).chain(powers) {
            *counts.entry(name).or_default() += 1;
        }
        let shown: Vec<String> =
            counts.iter().map(|(name, count)| format!("{name} {count}")).collect();
        shown.join(", ")
    }
}

impl Node {
    fn new(name: NodeName, partition: usize) -> Self {
        Self {
            name,
            partition,
            power: Power::Off,
            since: Instant::now(),
            drain: None,
            down: None,
            out_since: None,
            asap: false,
            holder: None,
            completing: None,
            slurmd_start: None,
            heard: Instant::now(),
            slurmd: None,
            features: Default::default(),
            off_under: None,
            story: VecDeque::new(),
        }
    }

    pub(super) fn set(&mut self, power: Power) {
        (self.power, self.since) = (power, Instant::now());
    }

    pub(super) fn is_out(&self) -> bool {
        self.drain.is_some() || self.down.is_some()
    }

    pub(super) fn is_free(&self) -> bool {
        matches!(self.power, Power::Off | Power::Up)
            && !self.is_out()
            && !self.asap
            && self.holder.is_none()
            && self.completing.is_none()
    }
}

/// Seconds since 1970.
pub(super) fn now_unix_seconds() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
