//! What slurmctld does of itself: hears slurmd, saves power, ends jobs.

use super::Call;
use super::state::{Job, Phase, Power, Slurmd, State, now_unix_seconds};
use tokio::task::AbortHandle;
use tokio::time::Instant;

impl State {
    pub(super) fn is_away(&self) -> bool {
        self.away_until.is_some_and(|until| Instant::now() < until)
    }

    pub(super) fn tick(&mut self) {
        let now = Instant::now();
        for index in 0..self.nodes.len() {
            self.hear(index);
            self.save_power(index, now);
            self.judge_power_off_later(index, now);
        }
        for id in self.live.clone() {
            match self.jobs.get(&id).map(|job| job.phase) {
                Some(Phase::Configuring(Some(_))) => self.start_job(id),
                Some(Phase::Running(until)) if until <= now => self.leave(id, Phase::Done),
                _ => {}
            }
        }
        self.allocate(now);
        let (resume, suspend) =
            (std::mem::take(&mut self.to_resume), std::mem::take(&mut self.to_suspend));
        if !resume.is_empty() {
            self.calls.push(Call::Resume(resume));
        }
        if !suspend.is_empty() {
            self.calls.push(Call::Suspend(suspend));
        }
    }

    pub(super) fn registered(&mut self, index: usize, slurmd: Slurmd) {
        self.note(index, &format!("slurmd runs: job {:?}, kernel {}", slurmd.job, slurmd.release));
        if let Some(node) = self.nodes.get_mut(index) {
            // One that goes on without a boot does not register anew.
            if node.slurmd.is_none() {
                node.slurmd_start = None;
            }
            node.slurmd = Some(slurmd);
        }
        if !self.is_away() {
            self.hear(index);
        }
    }

    pub(super) fn lost(&mut self, index: usize) {
        if let Some(node) = self.nodes.get_mut(index) {
            node.slurmd = None;
        }
    }

    /// slurmd registers, and answers afterwards.
    fn hear(&mut self, index: usize) {
        let Some(node) = self.nodes.get_mut(index) else { return };
        let listens = matches!(node.power, Power::Up | Power::PoweringUp);
        if node.slurmd.is_none() || !listens {
            return;
        }
        if node.slurmd_start.is_none() || node.power == Power::PoweringUp {
            node.slurmd_start = Some(now_unix_seconds());
        }
        if node.power == Power::PoweringUp {
            node.set(Power::Up);
        }
        node.heard = Instant::now();
        // ReturnToService=2, for what slurmctld itself set DOWN.
        let own = |reason: &String| reason == NOT_RESPONDING || reason == RESUME_TIMEOUT;
        if node.down.as_ref().is_some_and(own) {
            node.down = None;
        }
    }

    fn save_power(&mut self, index: usize, now: Instant) {
        let timing = self.timing;
        let Some(node) = self.nodes.get_mut(index) else { return };
        let stays_on = self.partitions.get(node.partition).is_some_and(|one| one.stays_on);
        if node.completing.is_some_and(|until| until <= now) {
            node.completing = None;
            node.since = now;
        }
        if node.slurmd.is_none() {
            node.slurmd_start = node.slurmd_start.filter(|_| node.power == Power::Up);
        }
        let names = vec![node.name.clone()];
        let is_idle = node.holder.is_none() && node.completing.is_none();
        let lasted = now - node.since;
        match node.power {
            Power::PowerDownAsked if is_idle => {
                // It forgets a drain with the mark that uses the same flag.
                (node.drain, node.slurmd_start) = (None, None);
                node.set(Power::PoweringDown);
                self.to_suspend.extend(names);
                self.note(index, "SuspendProgram");
            }
            Power::PoweringDown if lasted > timing.suspend_timeout => {
                node.set(Power::Off);
                self.tally.count("SuspendTimeouts that ran out");
            }
            Power::PoweringUp if lasted > timing.resume_timeout => {
                node.set(Power::Off);
                (node.drain, node.slurmd_start) = (None, None);
                node.down = Some(RESUME_TIMEOUT.into());
                self.tally.count("ResumeTimeouts that ran out");
                self.note(index, RESUME_TIMEOUT);
                self.lose_node(index, RESUME_TIMEOUT);
                self.calls.push(Call::ResumeFail(names));
            }
            Power::Up if now - node.heard > timing.slurmd_timeout && node.down.is_none() => {
                node.down = Some(NOT_RESPONDING.into());
                self.note(index, NOT_RESPONDING);
                self.lose_node(index, NOT_RESPONDING);
            }
            Power::Up
                if is_idle && stays_on && lasted > timing.suspend_time && node.down.is_none() =>
            {
                node.set(Power::PowerDownAsked);
            }
            Power::Off
            | Power::PoweringUp
            | Power::Up
            | Power::PowerDownAsked
            | Power::PoweringDown => {}
        }
        let Some(node) = self.nodes.get_mut(index) else { return };
        let since = node.out_since.unwrap_or(now);
        node.out_since = node.is_out().then_some(since);
    }

    /// The job of a node goes back to the queue.
    pub(super) fn lose_node(&mut self, index: usize, why: &str) {
        if let Some(holder) = self.nodes.get(index).and_then(|node| node.holder) {
            self.requeue(holder, why);
        }
    }

    pub(super) fn requeue(&mut self, id: u32, why: &str) {
        self.leave(id, Phase::Pending(Instant::now() + self.timing.requeue_delay));
        if let Some(job) = self.jobs.get_mut(&id) {
            job.restarts += 1;
            job.requeues.push(why.to_owned());
        }
    }

    /// A job leaves its nodes.
    pub(super) fn leave(&mut self, id: u32, phase: Phase) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let (nodes, restarts) = (std::mem::take(&mut job.nodes), job.restarts);
        job.phase = phase;
        if job.is_over() {
            self.live.remove(&id);
        }
        // A prolog that has its job held goes on; any other is killed.
        if let Some(prolog) = job.prolog.take()
            && phase != Phase::Held
        {
            prolog.abort();
        }
        let until = Instant::now() + self.timing.completing;
        for index in &nodes {
            let Some(node) = self.nodes.get_mut(*index) else { continue };
            node.holder = None;
            node.completing = Some(until);
            if std::mem::take(&mut node.asap) && node.power == Power::Up {
                node.set(Power::PowerDownAsked);
            }
            self.note(*index, &format!("job {id}.{restarts} leaves: {}", phase.name()));
        }
        self.calls.push(Call::Epilog(id, restarts));
    }

    pub(super) fn prolog_started(&mut self, id: u32, restarts: u32, handle: AbortHandle) {
        match self.jobs.get_mut(&id) {
            Some(job) if job.restarts == restarts && job.phase == Phase::Configuring(None) => {
                job.prolog = Some(handle);
            }
            _ => handle.abort(),
        }
    }

    pub(super) fn prolog_ended(&mut self, id: u32, restarts: u32, code: i32) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        if job.restarts != restarts || job.phase != Phase::Configuring(None) {
            return;
        }
        job.prolog = None;
        if code == 0 {
            job.phase = Phase::Configuring(Some(Instant::now()));
        } else {
            self.tally.count(&format!("prologs that ended with {code}"));
            self.requeue(id, &format!("PrologSlurmctld ended with {code}"));
        }
    }

    /// A restart kills the prologs; those of jobs that still wait run again.
    pub(super) fn go_away(&mut self, until: Instant) {
        self.away_until = Some(until);
        self.tally.count("fault: slurmctld away");
        let prologs = self.jobs.values_mut().filter_map(|job| job.prolog.take());
        prologs.for_each(|prolog| prolog.abort());
    }

    pub(super) fn comes_back(&mut self) {
        let again = |job: &&Job| job.phase == Phase::Configuring(None) && job.prolog.is_none();
        let calls = self.jobs.values().filter(again).map(|job| Call::Prolog(job.id, job.restarts));
        self.calls.extend(calls);
        // Nobody could be heard.
        self.nodes.iter_mut().for_each(|node| node.heard = Instant::now());
    }

    pub(super) fn cancel_one(&mut self) {
        let has_nodes = |job: &&Job| matches!(job.phase, Phase::Configuring(_) | Phase::Running(_));
        let live: Vec<u32> = self.jobs.values().filter(has_nodes).map(|job| job.id).collect();
        let chosen = live.get(self.dice.below(live.len())).copied();
        if let Some(id) = chosen.filter(|_| !self.is_away()) {
            self.tally.count("fault: job cancelled");
            self.leave(id, Phase::Cancelled);
        }
    }
}

/// The reasons that slurmctld itself gives.
const NOT_RESPONDING: &str = "Not responding";
const RESUME_TIMEOUT: &str = "ResumeTimeout reached";
