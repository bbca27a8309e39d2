//! The password of a magic packet.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

/// A SecureOn password: the card wakes the machine only when it stands behind the addresses.
/// `Debug` does not show it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum SecureOn {
    /// Four bytes, written like an IPv4 address.
    Four([u8; 4]),
    /// Six bytes, written like a MAC address with colons.
    Six([u8; 6]),
}

impl SecureOn {
    /// The bytes on the wire.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Four(bytes) => bytes,
            Self::Six(bytes) => bytes,
        }
    }
}

impl FromStr for SecureOn {
    type Err = InvalidPassword;

    /// Reads `aa:bb:cc:dd:ee:ff` or `1.2.3.4`.
    fn from_str(text: &str) -> Result<Self, InvalidPassword> {
        if let Ok(four) = text.parse::<Ipv4Addr>() {
            return Ok(Self::Four(four.octets()));
        }
        let colons = text.bytes().filter(|byte| *byte == b':').count() == 5;
        let six = text.parse::<protocol::names::MacAddress>().ok().filter(|_| colons);
        six.map(|mac| Self::Six(mac.0)).ok_or(InvalidPassword)
    }
}

impl fmt::Debug for SecureOn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecureOn(<{} bytes>)", self.as_bytes().len())
    }
}

/// The text is no SecureOn password. It is a secret, so it is not repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a SecureOn password: write six bytes as aa:bb:cc:dd:ee:ff or four as 1.2.3.4")]
pub struct InvalidPassword;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_are_read_and_nothing_else() {
        let read = |text: &str| text.parse::<SecureOn>();
        assert_eq!(read("01:02:0a:0B:0c:ff"), Ok(SecureOn::Six([1, 2, 10, 11, 12, 255])));
        assert_eq!(read("1.2.30.255"), Ok(SecureOn::Four([1, 2, 30, 255])));
        for bad in
            ["", "1.2.3", "1.2.3.256", "aa:bb:cc:dd:ee", "aa-bb-cc-dd-ee-ff", "aa:bb:cc:dd:ee:f"]
        {
            assert_eq!(read(bad), Err(InvalidPassword), "{bad}");
        }
    }

    #[test]
    fn it_is_not_shown() {
        let password: SecureOn = "01:02:03:04:05:06".parse().unwrap();
        assert_eq!(format!("{password:?}"), "SecureOn(<6 bytes>)");
    }
}
