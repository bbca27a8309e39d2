//! Who gets which nodes, and when a job starts.

use super::Call;
use super::state::{Phase, Power, State};
use tokio::time::Instant;

/// Jobs that are looked at although they found no room, so that small ones pass large ones.
const LOOK_PAST_MAX: usize = 100;

impl State {
    /// First come, first served; a job that finds no room is passed by those that do.
    pub(super) fn allocate(&mut self, now: Instant) {
        let mut free: Vec<Vec<usize>> = vec![Vec::new(); self.partitions.len()];
        for (index, node) in self.nodes.iter().enumerate().filter(|(_, node)| node.is_free()) {
            if let Some(of) = free.get_mut(node.partition) {
                of.push(index);
            }
        }
        // A node that is on is taken last here, first there: `pop` takes from the end.
        for of in &mut free {
            of.sort_by_key(|index| {
                self.nodes.get(*index).is_some_and(|node| node.power == Power::Up)
            });
        }
        let mut passed = 0;
        for id in self.live.clone() {
            let waits = |phase| matches!(phase, Phase::Pending(begin) if begin <= now);
            let Some(job) = self.jobs.get(&id).filter(|job| waits(job.phase)) else { continue };
            let size = job.size;
            let Some(of) = free.get_mut(job.partition) else { continue };
            if of.len() < size {
                passed += 1;
                if passed > LOOK_PAST_MAX || free.iter().all(Vec::is_empty) {
                    return;
                }
                continue;
            }
            let nodes = of.split_off(of.len() - size);
            self.give(id, nodes);
        }
    }

    fn give(&mut self, id: u32, nodes: Vec<usize>) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        (job.phase, job.nodes) = (Phase::Configuring(None), nodes.clone());
        let restarts = job.restarts;
        let mut names = Vec::new();
        for index in nodes {
            let Some(node) = self.nodes.get_mut(index) else { continue };
            node.holder = Some(id);
            node.heard = Instant::now();
            if node.power == Power::Off {
                node.slurmd_start = None;
                node.set(Power::PoweringUp);
                names.push(node.name.clone());
            }
            self.note(index, &format!("job {id}.{restarts} gets it"));
        }
        self.calls.push(Call::Prolog(id, restarts));
        if !names.is_empty() {
            self.to_resume.push((id, names));
        }
    }

    /// A job whose prolog has ended well starts when all its nodes have registered.
    pub(super) fn start_job(&mut self, id: u32) {
        let Some(job) = self.jobs.get(&id) else { return };
        let up = |index: &usize| {
            self.nodes.get(*index).is_some_and(|node| {
                node.power == Power::Up && node.slurmd_start.is_some() && node.down.is_none()
            })
        };
        if !job.nodes.iter().all(up) {
            return;
        }
        self.judge_job_start(id);
        if let Some(job) = self.jobs.get_mut(&id) {
            job.phase = Phase::Running(Instant::now() + job.lasts);
            job.starts += 1;
            for index in job.nodes.clone() {
                self.note(index, &format!("job {id} runs"));
            }
        }
    }
}
