//! Sending magic packets: as UDP to a broadcast address, or as bare Ethernet frames.

use crate::frame;
use crate::interface::InterfaceName;
use crate::packet::MagicPacket;
use crate::route::{Burst, Route};
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, sendto, socket};
use protocol::names::MacAddress;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::AsRawFd;
use tokio::net::UdpSocket;
use tokio::time::sleep;

/// Why no packet left this host. That one left says nothing about the machine.
#[derive(Debug, thiserror::Error)]
pub enum WakeError {
    /// There is no such interface, or not of a kind that can do it.
    #[error("cannot use interface {interface} for Wake-on-LAN")]
    Interface {
        /// The interface.
        interface: InterfaceName,
        /// What is wrong with it.
        #[source]
        source: io::Error,
    },
    /// This process may not send on that interface: it lacks CAP_NET_RAW.
    #[error("not allowed to send Ethernet frames on {interface}: CAP_NET_RAW is needed")]
    Forbidden {
        /// The interface.
        interface: InterfaceName,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The kernel took no packet, e.g. because there is no route to the address.
    #[error("cannot send a magic packet to {to}")]
    Send {
        /// The broadcast address or the interface.
        to: String,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}

/// Sends the packets of one burst; takes as long as the pauses between them.
///
/// # Errors
/// The last [`WakeError`] if none of the packets could be sent; one that was sent is enough.
pub async fn wake(packet: &MagicPacket, route: &Route, burst: Burst) -> Result<(), WakeError> {
    match route {
        Route::Udp { to, interface } => {
            let socket = udp_socket(*to, interface.as_ref()).await?;
            let payload = packet.to_bytes();
            repeat(burst, || {
                let sent = socket.try_send_to(&payload, (*to).into());
                sent.map_err(|source| WakeError::Send { to: to.to_string(), source })
            })
            .await
        }
        Route::Ethernet { interface } => repeat(burst, || send_frame(packet, interface)).await,
    }
}

async fn repeat(
    burst: Burst,
    mut send: impl FnMut() -> Result<usize, WakeError>,
) -> Result<(), WakeError> {
    let mut outcome = send().map(|_| ());
    for _ in 1..burst.packets {
        sleep(burst.spacing).await;
        let next = send().map(|_| ());
        outcome = outcome.or(next);
    }
    outcome
}

async fn udp_socket(
    to: SocketAddrV4,
    interface: Option<&InterfaceName>,
) -> Result<UdpSocket, WakeError> {
    let failed = |source| WakeError::Send { to: to.to_string(), source };
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await.map_err(failed)?;
    socket.set_broadcast(true).map_err(failed)?;
    if let Some(interface) = interface {
        socket
            .bind_device(Some(interface.as_str().as_bytes()))
            .map_err(|source| WakeError::Interface { interface: interface.clone(), source })?;
    }
    // The first try_send_to must find the socket known to be writable.
    socket.writable().await.map_err(failed)?;
    Ok(socket)
}

/// One frame through a packet socket that receives nothing (protocol 0) and never blocks.
fn send_frame(packet: &MagicPacket, interface: &InterfaceName) -> Result<usize, WakeError> {
    let link = interface
        .link()
        .map_err(|source| WakeError::Interface { interface: interface.clone(), source })?;
    let refused = |errno: nix::Error| {
        let source = errno.into();
        if matches!(errno, nix::Error::EPERM | nix::Error::EACCES) {
            return WakeError::Forbidden { interface: interface.clone(), source };
        }
        WakeError::Send { to: interface.to_string(), source }
    };
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Packet, SockType::Raw, flags, None).map_err(refused)?;
    let frame = frame::build(packet, MacAddress(link.addr().unwrap_or_default()));
    sendto(socket.as_raw_fd(), &frame, &link, MsgFlags::empty()).map_err(refused)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::broadcast;
    use std::time::Duration;

    #[tokio::test]
    async fn one_packet_that_left_is_enough() {
        let burst = Burst::new(3, Duration::ZERO).unwrap();
        let error = || WakeError::Send { to: String::new(), source: io::ErrorKind::Other.into() };
        for (good, outcome) in [(1, true), (3, true), (9, false)] {
            let mut tries = 0;
            let sent = repeat(burst, || {
                tries += 1;
                if tries == good { Ok(102) } else { Err(error()) }
            })
            .await;
            assert_eq!((sent.is_ok(), tries), (outcome, 3));
        }
    }

    #[test]
    fn waking_may_be_awaited_on_any_thread() {
        fn sent<F: Future + Send>(_: F) {}
        let packet = MagicPacket { mac: MacAddress([2; 6]), password: None };
        let route = Route::Udp { to: broadcast("127.0.0.1").unwrap(), interface: None };
        sent(wake(&packet, &route, Burst::default()));
    }
}
