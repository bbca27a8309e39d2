//! Wake-on-LAN: on only, and nothing to see.

use crate::power::Power;
use crate::power::driver::{Abilities, Answer, Command, Driver, DriverError, Reading, Trouble};
use futures_util::FutureExt;
use protocol::api::Firmware;
use protocol::names::{MacAddress, Secret};
use wake::{Burst, MagicPacket, Route, WakeError};

/// What wakes one node.
#[derive(Debug)]
pub(super) struct Wake {
    packet: MagicPacket,
    route: Route,
}

impl Wake {
    /// # Errors
    /// The key and what is wrong with it.
    pub(super) fn new(
        mac: MacAddress,
        broadcast: &str,
        interface: Option<&str>,
        password: Option<&Secret>,
    ) -> Result<Self, String> {
        let to = wake::broadcast(broadcast).map_err(|error| format!("broadcast: {error}"))?;
        let interface = interface.map(str::parse).transpose();
        let interface = interface.map_err(|error| format!("interface: {error}"))?;
        let password = password.map(|text| text.expose().parse()).transpose();
        let password = password.map_err(|error| format!("password: {error}"))?;
        Ok(Self { packet: MagicPacket { mac, password }, route: Route::Udp { to, interface } })
    }
}

impl Driver for Wake {
    fn abilities(&self) -> Abilities {
        Abilities {
            sees_power: false,
            switches_off: false,
            soft_off: false,
            cycle: false,
            boot_device: false,
            meter: false,
        }
    }

    fn power(&mut self) -> Answer<'_, Power> {
        async { Err(cannot()) }.boxed()
    }

    fn command(&mut self, command: Command) -> Answer<'_, ()> {
        async move {
            if command != Command::On {
                return Err(cannot());
            }
            wake::wake(&self.packet, &self.route, Burst::default())
                .await
                .map_err(|error| trouble(&error))
        }
        .boxed()
    }

    fn boot_from_network(&mut self, _: Firmware) -> Answer<'_, ()> {
        async { Err(cannot()) }.boxed()
    }

    fn reading(&mut self) -> Answer<'_, Option<Reading>> {
        async { Ok(None) }.boxed()
    }

    fn events(&mut self, _: i64) -> Answer<'_, Vec<String>> {
        async { Ok(Vec::new()) }.boxed()
    }
}

/// It is this host that did not send: no node and no network is to blame.
fn trouble(error: &WakeError) -> DriverError {
    DriverError::new(Trouble::Broken, crate::chain(error))
}

fn cannot() -> DriverError {
    DriverError::new(Trouble::Unsupported, "Wake-on-LAN can only switch on")
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::UdpSocket;

    const MAC: MacAddress = MacAddress([0x52, 0x54, 0, 0x77, 0, 1]);

    #[tokio::test]
    async fn power_on_sends_the_nodes_packet_and_nothing_else_does() {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let to = socket.local_addr().unwrap().to_string();
        let password = Secret::new("1.2.3.4".into());
        let mut driver = Wake::new(MAC, &to, None, Some(&password)).unwrap();
        for command in [Command::SoftOff, Command::Off, Command::Cycle] {
            assert_eq!(driver.command(command).await.unwrap_err().trouble, Trouble::Unsupported);
        }
        assert_eq!(driver.power().await.unwrap_err().trouble, Trouble::Unsupported);
        driver.command(Command::On).await.unwrap();
        let mut bytes = [0; 200];
        let count = socket.recv(&mut bytes).await.unwrap();
        let packet = MagicPacket::parse(&bytes[..count]).unwrap();
        assert_eq!(packet, MagicPacket { mac: MAC, password: Some("1.2.3.4".parse().unwrap()) });
    }

    #[test]
    fn what_cannot_be_used_is_refused_with_its_key() {
        let secret = Secret::new("hush".into());
        for (broadcast, interface, password, expected) in [
            ("here", None, None, "broadcast: "),
            ("10.0.0.255", Some("a/b"), None, "interface: "),
            ("10.0.0.255", None, Some(&secret), "password: "),
        ] {
            let error = Wake::new(MAC, broadcast, interface, password).unwrap_err();
            assert!(error.starts_with(expected) && !error.contains("hush"), "{error}");
        }
    }
}
