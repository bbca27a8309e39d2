//! Network interfaces by name, and where on the link they are.

use nix::ifaddrs::getifaddrs;
use nix::sys::socket::LinkAddr;
use std::fmt;
use std::io;
use std::str::FromStr;

/// Longest name the kernel takes, in bytes (IFNAMSIZ without its end).
const NAME_BYTES_MAX: usize = 15;
/// Most addresses looked through to find an interface.
const ADDRESSES_MAX: usize = 65_536;
/// ARPHRD_ETHER: the hardware type of Ethernet.
const HARDWARE_ETHERNET: u16 = 1;

/// The name of a network interface of this host, e.g. `eno1` or `bond0.12`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct InterfaceName(String);

impl InterfaceName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its address on the link: also what a packet socket wants to know to send from it.
    pub(crate) fn link(&self) -> io::Result<LinkAddr> {
        let found = getifaddrs()?
            .take(ADDRESSES_MAX)
            .filter(|entry| entry.interface_name == self.0)
            .find_map(|entry| entry.address?.as_link_addr().copied());
        let link = found.ok_or_else(|| {
            io::Error::new(io::ErrorKind::NotFound, "no such interface on this host")
        })?;
        if link.hatype() != HARDWARE_ETHERNET || link.halen() != 6 {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "it is not an Ethernet"));
        }
        Ok(link)
    }
}

impl FromStr for InterfaceName {
    type Err = InvalidInterface;

    fn from_str(text: &str) -> Result<Self, InvalidInterface> {
        let taken = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'/' | b':');
        let good = (1..=NAME_BYTES_MAX).contains(&text.len())
            && text.bytes().all(taken)
            && text != "."
            && text != "..";
        if good { Ok(Self(text.to_owned())) } else { Err(InvalidInterface(text.to_owned())) }
    }
}

impl fmt::Display for InterfaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text cannot be the name of an interface.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no interface name: it has 1 to 15 letters, digits or signs, no / and no :")]
pub struct InvalidInterface(String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_kernel_cannot_have_are_refused() {
        for good in ["lo", "eno1", "bond0.12", "br-1234567890ab"] {
            assert_eq!(good.parse::<InterfaceName>().unwrap().to_string(), good);
        }
        for bad in ["", ".", "..", "a/b", "eth0:1", "a b", "sixteen-letters-", "é"] {
            assert!(bad.parse::<InterfaceName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn what_cannot_carry_frames_is_refused() {
        let lo: InterfaceName = "lo".parse().unwrap();
        assert_eq!(lo.link().unwrap_err().kind(), io::ErrorKind::Unsupported);
        let none: InterfaceName = "not-there".parse().unwrap();
        assert_eq!(none.link().unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
