//! The machines: power, a controller that does as its faults say, and a boot from firmware to slurmd.

use super::dice::Dice;
use super::world::{Shared, World, go, with};
use crate::deployment::{DeploymentId, State};
use crate::http::doors;
use protocol::api::NodeDefinition;
use protocol::boot::{AgentStage, BootFailure, Heartbeat, StageTime};
use protocol::names::NodeName;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

/// What is asked of a controller, and what it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deed {
    Look,
    On,
    Off,
    Cycle,
    Measure,
    Shows(bool),
    Draws(u32),
    Accepted,
    Away,
    Refused,
}

/// The way from a driver to the machines.
#[derive(Debug, Clone)]
pub(crate) struct Machines(pub(super) Shared);

impl Machines {
    pub(crate) fn ask(&self, node: &NodeName, deed: Deed) -> Deed {
        let shared = Arc::clone(&self.0);
        with(&self.0, |world| world.controller(&shared, node, deed))
    }
}

/// How a boot goes wrong; each once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BootFault {
    FirmwareHangs,
    AsksTwice,
    DownloadCut,
    Panics,
    AgentHangs,
    AgentGivesUp { setting: bool },
    SlurmdDoesNotRegister,
}

#[derive(Debug)]
pub(super) struct Machine {
    pub(super) definition: NodeDefinition,
    pub(super) on: bool,
    /// Told of every change of power and every reset.
    changed: Arc<Notify>,
    /// Counts boots.
    boot: u64,
    /// slurmd runs on the boot of that deployment.
    pub(super) slurmd: Option<DeploymentId>,
    pub(super) away_until: Option<Instant>,
    pub(super) refuses_until: Option<Instant>,
    pub(super) ignores: u32,
    pub(super) slow: Option<Duration>,
    pub(super) lie: Option<(Instant, bool)>,
    pub(super) next_fault: Option<BootFault>,
    pub(super) hangs: bool,
}

impl Machine {
    pub(super) fn new(definition: NodeDefinition) -> Self {
        Self {
            definition,
            on: false,
            changed: Arc::default(),
            boot: 0,
            slurmd: None,
            away_until: None,
            refuses_until: None,
            ignores: 0,
            slow: None,
            lie: None,
            next_fault: None,
            hangs: false,
        }
    }

    /// A crash, or somebody's finger.
    pub(super) fn reset(&mut self) {
        (self.boot, self.slurmd, self.hangs) = (self.boot + 1, None, false);
        self.changed.notify_one();
    }
}

fn lasts(until: Option<Instant>) -> bool {
    until.is_some_and(|until| Instant::now() < until)
}

impl World {
    pub(super) fn index(&self, node: &NodeName) -> usize {
        self.machines.iter().position(|one| one.definition.name == *node).unwrap()
    }

    fn controller(&mut self, shared: &Shared, node: &NodeName, deed: Deed) -> Deed {
        let index = self.index(node);
        if deed == Deed::On {
            self.judge_power_on(node);
        }
        let machine = &mut self.machines[index];
        if lasts(machine.away_until) {
            return Deed::Away;
        }
        if let Some((until, shows)) = machine.lie
            && Instant::now() < until
            && deed == Deed::Look
        {
            return Deed::Shows(shows);
        }
        match deed {
            Deed::Look => return Deed::Shows(machine.on),
            Deed::Measure => return Deed::Draws(if machine.on { 150 } else { 5 }),
            _ => {}
        }
        if lasts(machine.refuses_until) {
            return Deed::Refused;
        }
        if machine.ignores > 0 {
            machine.ignores -= 1;
            return Deed::Accepted;
        }
        let takes = machine.slow.take();
        let takes = takes.unwrap_or_else(|| self.dice.millis(200, 1_500));
        let shared = Arc::clone(shared);
        go(&Arc::clone(&shared), async move {
            sleep(takes).await;
            with(&shared, |world| match deed {
                Deed::Cycle => {
                    world.set_power(index, false);
                    world.set_power(index, true);
                }
                _ => world.set_power(index, deed == Deed::On),
            });
        });
        Deed::Accepted
    }

    pub(super) fn set_power(&mut self, index: usize, on: bool) {
        if self.machines[index].on == on {
            return;
        }
        self.note(format!("{} power {on}", self.machines[index].definition.name));
        if !on {
            self.judge_power_off(index);
        }
        let machine = &mut self.machines[index];
        machine.on = on;
        machine.reset();
    }
}

/// A machine for ever.
pub(super) async fn run(shared: Shared, index: usize) {
    let changed = with(&shared, |world| Arc::clone(&world.machines[index].changed));
    loop {
        let (on, boot) = with(&shared, |w| (w.machines[index].on, w.machines[index].boot));
        let life = async {
            if on {
                Life { shared: &shared, index, boot, started: Instant::now() }.live().await;
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            biased;
            () = changed.notified() => {}
            () = life => {}
        }
    }
}

/// One boot.
struct Life<'a> {
    shared: &'a Shared,
    index: usize,
    boot: u64,
    started: Instant,
}

impl Life<'_> {
    fn with<T>(&self, act: impl FnOnce(&mut World) -> T) -> T {
        with(self.shared, act)
    }

    async fn rest(&self, from: u64, to: u64) {
        let time = self.with(|world| world.dice.seconds(from, to));
        sleep(time).await;
    }

    fn fault(&self, one: BootFault) -> bool {
        self.with(|world| {
            let machine = &mut world.machines[self.index];
            let now = machine.next_fault == Some(one);
            if now {
                machine.next_fault = None;
                world.note(format!("n{} {one:?}", self.index + 1));
            }
            now
        })
    }

    async fn live(self) {
        self.rest(15, 60).await;
        if self.fault(BootFault::FirmwareHangs) {
            return;
        }
        let Some(token) = self.load().await else { return };
        self.rest(4, 12).await;
        if self.fault(BootFault::Panics) {
            return self.with(|world| world.machines[self.index].reset());
        }
        self.agent(&token).await;
    }

    /// iPXE: until kernel, initrd and token are there.
    async fn load(&self) -> Option<String> {
        let node = self.with(|world| world.machines[self.index].definition.clone());
        let mut held = false;
        loop {
            let app = self.with(|world| world.app.clone());
            // A firmware that finds nothing to boot does not ask a second time.
            if app.is_none() && !held {
                return None;
            }
            let script = match &app {
                Some(app) => doors::script(app, &node).await,
                None => None,
            };
            held = true;
            if script.is_some() && self.fault(BootFault::AsksTwice) {
                continue;
            }
            let Some(app) = app.filter(|_| script.is_some_and(|text| text.contains("imgargs")))
            else {
                sleep(Duration::from_secs(1)).await;
                continue;
            };
            self.rest(1, 4).await;
            if self.fault(BootFault::DownloadCut) {
                sleep(Duration::from_secs(2)).await;
                continue;
            }
            match doors::token(&app, &node).await {
                Some(initrd) => return Some(token_in(&initrd)),
                None => sleep(Duration::from_secs(2)).await,
            }
        }
    }

    async fn agent(&self, token: &str) {
        let stages = [AgentStage::AgentStarted, AgentStage::InitStarted, AgentStage::SlurmdStarted];
        let mut reached = Vec::new();
        for stage in stages {
            reached.push(StageTime { stage, uptime_ns: self.uptime() });
            if stage == AgentStage::InitStarted {
                for setting in [false, true] {
                    if self.fault(BootFault::AgentGivesUp { setting }) {
                        let text = format!("{{\"setting\":{setting},\"reason\":\"simulated\"}}");
                        let failure = serde_json::from_str(&text).unwrap();
                        self.report(token, &reached, Some(failure)).await;
                        return self.switch_off().await;
                    }
                }
            }
            if !self.report(token, &reached, None).await {
                return self.switch_off().await;
            }
            if self.fault(BootFault::AgentHangs) {
                return;
            }
            self.rest(2, 10).await;
        }
        let booted = self.with(|world| world.deployment_of(token));
        if let Some(id) = booted.filter(|_| !self.fault(BootFault::SlurmdDoesNotRegister)) {
            self.with(|world| {
                world.machines[self.index].slurmd = Some(id);
                world.machines[self.index].next_fault = None;
            });
        }
        loop {
            sleep(Duration::from_secs(10)).await;
            if self.with(|world| world.machines[self.index].hangs) {
                self.with(|world| world.machines[self.index].slurmd = None);
                return;
            }
            if !self.report(token, &reached, None).await {
                return self.switch_off().await;
            }
        }
    }

    async fn switch_off(&self) {
        self.rest(1, 4).await;
        self.with(|world| {
            // Powering down by itself: nobody's command.
            world.machines[self.index].on = false;
            world.machines[self.index].reset();
        });
    }

    fn uptime(&self) -> i64 {
        i64::try_from(self.started.elapsed().as_nanos()).unwrap()
    }

    /// Until it is delivered; whether the boot is still wanted.
    async fn report(
        &self,
        token: &str,
        stages: &[StageTime],
        failure: Option<BootFailure>,
    ) -> bool {
        loop {
            let report = Heartbeat {
                boot_id: self.boot.to_string(),
                kernel_release: "6.1.0".into(),
                uptime_ns: self.uptime(),
                stages: stages.to_vec(),
                cpus_online: 0,
                memory_kib: 0,
                applied: vec![],
                failure: failure.clone(),
                memory_cleared: None,
            };
            if let Some(app) = self.with(|world| world.app.clone()) {
                return doors::heartbeat(&app, token, report)
                    .await
                    .is_some_and(|reply| reply.wanted);
            }
            sleep(Duration::from_secs(2)).await;
        }
    }
}

/// The token is the 64 digits before the only line end of its initrd.
fn token_in(initrd: &[u8]) -> String {
    let end = initrd.iter().position(|byte| *byte == b'\n').unwrap();
    String::from_utf8(initrd[end - 64..end].to_vec()).unwrap()
}

impl World {
    fn deployment_of(&self, token: &str) -> Option<DeploymentId> {
        let found = self.store.by_token(&crate::token::hash(token)).unwrap();
        found.map(|one| one.id)
    }

    /// Power is ordered on only for a deployment that waits for it.
    fn judge_power_on(&mut self, node: &NodeName) {
        let newest = self.store.current_on(node).unwrap();
        if !newest
            .as_ref()
            .is_some_and(|one| one.state == State::PoweringOn || one.state == State::Booting)
        {
            let state = newest.map(|one| one.state);
            self.broken(format!("{node} is powered on for {state:?}"));
        }
    }
}

impl Dice {
    pub(super) fn boot_fault(&mut self) -> BootFault {
        let faults = [
            BootFault::FirmwareHangs,
            BootFault::AsksTwice,
            BootFault::DownloadCut,
            BootFault::Panics,
            BootFault::AgentHangs,
            BootFault::AgentGivesUp { setting: false },
            BootFault::AgentGivesUp { setting: true },
            BootFault::SlurmdDoesNotRegister,
        ];
        *self.one_of(&faults)
    }
}
