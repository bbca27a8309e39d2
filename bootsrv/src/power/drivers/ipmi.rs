//! IPMI 2.0: a session that is opened when it is needed, and opened again when it broke; and the best
//! meter the controller offers.

use crate::power::driver::{
    Abilities, Answer, Command, Driver, DriverError, EVENTS_MAX, IPMI_SENSOR, Reading, Trouble,
};
use crate::power::{Captures, Power};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use ipmi::{
    BootDevice, ChassisControl, Client, ControllerAddress, Error, PowerSensor, choose_system_sensor,
};
use protocol::api::Firmware;
use protocol::names::{NodeName, Secret};
use protocol::power::{PowerDefinition, Privilege};
use std::net::SocketAddr;
use std::time::{Duration, UNIX_EPOCH};

/// The controller of one node.
#[derive(Debug)]
pub(super) struct Ipmi {
    account: Account,
    node: NodeName,
    /// Of those that hold a session beside ours, one is the node's.
    captures: Captures,
    client: Option<Client>,
    meter: Meter,
    /// Manufacturer and product; `None`: not known yet, or it does not say.
    model: Option<(u32, u16)>,
}

/// What the node file says of it.
#[derive(Debug)]
pub(in crate::power) struct Account {
    address: String,
    user: String,
    password: Secret,
    cipher_suite: Option<u8>,
    kg: Option<Secret>,
    privilege: Privilege,
}

/// Where the readings come from.
#[derive(Debug, Clone)]
enum Meter {
    NotKnownYet,
    Dcmi,
    Sensor(PowerSensor),
    None,
}

impl Driver for Ipmi {
    fn abilities(&self) -> Abilities {
        Abilities {
            sees_power: true,
            switches_off: true,
            soft_off: true,
            cycle: true,
            boot_device: true,
            meter: true,
        }
    }

    fn model(&self) -> Option<String> {
        let (manufacturer, product) = self.model?;
        Some(format!("ipmi manufacturer {manufacturer} product {product}"))
    }

    fn power(&mut self) -> Answer<'_, Power> {
        async {
            let status = self.ask(|client| client.chassis_status().boxed()).await;
            let status = status.map_err(trouble)?;
            Ok(if status.power_on { Power::On } else { Power::Off })
        }
        .boxed()
    }

    fn command(&mut self, command: Command) -> Answer<'_, ()> {
        let control = match command {
            Command::On => ChassisControl::On,
            Command::SoftOff => ChassisControl::Soft,
            Command::Off => ChassisControl::Off,
            Command::Cycle => ChassisControl::Cycle,
        };
        async move {
            let done = self.ask(|client| client.chassis_control(control).boxed()).await;
            done.map_err(trouble)
        }
        .boxed()
    }

    fn boot_from_network(&mut self, firmware: Firmware) -> Answer<'_, ()> {
        let firmware = match firmware {
            Firmware::Bios => ipmi::Firmware::Legacy,
            Firmware::Uefi => ipmi::Firmware::Efi,
        };
        async move {
            let done =
                self.ask(|client| client.set_next_boot(BootDevice::Pxe, firmware).boxed()).await;
            done.map_err(trouble)
        }
        .boxed()
    }

    fn reading(&mut self) -> Answer<'_, Option<Reading>> {
        async { self.read_meter().await.map_err(trouble) }.boxed()
    }

    fn events(&mut self, since_unix_ns: i64) -> Answer<'_, Vec<String>> {
        let since = Duration::from_nanos(since_unix_ns.max(0).unsigned_abs());
        let since = UNIX_EPOCH + since;
        async move {
            let asked = self.ask(|client| client.newest_events(since, EVENTS_MAX).boxed()).await;
            Ok(asked.map_err(trouble)?.iter().map(ToString::to_string).collect())
        }
        .boxed()
    }
}

/// What follows from an error of the protocol.
fn trouble(error: Error) -> DriverError {
    let trouble = match error.trouble() {
        ipmi::Trouble::NoAnswer => Trouble::NoAnswer,
        ipmi::Trouble::Busy => Trouble::Busy,
        ipmi::Trouble::Refused => Trouble::Refused,
        ipmi::Trouble::Unsupported => Trouble::Unsupported,
        ipmi::Trouble::Broken => Trouble::Broken,
    };
    DriverError::new(trouble, crate::chain(&error))
}

impl Ipmi {
    /// A controller that was not spoken to yet.
    pub(super) fn new(account: Account, node: NodeName, captures: Captures) -> Self {
        let meter = Meter::NotKnownYet;
        Self { account, node, captures, client: None, meter, model: None }
    }

    async fn read_meter(&mut self) -> Result<Option<Reading>, Error> {
        if matches!(self.meter, Meter::NotKnownYet) {
            self.meter = self.find_meter().await?;
        }
        match self.meter.clone() {
            Meter::NotKnownYet | Meter::None => Ok(None),
            Meter::Dcmi => {
                let reading = self.ask(|client| client.power_reading().boxed()).await?;
                let watts = u32::from(reading.current_watts);
                let is_one = reading.active || (watts > 0 && self.is_on().await?);
                Ok(is_one.then_some(Reading { milliwatts: watts * 1_000, meter: "ipmi-dcmi" }))
            }
            Meter::Sensor(sensor) => {
                let watts =
                    self.ask(move |client| read_sensor(client, sensor.clone()).boxed()).await?;
                let milliwatts = watts.and_then(super::milliwatts);
                Ok(milliwatts.map(|milliwatts| Reading { milliwatts, meter: IPMI_SENSOR }))
            }
        }
    }

    /// Asked where a controller says that it does not measure and shows a power all the same, as some always
    /// do (openbmc/openbmc issue 3257): that of a node which is off is an old one.
    async fn is_on(&mut self) -> Result<bool, Error> {
        Ok(self.ask(|client| client.chassis_status().boxed()).await?.power_on)
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
        let mut client = self.connect().await?;
        if self.model.is_none() {
            // Every controller knows this command; one that does not is of no known kind.
            let known = client.device_id().await.ok();
            self.model = known.map(|device| (device.manufacturer, device.product));
        }
        let client = self.client.insert(client);
        let answered = question(client).await;
        if answered.as_ref().is_err_and(Error::session_is_lost) {
            self.client = None;
        }
        answered
    }

    /// Where the controller has no session left, the node's console gives its own back.
    async fn connect(&self) -> Result<Client, Error> {
        let address = self.account.resolve().await?;
        match Client::connect(address.clone()).await {
            Err(error @ Error::SessionRefused { .. })
                if error.trouble() == ipmi::Trouble::Busy
                    && self.captures.give_way(&self.node).await =>
            {
                Client::connect(address).await
            }
            done => done,
        }
    }
}

impl Account {
    /// The account of a controller that speaks IPMI.
    pub(in crate::power) fn of(power: &PowerDefinition) -> Option<Self> {
        let PowerDefinition::Ipmi { address, user, password, cipher_suite, kg, privilege } = power
        else {
            return None;
        };
        Some(Self {
            address: address.clone(),
            user: user.clone(),
            password: password.clone(),
            cipher_suite: *cipher_suite,
            kg: kg.clone(),
            privilege: *privilege,
        })
    }

    /// Where it is now.
    pub(in crate::power) async fn resolve(&self) -> Result<ControllerAddress, Error> {
        Ok(self.at(ipmi::resolve(&self.address).await?))
    }

    fn at(&self, addr: SocketAddr) -> ControllerAddress {
        ControllerAddress {
            addr,
            user: self.user.clone(),
            password: self.password.expose().to_owned(),
            cipher_suite: self.cipher_suite,
            // Administrator is tried first and operator then; operator where only that is named.
            privilege: (self.privilege == Privilege::Operator).then_some(ipmi::Privilege::Operator),
            controller_key: self.kg.as_ref().map(|kg| key_bytes(kg.expose())),
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_account_has_all_that_the_node_file_says() {
        let account = Account {
            address: "a".into(),
            user: "u".into(),
            password: Secret::new("p".into()),
            cipher_suite: Some(17),
            kg: Some(Secret::new("0x6b67".into())),
            privilege: Privilege::Operator,
        };
        let addr = "127.0.0.1:623".parse().unwrap();
        let expected = ControllerAddress {
            cipher_suite: Some(17),
            privilege: Some(ipmi::Privilege::Operator),
            controller_key: Some(b"kg".to_vec()),
            ..ControllerAddress::new(addr, "u".into(), "p".into())
        };
        assert_eq!(account.at(addr), expected);
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
}
