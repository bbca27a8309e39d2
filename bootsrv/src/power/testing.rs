//! A driver that does as its knobs say, and a listener that writes everything down.

use super::driver::{Abilities, Answer, Command, Driver, DriverError, Reading, Trouble};
use super::{Listener, Power};
use crate::deployment::DeploymentId;
use crate::deployment::transition::Event;
use energy::Sample;
use futures_util::FutureExt;
use protocol::api::{Firmware, NodeDefinition};
use protocol::names::NodeName;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::time::{Instant, sleep};

pub(super) const ALL: Abilities = Abilities {
    sees_power: true,
    switches_off: true,
    soft_off: true,
    cycle: true,
    boot_device: true,
    meter: false,
};

/// A node of that name whose power is switched by a program that is not there.
pub(super) fn definition(name: &str) -> NodeDefinition {
    let text = format!(
        "name = \"{name}\"\nmac = \"52:54:00:77:00:01\"\naddress = \"10.77.0.11/24\"\ncpus = 2\n\
         power = {{ method = \"exec\", program = \"/nonexistent\" }}"
    );
    toml::from_str(&text).unwrap()
}

/// What the machine behind a fake driver is, and how its controller behaves.
#[derive(Debug)]
pub(super) struct Machine {
    pub(super) abilities: Abilities,
    pub(super) is_on: bool,
    /// From a command to its effect.
    pub(super) takes: Duration,
    /// From a command to its answer, and from a question to its.
    pub(super) answers_in: Duration,
    /// These commands are accepted and have no effect.
    pub(super) ignores: Vec<Command>,
    /// So many commands are accepted and have no effect, before they do.
    pub(super) ignores_first: u32,
    /// Answers to the next status questions, before true ones.
    pub(super) lies: VecDeque<Power>,
    /// The answer to every status question.
    pub(super) lies_always: Option<Power>,
    /// So many commands get this answer.
    pub(super) command_troubles: (u32, Option<Trouble>),
    /// Every question and command gets this answer.
    pub(super) trouble: Option<Trouble>,
    /// A power cycle makes it obey.
    pub(super) cycle_heals: bool,
    /// What this outlet feeds: without it no controller answers, and what it had forgotten it knows.
    pub(super) feeds: Option<Fake>,
    /// How long a reading of its meter takes, and how many there were.
    pub(super) reading_takes: Duration,
    pub(super) readings: u32,
    /// What its log says, and how long it takes to.
    pub(super) log: Vec<String>,
    pub(super) log_takes: Duration,
    /// Commands, and seconds since the start.
    pub(super) commands: Vec<(Command, u64)>,
    /// Status questions, answered or not.
    pub(super) looks: u32,
    pub(super) log_asked_since: Option<i64>,
    pub(super) pending: Option<(Command, Instant)>,
    pub(super) start: Instant,
}

impl Default for Machine {
    fn default() -> Self {
        Self {
            abilities: ALL,
            is_on: false,
            takes: Duration::from_millis(500),
            answers_in: Duration::from_millis(10),
            ignores: Vec::new(),
            ignores_first: 0,
            lies: VecDeque::new(),
            lies_always: None,
            command_troubles: (0, None),
            trouble: None,
            cycle_heals: false,
            feeds: None,
            reading_takes: Duration::ZERO,
            readings: 0,
            log: Vec::new(),
            log_takes: Duration::ZERO,
            commands: Vec::new(),
            looks: 0,
            log_asked_since: None,
            pending: None,
            start: Instant::now(),
        }
    }
}

impl Machine {
    /// Lets what was commanded happen when its time has come.
    pub(super) fn settle(&mut self) {
        if let Some((command, at)) = self.pending
            && Instant::now() >= at
        {
            self.pending = None;
            self.is_on = matches!(command, Command::On | Command::Cycle);
            if let Some(fed) = &self.feeds {
                let mut fed = fed.machine();
                fed.trouble = (!self.is_on).then_some(Trouble::NoAnswer);
                fed.is_on &= self.is_on;
                fed.ignores.clear();
            }
        }
    }

    fn look(&mut self) -> Power {
        self.settle();
        let truth = if self.is_on { Power::On } else { Power::Off };
        self.lies.pop_front().or(self.lies_always).unwrap_or(truth)
    }

    fn command(&mut self, command: Command) -> Result<(), Trouble> {
        self.settle();
        self.commands.push((command, self.start.elapsed().as_secs()));
        if let (1.., Some(trouble)) = self.command_troubles {
            self.command_troubles.0 -= 1;
            return Err(trouble);
        }
        if command == Command::Cycle && self.cycle_heals {
            self.ignores.clear();
        }
        if self.ignores_first > 0 {
            self.ignores_first -= 1;
        } else if !self.ignores.contains(&command)
            && self.pending.is_none_or(|(pending, _)| pending != command)
        {
            self.pending = Some((command, Instant::now() + self.takes));
            if command == Command::Cycle {
                self.is_on = false;
            }
        }
        Ok(())
    }

    /// The commands without their times.
    pub(super) fn said(&self) -> Vec<Command> {
        self.commands.iter().map(|(command, _)| *command).collect()
    }
}

/// A driver; the machine is shared with the test.
#[derive(Debug, Clone, Default)]
pub(super) struct Fake(Arc<Mutex<Machine>>);

impl Fake {
    pub(super) fn new(machine: Machine) -> Self {
        Self(Arc::new(Mutex::new(machine)))
    }

    pub(super) fn machine(&self) -> MutexGuard<'_, Machine> {
        self.0.lock().unwrap()
    }

    fn answer<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut Machine) -> Result<T, Trouble> + Send + 'static,
    ) -> Answer<'static, T> {
        let this = self.clone();
        async move {
            let (delay, trouble) = {
                let machine = this.machine();
                (machine.answers_in, machine.trouble)
            };
            // As the IPMI client gives up.
            let silent = trouble == Some(Trouble::NoAnswer);
            sleep(if silent { Duration::from_secs(6) } else { delay }).await;
            let done = match trouble {
                Some(trouble) => Err(trouble),
                None => act(&mut this.machine()),
            };
            done.map_err(|trouble| DriverError::new(trouble, format!("{trouble:?}")))
        }
        .boxed()
    }
}

impl Driver for Fake {
    fn abilities(&self) -> Abilities {
        self.machine().abilities
    }

    fn power(&mut self) -> Answer<'_, Power> {
        self.machine().looks += 1;
        self.answer(|machine| {
            let sees = machine.abilities.sees_power;
            if sees { Ok(machine.look()) } else { Err(Trouble::Unsupported) }
        })
    }

    fn command(&mut self, command: Command) -> Answer<'_, ()> {
        if self.machine().trouble.is_some() {
            let seconds = self.machine().start.elapsed().as_secs();
            self.machine().commands.push((command, seconds));
        }
        self.answer(move |machine| machine.command(command))
    }

    fn boot_from_network(&mut self, _: Firmware) -> Answer<'_, ()> {
        self.answer(|_| Ok(()))
    }

    fn reading(&mut self) -> Answer<'_, Option<Reading>> {
        let takes = self.machine().reading_takes;
        let answer = self.answer(|machine| {
            machine.readings += 1;
            Ok(Some(Reading { milliwatts: 100_000, meter: "fake" }))
        });
        async move {
            sleep(takes).await;
            answer.await
        }
        .boxed()
    }

    fn events(&mut self, since_unix_ns: i64) -> Answer<'_, Vec<String>> {
        let takes = self.machine().log_takes;
        let answer = self.answer(move |machine| {
            machine.log_asked_since = Some(since_unix_ns);
            Ok(machine.log.clone())
        });
        async move {
            sleep(takes).await;
            answer.await
        }
        .boxed()
    }
}

/// What a listener was told.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) events: Vec<(NodeName, Event)>,
    pub(super) stuck: Vec<String>,
    pub(super) explained: Vec<String>,
    pub(super) is_held: bool,
    pub(super) is_alive: Option<bool>,
    pub(super) asked_for_life: u32,
    pub(super) heard_at: Option<Instant>,
    pub(super) boot_heard_at: Option<Instant>,
    /// So many events are not taken.
    pub(super) deaf_for: u32,
}

/// A listener; what it was told is shared with the test.
#[derive(Debug, Clone, Default)]
pub(super) struct Ear(Arc<Mutex<Told>>);

impl Ear {
    pub(super) fn told(&self) -> MutexGuard<'_, Told> {
        self.0.lock().unwrap()
    }

    pub(super) fn events(&self) -> Vec<Event> {
        self.told().events.iter().map(|(_, event)| event.clone()).collect()
    }

    /// The reason of the failure that was told.
    pub(super) fn failure(&self) -> Option<String> {
        let reason = |event| {
            if let Event::Failed(failure) = event { Some(failure.reason) } else { None }
        };
        self.events().into_iter().find_map(reason)
    }
}

impl Listener for Ear {
    fn happened(&self, node: &NodeName, _: DeploymentId, event: &Event, _: i64) -> bool {
        let mut told = self.told();
        if told.deaf_for > 0 {
            told.deaf_for -= 1;
            return false;
        }
        told.events.push((node.clone(), event.clone()));
        true
    }

    fn reading(&self, _: &NodeName, _: Sample, _: &str) {}

    fn settled(&self, _: &NodeName) {}

    fn is_held(&self, _: &NodeName) -> bool {
        self.told().is_held
    }

    fn is_alive(&self, _: &NodeName) -> Option<bool> {
        let mut told = self.told();
        told.asked_for_life += 1;
        told.is_alive
    }

    fn heard_at(&self, _: &NodeName) -> Option<Instant> {
        self.told().heard_at
    }

    fn boot_heard_at(&self, _: &NodeName, _: DeploymentId) -> Option<Instant> {
        self.told().boot_heard_at
    }

    fn stuck(&self, _: &NodeName, _: Option<DeploymentId>, tried: &str) {
        self.told().stuck.push(tried.to_owned());
    }

    fn explained(&self, _: &NodeName, _: DeploymentId, lines: &[String]) {
        self.told().explained.extend_from_slice(lines);
    }
}
