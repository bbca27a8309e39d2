//! What goes wrong in a run: now and then one thing, at random.

use super::bootsrv;
use super::hooks::{Call, HookFault};
use super::slurmctld::{Job, Phase};
use super::world::{Shared, World, with};
use std::time::Duration;
use tokio::time::{Instant, sleep};

#[derive(Debug, Clone, Copy)]
enum Fault {
    ControllerAway,
    ControllersAway,
    ControllerRefuses,
    ControllerIgnores,
    ControllerLies,
    ControllerSlow,
    Boot,
    Reset,
    Hang,
    Hook,
    SlurmctldAway,
    BootsrvKilled,
    Cancel,
    ClockJumps,
}

const ALL: [Fault; 14] = [
    Fault::ControllerAway,
    Fault::ControllersAway,
    Fault::ControllerRefuses,
    Fault::ControllerIgnores,
    Fault::ControllerLies,
    Fault::ControllerSlow,
    Fault::Boot,
    Fault::Reset,
    Fault::Hang,
    Fault::Hook,
    Fault::SlurmctldAway,
    Fault::BootsrvKilled,
    Fault::Cancel,
    Fault::ClockJumps,
];

/// Between two faults, in seconds.
const PAUSE: (u64, u64) = (60, 1_500);

/// Until the end of the run.
pub(super) async fn inject(shared: Shared, until: Instant) {
    loop {
        let pause = with(&shared, |world| world.dice.seconds(PAUSE.0, PAUSE.1));
        sleep(pause).await;
        if Instant::now() > until {
            return;
        }
        let fault = with(&shared, |world| {
            let fault = *world.dice.one_of(&ALL);
            world.note(format!("fault: {fault:?}"));
            world.count(&format!("fault {fault:?}"));
            world.begin(fault);
            fault
        });
        if matches!(fault, Fault::BootsrvKilled) {
            bootsrv::kill(&shared);
            let away = with(&shared, |world| world.dice.millis(1_000, 90_000));
            sleep(away).await;
            bootsrv::start(&shared);
        }
    }
}

impl World {
    fn begin(&mut self, fault: Fault) {
        let index = self.dice.below(self.machines.len());
        let until = Instant::now() + self.dice.seconds(10, 240);
        let machine = &mut self.machines[index];
        match fault {
            Fault::ControllerAway => machine.away_until = Some(until),
            Fault::ControllersAway => {
                self.machines.iter_mut().for_each(|one| one.away_until = Some(until));
            }
            Fault::ControllerRefuses => machine.refuses_until = Some(until),
            Fault::ControllerIgnores => {
                machine.ignores = 1 + u32::try_from(self.dice.below(15)).unwrap();
            }
            Fault::ControllerLies => {
                let longest = if self.dice.one_in(3) { 3_600 } else { 60 };
                let (lasts, shows) = (self.dice.seconds(1, longest), self.dice.one_in(2));
                self.machines[index].lie = Some((Instant::now() + lasts, shows));
            }
            Fault::ControllerSlow => {
                let takes = self.dice.seconds(3, 40);
                self.machines[index].slow = Some(takes);
            }
            Fault::Boot => self.machines[index].next_fault = Some(self.dice.boot_fault()),
            Fault::Reset if machine.on => machine.reset(),
            Fault::Hang => machine.hangs = machine.on,
            Fault::Hook => {
                let all = [HookFault::Lost, HookFault::Late, HookFault::Twice];
                self.next_hook = Some(*self.dice.one_of(&all));
            }
            Fault::SlurmctldAway => self.slurmctld_goes(until),
            Fault::Cancel => self.cancel_one(),
            Fault::ClockJumps => self.clock_jumps(),
            Fault::Reset | Fault::BootsrvKilled => {}
        }
    }

    /// A restart kills the prologs; those of jobs that still wait run again.
    fn slurmctld_goes(&mut self, until: Instant) {
        self.slurm.away_until = Some(until);
        for place in 0..self.slurm.jobs.len() {
            if let Some(prolog) = self.slurm.jobs[place].prolog.take() {
                prolog.abort();
            }
        }
    }

    /// Its save is a moment old at most; prologs that were killed run again.
    pub(super) fn slurmctld_comes_back(&mut self) {
        let again = |job: &Job| job.phase == Phase::Configuring(None) && job.prolog.is_none();
        let calls = self.slurm.jobs.iter().filter(|job| again(job));
        let calls: Vec<Call> = calls.map(|job| Call::Prolog(job.id, job.restarts)).collect();
        self.calls.extend(calls);
        // Nobody could be heard.
        self.slurm.nodes.iter_mut().for_each(|node| node.heard = Instant::now());
    }

    /// `scontrol update state=resume` for what is out of service.
    pub(super) fn return_all(&mut self) {
        for node in &mut self.slurm.nodes {
            if node.drain.is_some() || node.down.is_some() {
                (node.drain, node.down) = (None, None);
            }
        }
        self.note("an admin returns all nodes".into());
    }

    fn cancel_one(&mut self) {
        let live = |place: &usize| {
            matches!(self.slurm.jobs[*place].phase, Phase::Configuring(_) | Phase::Running(_))
        };
        let live: Vec<usize> = (0..self.slurm.jobs.len()).filter(live).collect();
        if !live.is_empty() && !self.slurm_is_away() {
            let place = *self.dice.one_of(&live);
            self.leave(place, Phase::Cancelled);
        }
    }

    /// A step of a second or two, as a time server makes them.
    fn clock_jumps(&mut self) {
        let step = i64::try_from(self.dice.millis(0, 4_000).as_millis()).unwrap() - 2_000;
        let now = crate::clock::now_unix_ns();
        crate::clock::simulated::set(now + step * 1_000_000);
    }
}

/// The clock is set again and again, by minutes and hours, forward and back.
pub(super) async fn set_the_clock(shared: Shared, until: Instant) {
    while Instant::now() < until {
        let pause = with(&shared, |world| world.dice.seconds(20, 300));
        sleep(pause).await;
        with(&shared, |world| {
            world.clock_was_set = true;
            let step = i64::try_from(world.dice.seconds(0, 14_400).as_nanos()).unwrap();
            let now = crate::clock::now_unix_ns();
            crate::clock::simulated::set(now + step - 7_200 * crate::clock::SECOND_NS);
            world.note(format!("the clock is set by {step} ns less two hours"));
        });
    }
}

/// An admin looks in now and then, and returns what is out of service.
pub(super) async fn admin(shared: Shared) {
    loop {
        sleep(Duration::from_secs(4 * 3600)).await;
        with(&shared, World::return_all);
    }
}
