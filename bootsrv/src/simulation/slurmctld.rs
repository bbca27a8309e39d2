//! slurmctld as far as bootsrv sees it, after what Slurm 22.05 was observed to do.

use super::hooks::Call;
use super::world::World;
use protocol::names::NodeName;
use std::time::Duration;
use tokio::task::AbortHandle;
use tokio::time::Instant;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Power {
    Off,
    PoweringUp,
    Up,
    /// Asked for: it waits until no job is on the node.
    ToGoDown,
    PoweringDown,
}

#[derive(Debug)]
pub(super) struct Node {
    pub(super) name: NodeName,
    pub(super) power: Power,
    /// Since when.
    pub(super) since: Instant,
    pub(super) drain: Option<String>,
    pub(super) down: Option<String>,
    /// Marked by `power_down_asap`, which shows as a drain.
    pub(super) asap: bool,
    pub(super) holder: Option<u32>,
    pub(super) completing: Option<Instant>,
    pub(super) slurmd_start: Option<i64>,
    pub(super) heard: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Pending(Instant),
    Held,
    /// Its prolog ended well then.
    Configuring(Option<Instant>),
    Running(Instant),
    Done,
    Cancelled,
}

#[derive(Debug)]
pub(super) struct Job {
    pub(super) id: u32,
    pub(super) restarts: u32,
    pub(super) size: usize,
    pub(super) lasts: Duration,
    pub(super) phase: Phase,
    pub(super) nodes: Vec<usize>,
    pub(super) prolog: Option<AbortHandle>,
}

#[derive(Debug, Default)]
pub(super) struct Slurmctld {
    pub(super) nodes: Vec<Node>,
    pub(super) jobs: Vec<Job>,
    /// It does not answer until then.
    pub(super) away_until: Option<Instant>,
}

const SUSPEND_TIMEOUT: Duration = Duration::from_secs(90);
const RESUME_TIMEOUT: Duration = Duration::from_secs(630);
const SLURMD_TIMEOUT: Duration = Duration::from_secs(300);
/// Until a requeued job is tried again.
const REQUEUE_DELAY: Duration = Duration::from_secs(120);

impl Node {
    pub(super) fn new(name: NodeName) -> Self {
        Self {
            name,
            power: Power::Off,
            since: Instant::now(),
            drain: None,
            down: None,
            asap: false,
            holder: None,
            completing: None,
            slurmd_start: None,
            heard: Instant::now(),
        }
    }

    pub(super) fn set(&mut self, power: Power) {
        (self.power, self.since) = (power, Instant::now());
    }

    fn is_free(&self) -> bool {
        matches!(self.power, Power::Off | Power::Up)
            && self.drain.is_none()
            && !self.asap
            && self.down.is_none()
            && self.holder.is_none()
            && self.completing.is_none()
    }
}

impl Phase {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Pending(_) => "waiting",
            Self::Held => "held",
            Self::Configuring(_) => "configuring",
            Self::Running(_) => "running",
            Self::Done => "done",
            Self::Cancelled => "cancelled",
        }
    }
}

impl Job {
    pub(super) fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Done | Phase::Cancelled | Phase::Held)
    }
}

impl World {
    pub(super) fn slurm_is_away(&self) -> bool {
        self.slurm.away_until.is_some_and(|until| Instant::now() < until)
    }

    /// What slurmctld does once a second.
    pub(super) fn tick(&mut self) {
        let now = Instant::now();
        for index in 0..self.slurm.nodes.len() {
            self.hear(index);
            self.save_power(index, now);
        }
        for place in 0..self.slurm.jobs.len() {
            match self.slurm.jobs[place].phase {
                Phase::Configuring(Some(_)) => self.start_job(place),
                Phase::Running(until) if until <= now => self.leave(place, Phase::Done),
                Phase::Pending(begin) if begin <= now => self.allocate(place),
                _ => {}
            }
        }
    }

    /// slurmd registers, and answers afterwards.
    fn hear(&mut self, index: usize) {
        let Some(_) = self.machines[index].slurmd else { return };
        let node = &mut self.slurm.nodes[index];
        if !matches!(node.power, Power::Up | Power::PoweringUp) {
            return;
        }
        if node.slurmd_start.is_none() || node.power == Power::PoweringUp {
            node.slurmd_start = Some(crate::clock::now_unix_ns() / crate::clock::SECOND_NS);
        }
        if node.power == Power::PoweringUp {
            node.set(Power::Up);
        }
        node.heard = Instant::now();
        // ReturnToService=2.
        node.down = None;
    }

    fn save_power(&mut self, index: usize, now: Instant) {
        let node = &mut self.slurm.nodes[index];
        if node.completing.is_some_and(|until| until <= now) {
            node.completing = None;
        }
        if self.machines[index].slurmd.is_none() {
            node.slurmd_start = node.slurmd_start.filter(|_| node.power == Power::Up);
        }
        let names = vec![node.name.clone()];
        let lasted = now - node.since;
        match node.power {
            Power::ToGoDown if node.holder.is_none() && node.completing.is_none() => {
                // It forgets a drain with the mark that uses the same flag.
                node.drain = None;
                node.slurmd_start = None;
                node.set(Power::PoweringDown);
                self.calls.push(Call::Suspend(names));
            }
            Power::PoweringDown if lasted > SUSPEND_TIMEOUT => node.set(Power::Off),
            Power::PoweringUp if lasted > RESUME_TIMEOUT => {
                node.set(Power::Off);
                (node.drain, node.slurmd_start) = (None, None);
                node.down = Some("ResumeTimeout reached".into());
                self.count("ResumeTimeout");
                self.lose_node(index);
                self.calls.push(Call::ResumeFail(names));
            }
            Power::Up if now - node.heard > SLURMD_TIMEOUT && node.down.is_none() => {
                node.down = Some("Not responding".into());
                self.lose_node(index);
            }
            _ => {}
        }
    }

    /// The job of a node goes back to the queue.
    pub(super) fn lose_node(&mut self, index: usize) {
        if let Some(holder) = self.slurm.nodes[index].holder {
            self.requeue(holder);
        }
    }

    pub(super) fn place(&self, job: u32) -> usize {
        self.slurm.jobs.iter().position(|one| one.id == job).unwrap()
    }

    pub(super) fn requeue(&mut self, job: u32) {
        let place = self.place(job);
        self.count("requeued");
        self.leave(place, Phase::Pending(Instant::now() + REQUEUE_DELAY));
        self.slurm.jobs[place].restarts += 1;
    }

    /// A job leaves its nodes.
    pub(super) fn leave(&mut self, place: usize, phase: Phase) {
        let job = &mut self.slurm.jobs[place];
        let (id, nodes) = (job.id, std::mem::take(&mut job.nodes));
        let restarts = job.restarts;
        job.phase = phase;
        if let Some(prolog) = job.prolog.take() {
            prolog.abort();
        }
        for index in &nodes {
            let node = &mut self.slurm.nodes[*index];
            node.holder = None;
            node.completing = Some(Instant::now() + Duration::from_secs(2));
            if std::mem::take(&mut node.asap) && node.power == Power::Up {
                node.set(Power::ToGoDown);
            }
        }
        self.note(format!("job {id}.{restarts} leaves {nodes:?}: {}", phase.name()));
        self.calls.push(Call::Epilog(id));
        self.judge_job_end(&nodes);
    }

    fn allocate(&mut self, place: usize) {
        let free = (0..self.slurm.nodes.len()).filter(|index| self.slurm.nodes[*index].is_free());
        let nodes: Vec<usize> = free.take(self.slurm.jobs[place].size).collect();
        let job = &mut self.slurm.jobs[place];
        if nodes.len() < job.size {
            return;
        }
        (job.phase, job.nodes) = (Phase::Configuring(None), nodes.clone());
        let (id, restarts) = (job.id, job.restarts);
        let mut names = Vec::new();
        for index in &nodes {
            let node = &mut self.slurm.nodes[*index];
            node.holder = Some(id);
            node.heard = Instant::now();
            if node.power == Power::Off {
                node.slurmd_start = None;
                node.set(Power::PoweringUp);
                names.push(node.name.clone());
            }
        }
        self.note(format!("job {id}.{restarts} gets {nodes:?}"));
        self.calls.push(Call::Prolog(id, restarts));
        if !names.is_empty() {
            self.calls.push(Call::Resume(names));
        }
    }

    fn start_job(&mut self, place: usize) {
        let job = &self.slurm.jobs[place];
        let up = |index: &usize| {
            let node = &self.slurm.nodes[*index];
            node.power == Power::Up && node.slurmd_start.is_some() && node.down.is_none()
        };
        if !job.nodes.iter().all(up) {
            return;
        }
        let until = Instant::now() + job.lasts;
        self.slurm.jobs[place].phase = Phase::Running(until);
        let job = &self.slurm.jobs[place];
        self.note(format!("job {}.{} starts on {:?}", job.id, job.restarts, job.nodes));
        self.count("started");
        self.judge_job_start(place);
    }
}
