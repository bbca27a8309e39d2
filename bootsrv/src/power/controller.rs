//! A node's baseboard controller: a session that is opened when it is needed, and opened again when
//! it broke; and the best meter the controller offers.

use super::Power;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use ipmi::{
    BootDevice, ChassisControl, Client, ControllerAddress, Error, Firmware, PowerSensor,
    choose_system_sensor,
};
use protocol::api::PowerDefinition;

/// The controller of one node.
#[derive(Debug)]
pub struct Controller {
    definition: PowerDefinition,
    client: Option<Client>,
    meter: Meter,
}

/// Where the readings come from.
#[derive(Debug, Clone)]
enum Meter {
    NotKnownYet,
    Dcmi,
    Sensor(PowerSensor),
    None,
}

impl Controller {
    /// A controller that was not spoken to yet.
    #[must_use]
    pub fn new(definition: &PowerDefinition) -> Self {
        Self { definition: definition.clone(), client: None, meter: Meter::NotKnownYet }
    }

    /// Whether the node has power.
    ///
    /// # Errors
    /// When the controller does not answer as it should.
    pub async fn power(&mut self) -> Result<Power, Error> {
        let status = self.ask(|client| client.chassis_status().boxed()).await?;
        Ok(if status.power_on { Power::On } else { Power::Off })
    }

    /// Orders power on; the effect comes later.
    ///
    /// # Errors
    /// When the controller refuses or does not answer.
    pub async fn power_on(&mut self) -> Result<(), Error> {
        self.ask(|client| client.chassis_control(ChassisControl::On).boxed()).await
    }

    /// Orders power off, hard; the effect comes later.
    ///
    /// # Errors
    /// When the controller refuses or does not answer.
    pub async fn power_off(&mut self) -> Result<(), Error> {
        self.ask(|client| client.chassis_control(ChassisControl::Off).boxed()).await
    }

    /// Chooses the network for the next boot only.
    ///
    /// # Errors
    /// When the controller refuses or does not answer.
    pub async fn boot_from_network(&mut self) -> Result<(), Error> {
        self.ask(|client| client.set_next_boot(BootDevice::Pxe, Firmware::Legacy).boxed()).await
    }

    /// The node's power in watts; `None`: it has no meter, or the meter has no reading now.
    ///
    /// # Errors
    /// When the controller does not answer.
    pub async fn watts(&mut self) -> Result<Option<u32>, Error> {
        if matches!(self.meter, Meter::NotKnownYet) {
            self.meter = self.find_meter().await?;
        }
        match self.meter.clone() {
            Meter::NotKnownYet | Meter::None => Ok(None),
            Meter::Dcmi => {
                let reading = self.ask(|client| client.power_reading().boxed()).await?;
                Ok(reading.active.then_some(u32::from(reading.current_watts)))
            }
            Meter::Sensor(sensor) => {
                let watts =
                    self.ask(move |client| read_sensor(client, sensor.clone()).boxed()).await?;
                Ok(watts.and_then(whole_watts))
            }
        }
    }

    /// DCMI first: it has whole watts, a sensor's byte has 256 steps for its whole range.
    async fn find_meter(&mut self) -> Result<Meter, Error> {
        match self.ask(|client| client.power_reading().boxed()).await {
            Ok(_) => return Ok(Meter::Dcmi),
            Err(error) if error.session_is_lost() => return Err(error),
            Err(_) => {}
        }
        match self.ask(|client| client.power_sensors().boxed()).await {
            Ok(sensors) => {
                Ok(choose_system_sensor(&sensors).cloned().map_or(Meter::None, Meter::Sensor))
            }
            Err(error) if error.session_is_lost() => Err(error),
            Err(_) => Ok(Meter::None),
        }
    }

    /// Asks, and once more in a new session when the old one is lost: controllers drop sessions
    /// that were silent for a minute.
    async fn ask<T>(
        &mut self,
        question: impl Fn(&mut Client) -> BoxFuture<'_, Result<T, Error>>,
    ) -> Result<T, Error> {
        if let Some(client) = &mut self.client {
            match question(client).await {
                Err(error) if error.session_is_lost() => self.client = None,
                answered => return answered,
            }
        }
        let client = self.client.insert(self.connect().await?);
        let answered = question(client).await;
        if answered.as_ref().is_err_and(Error::session_is_lost) {
            self.client = None;
        }
        answered
    }

    async fn connect(&self) -> Result<Client, Error> {
        let PowerDefinition::Ipmi { address, user, password, cipher_suite } = &self.definition;
        let addr = ipmi::resolve(address).await?;
        let mut account = ControllerAddress::new(addr, user.clone(), password.expose().to_owned());
        account.cipher_suite = *cipher_suite;
        Client::connect(account).await
    }
}

async fn read_sensor(client: &mut Client, sensor: PowerSensor) -> Result<Option<f64>, Error> {
    client.sensor_watts(&sensor).await
}

fn whole_watts(watts: f64) -> Option<u32> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a float cast saturates, and values outside the range are refused before"
    )]
    (0.0..100_000.0).contains(&watts).then_some(watts.round() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sane_watts_are_taken() {
        assert_eq!(whole_watts(12.6), Some(13));
        for bad in [-1.0, f64::NAN, 1e9] {
            assert_eq!(whole_watts(bad), None);
        }
    }
}
