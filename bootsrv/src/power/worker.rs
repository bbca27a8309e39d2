//! One node's worker: carries out power orders and samples the meter in between.
//!
//! It asks first, then acts, then looks; an order may come twice. What it sees goes to the engine
//! as events. It knows nothing of jobs.

use super::controller::Controller;
use super::inrush::Inrush;
use super::{Listener, Observed, Order, Power};
use crate::clock::now_unix_ns;
use crate::deployment::transition::Event;
use crate::deployment::{Blame, DeploymentId, Failure, Mark, State};
use energy::Sample;
use protocol::api::{NodeDefinition, PowerAction};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep};

/// What all workers share.
#[derive(Debug)]
pub struct Site {
    /// Who hears what is seen; set once, before any order is given.
    pub listener: OnceLock<Arc<dyn Listener>>,
    /// The inrush limit.
    pub inrush: Arc<Inrush>,
    /// For a power command to show its effect.
    pub power_limit: Duration,
}

/// The worker's ends of its channels.
pub(super) struct Lines {
    pub(super) orders: mpsc::UnboundedReceiver<Order>,
    pub(super) active: watch::Receiver<State>,
    pub(super) observed: watch::Sender<Observed>,
}

/// Between two looks at the power while a command takes effect.
const LOOK: Duration = Duration::from_millis(200);
/// Between two sendings of a command that has no effect yet.
const REPEAT: Duration = Duration::from_secs(5);
/// Between two readings of an active node; a little off a second, so that the sampling does not
/// lock onto a controller's own refresh.
const SAMPLE: Duration = Duration::from_millis(987);
/// Between two looks at an idle node.
const IDLE_LOOK: Duration = Duration::from_secs(30);
/// Readings that must agree within [`SETTLED_MILLIWATTS`] for the power to count as settled.
const SETTLED_READINGS: u32 = 3;
const SETTLED_MILLIWATTS: i64 = 1_000;

/// Between two signs of life of a node that waits for its inrush turn.
const STILL_QUEUED: Duration = Duration::from_secs(10);

struct Worker {
    definition: NodeDefinition,
    site: Arc<Site>,
    lines: Lines,
    controller: Controller,
    next_sample: Instant,
    last_sample: Option<Sample>,
    alike: u32,
}

/// Starts a node's worker; it ends when its orders' sender is dropped.
pub(super) fn start(definition: NodeDefinition, site: Arc<Site>, lines: Lines) {
    let controller = Controller::new(&definition.power);
    let next_sample = Instant::now();
    let worker =
        Worker { definition, site, lines, controller, next_sample, last_sample: None, alike: 0 };
    crate::essential::spawn("a node's power worker", worker.run());
}

impl Worker {
    async fn run(mut self) {
        loop {
            tokio::select! {
                order = self.lines.orders.recv() => match order {
                    Some(order) => self.carry_out(order).await,
                    None => return,
                },
                _ = self.lines.active.changed() => self.next_sample = Instant::now(),
                () = tokio::time::sleep_until(self.next_sample) => self.sample().await,
            }
        }
    }

    fn listener(&self) -> Option<&Arc<dyn Listener>> {
        self.site.listener.get()
    }

    fn tell(&self, id: DeploymentId, event: &Event, marks: &[(Mark, i64)]) {
        if let Some(listener) = self.listener() {
            listener.happened(&self.definition.name, id, event, marks);
        }
    }

    async fn carry_out(&mut self, order: Order) {
        match order {
            Order::On(id) => {
                if let Err(reason) = self.power_on(id).await {
                    let failure = Failure { blame: Blame::Node, reason };
                    self.tell(id, &Event::Failed(failure), &[]);
                }
            }
            Order::Off(id) => {
                self.power_off(None).await;
                if let Some(id) = id {
                    self.tell(id, &Event::PowerSeenOff, &[]);
                }
            }
            Order::Admin(action, answer) => {
                let result = self.admin(action).await;
                // The asker may have gone; the deed is done all the same.
                drop(answer.send(result));
            }
        }
    }

    async fn admin(&mut self, action: PowerAction) -> Result<Power, String> {
        match action {
            PowerAction::Status => {}
            PowerAction::On => self.switch_on().await?,
            PowerAction::Off => {
                if !self.power_off(Some(self.site.power_limit)).await {
                    return Err("does not go off".into());
                }
            }
        }
        self.look().await.ok_or_else(|| "the controller does not answer".into())
    }

    /// Boots from off, unless the node waits in iPXE. An order given again after a restart of bootsrv
    /// begins anew too: the node may have asked for its script while nobody answered, and then
    /// stands at its firmware's prompt.
    async fn power_on(&mut self, id: DeploymentId) -> Result<(), String> {
        if self.look().await == Some(Power::On) {
            let held = |listener: &Arc<dyn Listener>| listener.is_held(&self.definition.name);
            if self.listener().is_some_and(held) {
                self.tell(id, &Event::PowerOnAccepted, &[]);
                return Ok(());
            }
            if !self.power_off(Some(self.site.power_limit)).await {
                return Err("was on, and cannot be powered off to boot afresh".into());
            }
        }
        self.sample().await;
        self.wait_for_turn(id).await;
        if let Err(error) = self.controller.boot_from_network(self.definition.firmware).await {
            // Nodes that always boot from the network do not need it; others time out with a reason.
            log::warn!("node={}: boot device: {}", self.definition.name, crate::chain(&error));
        }
        self.tell(id, &Event::PowerOnAccepted, &[]);
        self.switch_on().await
    }

    async fn switch_on(&mut self) -> Result<(), String> {
        let start = Instant::now();
        let mut sent: Option<Instant> = None;
        let mut last_error = None;
        loop {
            if self.look().await == Some(Power::On) {
                return Ok(());
            }
            if start.elapsed() > self.site.power_limit {
                let seconds = self.site.power_limit.as_secs();
                return Err(match last_error {
                    Some(error) => format!("cannot be powered on: {error}"),
                    None => format!(
                        "stays off: its controller accepted power-on, but {seconds} s later it still has no power"
                    ),
                });
            }
            if sent.is_none_or(|at| at.elapsed() > REPEAT) {
                last_error =
                    self.controller.power_on().await.err().map(|error| crate::chain(&error));
                sent = Some(Instant::now());
            }
            self.wait_a_look().await;
        }
    }

    /// Waits for the site's inrush limit, and says now and then that it still does.
    async fn wait_for_turn(&self, id: DeploymentId) {
        let turn = self.site.inrush.turn();
        tokio::pin!(turn);
        loop {
            tokio::select! {
                () = &mut turn => return,
                () = sleep(STILL_QUEUED) => self.tell(id, &Event::Queued, &[]),
            }
        }
    }

    /// Goes on until the power is seen off twice, because nothing may use the node before; with a
    /// limit it gives up. Gives whether it is off.
    async fn power_off(&mut self, limit: Option<Duration>) -> bool {
        let start = Instant::now();
        let mut sent: Option<Instant> = None;
        let mut seen_off = 0;
        loop {
            match self.look().await {
                Some(Power::Off) => seen_off += 1,
                Some(Power::On) | None => seen_off = 0,
            }
            if seen_off == 2 {
                return true;
            }
            if limit.is_some_and(|limit| start.elapsed() > limit) {
                return false;
            }
            if seen_off == 0 && sent.is_none_or(|at| at.elapsed() > REPEAT) {
                if let Err(error) = self.controller.power_off().await {
                    log::warn!(
                        "node={}: power off: {}",
                        self.definition.name,
                        crate::chain(&error)
                    );
                }
                sent = Some(Instant::now());
            }
            if seen_off == 0 {
                self.wait_a_look().await;
            }
        }
    }

    async fn wait_a_look(&mut self) {
        if Instant::now() >= self.next_sample {
            self.sample().await;
        }
        sleep(LOOK).await;
    }

    async fn look(&mut self) -> Option<Power> {
        let power = match self.controller.power().await {
            Ok(power) => Some(power),
            Err(error) => {
                log::warn!("node={}: power status: {}", self.definition.name, crate::chain(&error));
                None
            }
        };
        self.lines.observed.send_modify(|seen| {
            seen.power = power;
            seen.at_unix_ns = now_unix_ns();
        });
        power
    }

    async fn sample(&mut self) {
        let state = *self.lines.active.borrow();
        self.next_sample =
            Instant::now() + if state == State::Released { IDLE_LOOK } else { SAMPLE };
        if state == State::Released {
            self.look().await;
            return;
        }
        let before = now_unix_ns();
        let reading = self.controller.reading().await;
        let after = now_unix_ns();
        let (reading, has_meter) = match reading {
            Ok(reading) => (reading, reading.is_some()),
            // No answer is no end of the readings: the next may come.
            Err(error) => {
                log::debug!("node={}: reading: {}", self.definition.name, crate::chain(&error));
                (None, true)
            }
        };
        self.lines.observed.send_modify(|seen| seen.watts = reading.map(|reading| reading.watts));
        let sample = reading.map(|reading| {
            // The controller read its meter somewhere between question and answer.
            let unix_ns = before + (after - before) / 2;
            (Sample { unix_ns, milliwatts: i64::from(reading.watts) * 1_000 }, reading.meter)
        });
        self.note(sample, has_meter, state);
    }

    fn note(&mut self, sample: Option<(Sample, &str)>, has_meter: bool, state: State) {
        let Some(listener) = self.listener().cloned() else { return };
        let name = &self.definition.name;
        if let Some((sample, meter)) = sample {
            listener.reading(name, sample, meter);
            let alike = self.last_sample.is_some_and(|last| {
                (last.milliwatts - sample.milliwatts).abs() <= SETTLED_MILLIWATTS
            });
            self.alike = if alike && state == State::Settling { self.alike + 1 } else { 0 };
            self.last_sample = Some(sample);
        }
        let settled = !has_meter || self.alike >= SETTLED_READINGS;
        if state == State::Settling && settled {
            self.alike = 0;
            listener.settled(name);
        }
    }
}
