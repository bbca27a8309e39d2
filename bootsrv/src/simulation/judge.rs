//! The promises, and where they are looked at.

use super::slurmctld::{Phase, Power};
use super::world::World;
use crate::deployment::{Deployment, Mark, State};
use protocol::names::{JobId, NodeName};

impl World {
    /// A job starts on nodes that run its own boot, and no other.
    pub(super) fn judge_job_start(&mut self, place: usize) {
        let (job, nodes) = (self.slurm.jobs[place].id, self.slurm.jobs[place].nodes.clone());
        for index in nodes {
            let machine = &self.machines[index];
            let name = machine.definition.name.clone();
            let newest = self.store.current_on(&name).unwrap();
            let own = newest.as_ref().is_some_and(|one| one.job == Some(JobId(job)));
            let runs = machine.on && machine.slurmd == newest.as_ref().map(|one| one.id);
            // A machine may die between its registration and the start.
            if !own || machine.slurmd.is_some() && !runs {
                let slurmd = machine.slurmd;
                self.broken(format!(
                    "job {job} starts on {name}, which runs {slurmd:?}: {newest:?}"
                ));
            }
        }
    }

    /// A job that is well is never switched off.
    pub(super) fn judge_power_off(&mut self, index: usize) {
        let Some(holder) = self.slurm.nodes[index].holder else { return };
        let job = &self.slurm.jobs[self.place(holder)];
        if !matches!(job.phase, Phase::Running(_)) || self.machines[index].slurmd.is_none() {
            return;
        }
        let name = self.machines[index].definition.name.clone();
        let newest = self.store.current_on(&name).unwrap();
        if newest.as_ref().is_some_and(|one| one.failure.is_none()) {
            self.broken(format!(
                "{name} is switched off under the running job {holder}: {newest:?}"
            ));
        }
    }

    /// After each job: nobody shares a node, and no joule is counted twice.
    pub(super) fn judge_job_end(&mut self, nodes: &[usize]) {
        let owns = |one: &Deployment| one.state != State::Waiting && one.state < State::PoweringOff;
        for index in nodes {
            let name = self.machines[*index].definition.name.clone();
            let live = self.store.live_deployments_of(&name).unwrap();
            let owners: Vec<&Deployment> = live.iter().filter(|one| owns(one)).collect();
            if owners.len() > 1 {
                self.broken(format!("{name} has several owners: {owners:?}"));
            }
            self.judge_windows(&name, 3);
        }
    }

    /// The readings of the last deployments of a node are of one deployment each.
    pub(super) fn judge_windows(&mut self, name: &NodeName, last: usize) {
        if self.clock_was_set {
            return;
        }
        let of_node = self.deployments.get(name).cloned().unwrap_or_default();
        let mut before: Option<(i64, i64, i64)> = None;
        for id in of_node.iter().skip(of_node.len().saturating_sub(last)) {
            let marks = self.store.marks(*id).unwrap();
            let at = |mark: Mark| marks.iter().find(|(one, _)| *one == mark).map(|(_, at)| *at);
            let Some(from) = at(Mark::PowerOn) else { continue };
            let Some(to) = at(Mark::Settled).or_else(|| at(Mark::PowerOff)) else { continue };
            if let Some((earlier, _, end)) = before
                && from < end
            {
                self.broken(format!(
                    "{name}: readings of {earlier} and {id} overlap: {from} < {end}"
                ));
            }
            before = Some((*id, from, to));
        }
    }

    /// When all is quiet: each node is off and allocatable, or out of service with a reason and off;
    /// each job was done, cancelled or held, or waits because no node is in service.
    pub(super) fn judge_rest(&mut self) {
        let mut found = Vec::new();
        for (node, machine) in self.slurm.nodes.iter().zip(&self.machines) {
            let live = self.store.live_deployments_of(&node.name).unwrap();
            if machine.on || !live.is_empty() {
                found.push(format!("{} is not at rest: on={}, {live:?}", node.name, machine.on));
            }
            let out_of_service = node.drain.is_some() || node.down.is_some();
            if node.power != Power::Off && !out_of_service {
                found.push(format!("slurmctld has {} as {:?}", node.name, node.power));
            }
        }
        let in_service =
            self.slurm.nodes.iter().filter(|node| node.drain.is_none() && node.down.is_none());
        let in_service = in_service.count();
        for job in self.slurm.jobs.iter().filter(|job| !job.is_over()) {
            let waits = matches!(job.phase, Phase::Pending(_)) && job.size > in_service;
            if !waits {
                found.push(format!("job {} has no end: {job:?}", job.id));
            }
        }
        found.into_iter().for_each(|what| self.broken(what));
        for index in 0..self.slurm.nodes.len() {
            let name = self.slurm.nodes[index].name.clone();
            self.judge_windows(&name, usize::MAX);
        }
        self.note("rest".into());
    }
}
