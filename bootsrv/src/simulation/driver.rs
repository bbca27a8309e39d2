//! A driver whose machine is in the simulation; compiled into `power`.

use super::Power;
use super::driver::{Abilities, Answer, Command, Driver, DriverError, Reading, Trouble};
use crate::simulation::machine::{Deed, Machines};
use futures_util::FutureExt;
use protocol::api::{Firmware, NodeDefinition};
use protocol::names::NodeName;
use std::cell::RefCell;
use std::time::Duration;
use tokio::time::sleep;

thread_local! {
    static MACHINES: RefCell<Option<Machines>> = const { RefCell::new(None) };
}

/// From now on the drivers of this thread's nodes switch these machines.
pub(crate) fn switch(machines: Option<Machines>) {
    MACHINES.set(machines);
}

/// The simulated driver of a node, where there is a simulation.
pub(super) fn open(node: &NodeDefinition) -> Option<Box<dyn Driver>> {
    let machines = MACHINES.with_borrow(Clone::clone)?;
    Some(Box::new(Simulated { node: node.name.clone(), machines }))
}

#[derive(Debug)]
struct Simulated {
    node: NodeName,
    machines: Machines,
}

/// As the IPMI client gives up.
const SILENCE: Duration = Duration::from_secs(6);
const ANSWER: Duration = Duration::from_millis(30);

impl Simulated {
    async fn ask<T>(&self, deed: Deed, take: impl Fn(&Deed) -> T) -> Result<T, DriverError> {
        sleep(ANSWER).await;
        let done = self.machines.ask(&self.node, deed);
        let trouble = match done {
            Deed::Away => {
                sleep(SILENCE).await;
                Trouble::NoAnswer
            }
            Deed::Refused => Trouble::Broken,
            Deed::Look
            | Deed::On
            | Deed::Off
            | Deed::Cycle
            | Deed::Measure
            | Deed::Shows(_)
            | Deed::Draws(_)
            | Deed::Accepted => return Ok(take(&done)),
        };
        Err(DriverError::new(trouble, format!("asking the simulated {}", self.node)))
    }
}

impl Driver for Simulated {
    fn abilities(&self) -> Abilities {
        Abilities {
            sees_power: true,
            switches_off: true,
            soft_off: false,
            cycle: true,
            boot_device: true,
            meter: true,
        }
    }

    fn power(&mut self) -> Answer<'_, Power> {
        let is_on = |deed: &Deed| matches!(deed, Deed::Shows(true));
        async move {
            let on = self.ask(Deed::Look, is_on).await?;
            Ok(if on { Power::On } else { Power::Off })
        }
        .boxed()
    }

    fn command(&mut self, command: Command) -> Answer<'_, ()> {
        let deed = match command {
            Command::On => Deed::On,
            Command::SoftOff | Command::Off => Deed::Off,
            Command::Cycle => Deed::Cycle,
        };
        self.ask(deed, |_| ()).boxed()
    }

    fn boot_from_network(&mut self, _: Firmware) -> Answer<'_, ()> {
        async { Ok(()) }.boxed()
    }

    fn reading(&mut self) -> Answer<'_, Option<Reading>> {
        let watts = |deed: &Deed| {
            let Deed::Draws(watts) = deed else { return None };
            Some(Reading { milliwatts: *watts * 1_000, meter: "simulated" })
        };
        self.ask(Deed::Measure, watts).boxed()
    }

    fn events(&mut self, _: i64) -> Answer<'_, Vec<String>> {
        async { Ok(vec![]) }.boxed()
    }
}
