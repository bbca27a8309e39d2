//! A magic packet as bytes: six times ff, sixteen times the MAC address, maybe a password.

use crate::password::SecureOn;
use protocol::names::MacAddress;

/// The bytes that announce a magic packet.
const SYNC: [u8; 6] = [0xff; 6];
/// How often the address follows.
const REPEATS: usize = 16;
/// Sync and addresses.
const PLAIN_BYTES: usize = 6 + REPEATS * 6;

/// What a magic packet says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MagicPacket {
    /// The network card to wake.
    pub mac: MacAddress,
    /// What it must know besides, if it asks for that.
    pub password: Option<SecureOn>,
}

impl MagicPacket {
    /// The payload of a datagram or of an Ethernet frame: 102, 106 or 108 bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(PLAIN_BYTES + 6);
        bytes.extend(SYNC);
        for _ in 0..REPEATS {
            bytes.extend(self.mac.0);
        }
        if let Some(password) = &self.password {
            bytes.extend(password.as_bytes());
        }
        bytes
    }

    /// Reads a payload, from its first byte to its last. Network cards are less strict: they take
    /// the pattern anywhere in a frame. This is for who must not take anything else for a packet.
    ///
    /// # Errors
    /// [`NotMagic`] says what is wrong first.
    pub fn parse(payload: &[u8]) -> Result<Self, NotMagic> {
        let (sync, rest) = payload.split_first_chunk().ok_or(NotMagic::Length(payload.len()))?;
        if *sync != SYNC {
            return Err(NotMagic::Sync);
        }
        let (repeats, password) =
            rest.split_at_checked(REPEATS * 6).ok_or(NotMagic::Length(payload.len()))?;
        let mac = *repeats.first_chunk().ok_or(NotMagic::Length(payload.len()))?;
        if repeats.chunks_exact(6).any(|repeat| repeat != mac) {
            return Err(NotMagic::Addresses);
        }
        let password = match password.len() {
            0 => None,
            4 => password.try_into().ok().map(SecureOn::Four),
            6 => password.try_into().ok().map(SecureOn::Six),
            _ => return Err(NotMagic::Length(payload.len())),
        };
        Ok(Self { mac: MacAddress(mac), password })
    }
}

/// Why bytes are no magic packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotMagic {
    /// It has another length.
    #[error("{0} bytes; a magic packet has 102, 106 or 108")]
    Length(usize),
    /// It does not begin with six times ff.
    #[error("does not begin with six times ff")]
    Sync,
    /// The sixteen addresses differ.
    #[error("the sixteen addresses are not the same")]
    Addresses,
    /// The frame carries something else.
    #[error("neither Ethernet type 0842 nor a whole UDP datagram over IPv4")]
    Carrier,
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: MacAddress = MacAddress([0x52, 0x54, 0x00, 0x77, 0x00, 0x01]);

    #[test]
    fn a_packet_is_read_as_it_was_made() {
        for (password, length) in [
            (None, 102),
            (Some(SecureOn::Four([192, 168, 1, 1])), 106),
            (Some(SecureOn::Six([1, 2, 3, 4, 5, 6])), 108),
        ] {
            let packet = MagicPacket { mac: MAC, password };
            let bytes = packet.to_bytes();
            assert_eq!(bytes.len(), length);
            assert_eq!(bytes[..12], [255, 255, 255, 255, 255, 255, 0x52, 0x54, 0, 0x77, 0, 1]);
            assert_eq!(MagicPacket::parse(&bytes), Ok(packet));
        }
    }

    #[test]
    fn every_other_length_is_refused() {
        let bytes = [MagicPacket { mac: MAC, password: None }.to_bytes(), vec![7; 20]].concat();
        for length in 0..=bytes.len() {
            let read = MagicPacket::parse(&bytes[..length]);
            assert_eq!(read.is_ok(), [102, 106, 108].contains(&length), "{length}: {read:?}");
        }
    }

    #[test]
    fn one_wrong_bit_is_refused_or_is_another_password() {
        let password = Some(SecureOn::Six([0; 6]));
        let right = MagicPacket { mac: MAC, password };
        for bit in 0..108 * 8 {
            let mut bytes = right.to_bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let read = MagicPacket::parse(&bytes);
            match bit / 8 {
                0..6 => assert_eq!(read, Err(NotMagic::Sync)),
                6..102 => assert_eq!(read, Err(NotMagic::Addresses)),
                _ => assert!(read.is_ok_and(|read| read.mac == MAC && read != right)),
            }
        }
    }
}
