//! Outlets of a power distribution unit, as a node's power or as its last resort.

use crate::power::Power;
use crate::power::driver::{Abilities, Answer, Command, Driver, DriverError, Reading, Trouble};
use futures_util::FutureExt;
use pdu::{Credentials, Error, Model, Outlets, Patience, Unit};
use protocol::api::Firmware;
use protocol::power::Pdu as Definition;

/// The outlets that feed one node.
#[derive(Debug)]
pub(super) struct Pdu {
    outlets: Outlets,
}

impl Pdu {
    /// # Errors
    /// What is wrong with the definition.
    pub(super) fn new(definition: &Definition) -> Result<Self, String> {
        let model = Model::named(&definition.model).map_err(|error| format!("model: {error}"))?;
        let unit = Unit {
            address: definition.address.clone(),
            credentials: Credentials::Community(definition.community.expose().to_owned()),
            model,
            outlets: definition.outlets.clone(),
        };
        let outlets = Outlets::new(vec![unit], Patience::default());
        Ok(Self { outlets: outlets.map_err(|error| format!("method pdu: {error}"))? })
    }
}

impl Driver for Pdu {
    fn abilities(&self) -> Abilities {
        Abilities {
            sees_power: true,
            switches_off: true,
            soft_off: false,
            // The worker's off and on does it: each is looked at.
            cycle: false,
            boot_device: false,
            meter: true,
        }
    }

    fn power(&mut self) -> Answer<'_, Power> {
        async {
            match self.outlets.power().await.map_err(|error| trouble(&error))? {
                // From one side only, but it has.
                pdu::Power::On | pdu::Power::Partly => Ok(Power::On),
                pdu::Power::Off => Ok(Power::Off),
                pdu::Power::Unknown => {
                    Err(DriverError::new(Trouble::Busy, "the PDU does not say how its outlets are"))
                }
            }
        }
        .boxed()
    }

    fn command(&mut self, command: Command) -> Answer<'_, ()> {
        async move {
            let done = match command {
                Command::On => self.outlets.on().await,
                Command::Off => self.outlets.off().await,
                Command::SoftOff | Command::Cycle => return Err(cannot()),
            };
            done.map_err(|error| trouble(&error))
        }
        .boxed()
    }

    fn boot_from_network(&mut self, _: Firmware) -> Answer<'_, ()> {
        async { Err(cannot()) }.boxed()
    }

    fn reading(&mut self) -> Answer<'_, Option<Reading>> {
        async {
            let reading = self.outlets.reading().await.map_err(|error| trouble(&error))?;
            let milliwatts = reading.watts.and_then(super::milliwatts);
            Ok(milliwatts.map(|milliwatts| Reading { milliwatts, meter: "pdu" }))
        }
        .boxed()
    }

    fn events(&mut self, _: i64) -> Answer<'_, Vec<String>> {
        async { Ok(Vec::new()) }.boxed()
    }
}

fn trouble(error: &Error) -> DriverError {
    let trouble = match error.trouble {
        pdu::Trouble::NoAnswer => Trouble::NoAnswer,
        pdu::Trouble::Busy => Trouble::Busy,
        pdu::Trouble::Refused => Trouble::Refused,
        // No such outlet: nothing stands in for what it does.
        pdu::Trouble::Unsupported | pdu::Trouble::Malformed | pdu::Trouble::Ignored => {
            Trouble::Broken
        }
    };
    DriverError::new(trouble, crate::chain(error))
}

fn cannot() -> DriverError {
    DriverError::new(Trouble::Unsupported, "an outlet can only be switched on and off")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(model: &str, outlets: &[u32]) -> Result<Pdu, String> {
        let text = format!(
            "address = \"10.0.0.9\"\ncommunity = \"hush\"\nmodel = \"{model}\"\noutlets = {outlets:?}"
        );
        Pdu::new(&toml::from_str(&text).unwrap())
    }

    #[test]
    fn what_cannot_be_used_is_refused_and_models_are_named() {
        assert!(open("apc-rpdu", &[3, 4]).is_ok());
        let error = open("apc", &[3]).unwrap_err();
        assert!(error.starts_with("model: ") && error.contains("apc-rpdu"), "{error}");
        for outlets in [vec![], vec![0], vec![3, 3]] {
            let error = open("apc-rpdu", &outlets).unwrap_err();
            assert!(error.starts_with("method pdu: ") && !error.contains("hush"), "{error}");
        }
    }

    #[tokio::test]
    async fn only_on_and_off_are_asked_of_it() {
        let mut driver = open("apc-rpdu", &[3]).unwrap();
        for command in [Command::SoftOff, Command::Cycle] {
            assert_eq!(driver.command(command).await.unwrap_err().trouble, Trouble::Unsupported);
        }
    }
}
