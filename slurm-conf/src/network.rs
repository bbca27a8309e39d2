//! IPv4 networks, as much of them as a site file needs. No look-ups.

use serde::Deserialize;
use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

/// An IPv4 network such as `10.77.0.0/24`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Network {
    address: Ipv4Addr,
    prefix: u8,
}

/// Text that is no IPv4 network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an IPv4 network like 10.77.0.0/24 with no bit set behind its prefix")]
pub struct InvalidNetwork(String);

impl Network {
    /// Bits of the network part, 8 to 30.
    #[must_use]
    pub fn prefix(self) -> u8 {
        self.prefix
    }

    /// Its first address, which names it.
    #[must_use]
    pub fn address(self) -> Ipv4Addr {
        self.address
    }

    /// `255.255.255.0` for a prefix of 24.
    #[must_use]
    pub fn mask(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(u32::MAX << (32 - u32::from(self.prefix)))
    }

    /// Its last address, which means all of its machines.
    #[must_use]
    pub fn broadcast(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.address.to_bits() | !self.mask().to_bits())
    }

    /// Whether a machine may have the address: in the network, not its first or last.
    #[must_use]
    pub fn has_host(self, address: Ipv4Addr) -> bool {
        let mask = self.mask().to_bits();
        address.to_bits() & mask == self.address.to_bits()
            && address != self.address
            && address != self.broadcast()
    }
}

impl FromStr for Network {
    type Err = InvalidNetwork;
    fn from_str(text: &str) -> Result<Self, InvalidNetwork> {
        let fail = || InvalidNetwork(text.chars().take(64).collect());
        let (address, prefix) = text.split_once('/').ok_or_else(fail)?;
        let address: Ipv4Addr = address.parse().map_err(|_| fail())?;
        let prefix: u8 = prefix.parse().map_err(|_| fail())?;
        let network = Self { address, prefix };
        let plain =
            (8..=30).contains(&prefix) && address.to_bits() & !network.mask().to_bits() == 0;
        if plain { Ok(network) } else { Err(fail()) }
    }
}

impl TryFrom<String> for Network {
    type Error = InvalidNetwork;
    fn try_from(text: String) -> Result<Self, InvalidNetwork> {
        text.parse()
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// The address `count` places after `first`; `None` behind 255.255.255.255.
#[must_use]
pub fn nth_address(first: Ipv4Addr, count: usize) -> Option<Ipv4Addr> {
    first.to_bits().checked_add(u32::try_from(count).ok()?).map(Ipv4Addr::from_bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_know_their_hosts() {
        let network: Network = "10.77.0.0/24".parse().unwrap();
        for (address, expected) in [
            ("10.77.0.1", true),
            ("10.77.0.0", false),
            ("10.77.0.255", false),
            ("10.77.1.1", false),
        ] {
            assert_eq!(network.has_host(address.parse().unwrap()), expected, "{address}");
        }
        assert_eq!(network.mask().to_string(), "255.255.255.0");
        assert_eq!(network.to_string(), "10.77.0.0/24");
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for bad in
            ["", "10.0.0.0", "10.0.0.1/24", "10.0.0.0/0", "10.0.0.0/31", "x/8", "10.0.0.0/-1"]
        {
            assert!(bad.parse::<Network>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn addresses_count_across_bytes_and_not_behind_the_end() {
        let first = "10.0.0.254".parse().unwrap();
        assert_eq!(nth_address(first, 3).unwrap().to_string(), "10.0.1.1");
        assert_eq!(nth_address(Ipv4Addr::BROADCAST, 1), None);
    }
}
