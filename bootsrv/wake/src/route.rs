//! Where magic packets go, and how many.

use crate::interface::InterfaceName;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

/// The UDP port (discard) that magic packets go to where nobody says otherwise. Cards do not look
/// at it.
pub const DEFAULT_PORT: u16 = 9;

/// How the packets travel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// As UDP over IPv4.
    Udp {
        /// The broadcast address of the machine's network, in another network than ours a directed
        /// one, e.g. 10.77.0.255:9.
        to: SocketAddrV4,
        /// The interface they leave by; `None`: the routing table decides.
        interface: Option<InterfaceName>,
    },
    /// As Ethernet frames of type 0842 to everybody on one link. Needs CAP_NET_RAW.
    Ethernet {
        /// The interface on that link.
        interface: InterfaceName,
    },
}

/// Reads `address` or `address:port`; port 9 if absent. Names are not looked up.
///
/// # Errors
/// [`InvalidBroadcast`] for anything else, and for port 0.
pub fn broadcast(text: &str) -> Result<SocketAddrV4, InvalidBroadcast> {
    let address = match text.parse::<Ipv4Addr>() {
        Ok(ip) => Some(SocketAddrV4::new(ip, DEFAULT_PORT)),
        Err(_) => text.parse().ok(),
    };
    address.filter(|address| address.port() != 0).ok_or_else(|| InvalidBroadcast(text.to_owned()))
}

/// The text is no place to send magic packets to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no broadcast address: write it like 10.77.0.255 or 10.77.0.255:9")]
pub struct InvalidBroadcast(String);

/// How often a packet is sent, since nobody says that it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Burst {
    pub(crate) packets: u32,
    pub(crate) spacing: Duration,
}

impl Burst {
    /// Most packets of one burst.
    pub const PACKETS_MAX: u32 = 10;
    /// Longest pause between two of them.
    pub const SPACING_MAX: Duration = Duration::from_secs(1);

    /// 1 to [`Self::PACKETS_MAX`] packets, at most [`Self::SPACING_MAX`] apart.
    ///
    /// # Errors
    /// [`BurstOutOfRange`] outside of these.
    pub fn new(packets: u32, spacing: Duration) -> Result<Self, BurstOutOfRange> {
        let good = (1..=Self::PACKETS_MAX).contains(&packets) && spacing <= Self::SPACING_MAX;
        if good { Ok(Self { packets, spacing }) } else { Err(BurstOutOfRange) }
    }
}

impl Default for Burst {
    /// Three packets, 100 ms apart: a lost frame or a switch that is just learning costs one.
    fn default() -> Self {
        Self { packets: 3, spacing: Duration::from_millis(100) }
    }
}

/// A burst that is too long or empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a burst has 1 to 10 packets, at most one second apart")]
pub struct BurstOutOfRange;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broadcast_addresses_are_read_strictly() {
        let to = |text: &str| broadcast(text).map(|address| address.to_string());
        assert_eq!(to("10.77.0.255").as_deref(), Ok("10.77.0.255:9"));
        assert_eq!(to("10.77.0.255:7").as_deref(), Ok("10.77.0.255:7"));
        for bad in ["", "host", "10.77.0.255:0", "10.77.0", "[::1]:9", "10.77.0.255:70000"] {
            assert!(to(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_burst_has_limits() {
        let second = Duration::from_secs(1);
        assert!(Burst::new(1, Duration::ZERO).is_ok() && Burst::new(10, second).is_ok());
        assert!(Burst::new(0, second).is_err() && Burst::new(11, second).is_err());
        assert!(Burst::new(3, second * 2).is_err());
    }
}
