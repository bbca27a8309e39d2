//! Stands in where a definition that was good at its import is not any more, e.g. because a file with
//! certificates is gone: every order fails with the reason instead of waiting for nobody.

use crate::power::Power;
use crate::power::driver::{Abilities, Answer, Command, Driver, DriverError, Reading, Trouble};
use futures_util::FutureExt;
use protocol::api::Firmware;

/// What is wrong.
#[derive(Debug)]
pub(super) struct Unusable(pub(super) String);

impl Unusable {
    fn no<T: Send + 'static>(&self) -> Answer<'static, T> {
        // Refused: not worth asking again.
        let error = DriverError::new(Trouble::Refused, self.0.clone());
        async { Err(error) }.boxed()
    }
}

impl Driver for Unusable {
    fn abilities(&self) -> Abilities {
        Abilities {
            sees_power: true,
            switches_off: true,
            soft_off: false,
            cycle: false,
            boot_device: false,
            meter: false,
        }
    }

    fn power(&mut self) -> Answer<'_, Power> {
        self.no()
    }

    fn command(&mut self, _: Command) -> Answer<'_, ()> {
        self.no()
    }

    fn boot_from_network(&mut self, _: Firmware) -> Answer<'_, ()> {
        self.no()
    }

    fn reading(&mut self) -> Answer<'_, Option<Reading>> {
        self.no()
    }

    fn events(&mut self, _: i64) -> Answer<'_, Vec<String>> {
        self.no()
    }
}
