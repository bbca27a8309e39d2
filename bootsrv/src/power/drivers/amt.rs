//! Intel AMT.

use super::trust::Known;
use crate::power::Power;
use crate::power::driver::{Abilities, Answer, Command, Driver, DriverError, Reading, Trouble};
use ::amt::{Action, Client, ClientConfig, ControllerAddress, Error, Kind, PowerState};
use futures_util::FutureExt;
use protocol::api::Firmware;
use protocol::names::Secret;
use protocol::power::Trust;

/// The controller inside one node.
#[derive(Debug)]
pub(super) struct Amt {
    client: Client,
}

/// What the node file says of it.
#[derive(Debug)]
pub(super) struct Definition<'a> {
    pub(super) address: &'a str,
    pub(super) user: &'a str,
    pub(super) password: &'a Secret,
    pub(super) tls: bool,
    pub(super) trust: &'a Trust,
}

impl Amt {
    /// # Errors
    /// The key and what is wrong with it.
    pub(super) fn new(definition: &Definition<'_>) -> Result<Self, String> {
        let trust = match Known::by(definition.trust)? {
            Known::Host => ::amt::Trust::Host,
            _ if !definition.tls => return Err("trust is of no use with tls = false".into()),
            Known::Authority(pem) => ::amt::Trust::Authority(pem),
            Known::Fingerprint(sha256) => ::amt::Trust::Fingerprint(sha256),
        };
        let (user, password) = (definition.user.into(), definition.password.expose().into());
        let address = ControllerAddress::new(
            definition.address,
            definition.tls.then_some(trust),
            user,
            password,
        );
        let address = address.map_err(|error| format!("address: {error}"))?;
        let client = Client::new(&address, ClientConfig::default());
        Ok(Self { client: client.map_err(|error| format!("trust: {}", crate::chain(&error)))? })
    }
}

impl Driver for Amt {
    fn abilities(&self) -> Abilities {
        Abilities {
            sees_power: true,
            switches_off: true,
            soft_off: true,
            cycle: true,
            boot_device: true,
            meter: false,
        }
    }

    fn power(&mut self) -> Answer<'_, Power> {
        async {
            match self.client.power().await.map_err(|error| trouble(&error))?.state {
                PowerState::On | PowerState::Asleep => Ok(Power::On),
                PowerState::Off => Ok(Power::Off),
                PowerState::Changing => {
                    Err(DriverError::new(Trouble::Busy, "the node is between two power states"))
                }
                PowerState::Other(number) => {
                    let what = format!("power state {number} says nothing about power");
                    Err(DriverError::new(Trouble::Broken, what))
                }
            }
        }
        .boxed()
    }

    fn command(&mut self, command: Command) -> Answer<'_, ()> {
        let action = match command {
            Command::On => Action::On,
            Command::SoftOff => Action::SoftOff,
            Command::Off => Action::Off,
            Command::Cycle => Action::Cycle,
        };
        async move {
            let switched = self.client.switch(action).await;
            switched.map(drop).map_err(|error| trouble(&error))
        }
        .boxed()
    }

    /// The firmware chooses between BIOS and UEFI by its own settings.
    fn boot_from_network(&mut self, _: Firmware) -> Answer<'_, ()> {
        async { self.client.boot_from_network_once().await.map_err(|error| trouble(&error)) }
            .boxed()
    }

    fn reading(&mut self) -> Answer<'_, Option<Reading>> {
        async { Ok(None) }.boxed()
    }

    fn events(&mut self, _: i64) -> Answer<'_, Vec<String>> {
        async { Ok(Vec::new()) }.boxed()
    }
}

fn trouble(error: &Error) -> DriverError {
    let trouble = match error.kind() {
        Kind::NoAnswer => Trouble::NoAnswer,
        Kind::Busy => Trouble::Busy,
        Kind::Refused => Trouble::Refused,
        Kind::Unsupported => Trouble::Unsupported,
        Kind::Malformed => Trouble::Broken,
    };
    DriverError::new(trouble, crate::chain(error))
}
