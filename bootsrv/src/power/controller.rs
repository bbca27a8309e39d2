//! A node's baseboard controller: a session that is opened when it is needed, and opened again when
//! it broke; and the best meter the controller offers.

use super::Power;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use ipmi::{
    BootDevice, ChassisControl, Client, ControllerAddress, Error, PowerSensor, choose_system_sensor,
};
use protocol::api::{Firmware, PowerDefinition};
use std::net::SocketAddr;

/// The controller of one node.
#[derive(Debug)]
pub struct Controller {
    definition: PowerDefinition,
    client: Option<Client>,
    meter: Meter,
}

/// What a meter showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// The node's power in watts.
    pub watts: u32,
    /// Which meter: `ipmi-dcmi` or `ipmi-sdr`.
    pub meter: &'static str,
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

    /// Chooses the network for the next boot only, as that firmware does it.
    ///
    /// # Errors
    /// When the controller refuses or does not answer.
    pub async fn boot_from_network(&mut self, firmware: Firmware) -> Result<(), Error> {
        let firmware = match firmware {
            Firmware::Bios => ipmi::Firmware::Legacy,
            Firmware::Uefi => ipmi::Firmware::Efi,
        };
        self.ask(|client| client.set_next_boot(BootDevice::Pxe, firmware).boxed()).await
    }

    /// The node's power; `None`: it has no meter, or the meter has no reading now.
    ///
    /// # Errors
    /// When the controller does not answer.
    pub async fn reading(&mut self) -> Result<Option<Reading>, Error> {
        if matches!(self.meter, Meter::NotKnownYet) {
            self.meter = self.find_meter().await?;
        }
        match self.meter.clone() {
            Meter::NotKnownYet | Meter::None => Ok(None),
            Meter::Dcmi => {
                let reading = self.ask(|client| client.power_reading().boxed()).await?;
                let watts = u32::from(reading.current_watts);
                Ok(reading.active.then_some(Reading { watts, meter: "ipmi-dcmi" }))
            }
            Meter::Sensor(sensor) => {
                let watts =
                    self.ask(move |client| read_sensor(client, sensor.clone()).boxed()).await?;
                let whole = watts.and_then(whole_watts);
                Ok(whole.map(|watts| Reading { watts, meter: "ipmi-sdr" }))
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
        let PowerDefinition::Ipmi { address, .. } = &self.definition;
        let addr = ipmi::resolve(address).await?;
        Client::connect(account(&self.definition, addr)).await
    }
}

fn account(definition: &PowerDefinition, addr: SocketAddr) -> ControllerAddress {
    let PowerDefinition::Ipmi { address: _, user, password, cipher_suite, kg } = definition;
    ControllerAddress {
        addr,
        user: user.clone(),
        password: password.expose().to_owned(),
        cipher_suite: *cipher_suite,
        controller_key: kg.as_ref().map(|kg| key_bytes(kg.expose())),
    }
}

/// A controller's key as the site wrote it: `0x` and an even number of hexadecimal digits, or a text.
fn key_bytes(written: &str) -> Vec<u8> {
    let hexadecimal = |digits: &&str| {
        digits.len().is_multiple_of(2) && digits.bytes().all(|digit| digit.is_ascii_hexdigit())
    };
    let Some(digits) = written.strip_prefix("0x").filter(hexadecimal) else {
        return written.as_bytes().to_vec();
    };
    let byte = |pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    digits.as_bytes().chunks(2).filter_map(byte).collect()
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
    fn the_account_has_all_that_the_node_file_says() {
        let text = "method = \"ipmi\"\naddress = \"a\"\nuser = \"u\"\npassword = \"p\"\n\
                    cipher_suite = 17\nkg = \"0x6b67\"";
        let addr = "127.0.0.1:623".parse().unwrap();
        let account = account(&toml::from_str(text).unwrap(), addr);
        let expected = ControllerAddress::new(addr, "u".into(), "p".into());
        let (cipher_suite, controller_key) = (Some(17), Some(b"kg".to_vec()));
        assert_eq!(account, ControllerAddress { cipher_suite, controller_key, ..expected });
    }

    #[test]
    fn a_key_is_a_text_or_hexadecimal() {
        for (written, expected) in [
            ("site key", &b"site key"[..]),
            ("0x00fF10", &[0, 255, 16]),
            ("0x00f", b"0x00f"),
            ("0xzz", b"0xzz"),
            ("0x+1", b"0x+1"),
        ] {
            assert_eq!(key_bytes(written), expected, "{written}");
        }
    }

    #[test]
    fn only_sane_watts_are_taken() {
        assert_eq!(whole_watts(12.6), Some(13));
        for bad in [-1.0, f64::NAN, 1e9] {
            assert_eq!(whole_watts(bad), None);
        }
    }
}
