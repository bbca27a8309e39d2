//! The promises, and where they are looked at.

use super::state::{Phase, Power, State};
use std::time::Duration;
use tokio::time::Instant;

/// Within this time bootsrv has told slurmctld why it switched a node off.
const EXPLAINED: Duration = Duration::from_secs(15);

impl State {
    /// A job starts on nodes that were booted for it, with its kernel, and on no other.
    pub(super) fn judge_job_start(&mut self, id: u32) {
        let Some(job) = self.jobs.get(&id).cloned() else { return };
        for index in &job.nodes {
            // One may die between its registration and the start.
            let slurmd = self.nodes.get(*index).and_then(|node| node.slurmd.clone());
            let Some(slurmd) = slurmd else { continue };
            if slurmd.job != Some(id) || slurmd.release != job.release {
                let what = format!(
                    "job {id} (kernel {}) starts on a node that runs {slurmd:?}",
                    job.release
                );
                self.broken_at(*index, &what);
            }
        }
    }

    /// A node's power came or went.
    pub(super) fn power_changed(&mut self, index: usize, on: bool) {
        self.note(index, if on { "power: on" } else { "power: off" });
        let Some(node) = self.nodes.get_mut(index) else { return };
        let had = node.slurmd.take();
        let out = node.is_out();
        let Some(holder) = node.holder.filter(|_| had.is_some() && !out && !on) else { return };
        let Some(job) = self.jobs.get(&holder) else { return };
        if matches!(job.phase, Phase::Running(_)) {
            node.off_under = Some((holder, job.restarts, Instant::now()));
        }
    }

    /// A job that runs well is never switched off; a node that failed under it is drained, set DOWN, or
    /// its job requeued soon.
    pub(super) fn judge_power_off_later(&mut self, index: usize, now: Instant) {
        let Some(node) = self.nodes.get_mut(index) else { return };
        let Some((id, restarts, at)) = node.off_under else { return };
        let out = node.is_out();
        let job = self.jobs.get(&id);
        let moved = job.is_none_or(|job| job.restarts != restarts || job.phase == Phase::Cancelled);
        if out || moved {
            node.off_under = None;
        } else if now - at > EXPLAINED {
            node.off_under = None;
            self.broken_at(index, &format!("switched off under job {id}, which ran well"));
        }
    }

    pub(super) fn is_at_rest(&mut self) -> bool {
        self.nodes.iter().all(|node| node.power == Power::Off || node.is_out())
    }

    /// When all is quiet: each node is powered down, or out of service with a reason; each job was done,
    /// cancelled, or held with a sentence, or waits because too few nodes are in service.
    pub(super) fn judge_rest(&mut self) {
        for index in 0..self.nodes.len() {
            let Some(node) = self.nodes.get(index) else { continue };
            let reason = node.down.as_ref().or(node.drain.as_ref());
            match (reason, node.power) {
                (Some(reason), _) if reason.trim().is_empty() => {
                    self.broken_at(index, "is out of service without a reason");
                }
                (Some(_), _) | (None, Power::Off) => {}
                (None, power) => self.broken_at(index, &format!("is not at rest: {power:?}")),
            }
        }
        let mut found = Vec::new();
        for job in self.jobs.values() {
            let in_service =
                |node: &&super::state::Node| node.partition == job.partition && !node.is_out();
            match job.phase {
                Phase::Done | Phase::Cancelled => {}
                Phase::Held if !job.comment.is_empty() => {}
                Phase::Held => found.push(format!("job {} is held without a sentence", job.id)),
                Phase::Pending(_) if job.size > self.nodes.iter().filter(in_service).count() => {}
                Phase::Pending(_) | Phase::Configuring(_) | Phase::Running(_) => {
                    found.push(format!("job {} has no end: {job:?}", job.id));
                }
            }
            if job.requeues.iter().any(String::is_empty) {
                found.push(format!("job {} was requeued without a reason", job.id));
            }
        }
        found.into_iter().for_each(|what| self.broken(what));
    }
}
