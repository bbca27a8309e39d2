//! A UDP packet: RMCP header, session header, payload and trailer (IPMI 2.0, table 13-8).
//!
//! Packets outside of a session carry the handshake; packets of a session are always encrypted and
//! signed, in both directions.

use crate::error::Malformed;
use crate::wire::reader::Reader;
use crate::wire::suite::{AES_BLOCK, Keys};

/// Version 1.0, reserved, no acknowledge wanted, class IPMI.
pub(crate) const RMCP_HEADER: [u8; 4] = [0x06, 0x00, 0xFF, 0x07];
/// "This is RMCP+" where IPMI 1.5 had the authentication type.
const RMCP_PLUS: u8 = 0x06;
const ENCRYPTED: u8 = 0x80;
const SIGNED: u8 = 0x40;
/// What stands before the integrity code.
const NEXT_HEADER: u8 = 0x07;
/// Longest packet we read: the longest answer has 255 data bytes and about 100 around them.
pub(crate) const PACKET_BYTES_MAX: usize = 1024;

/// What a packet carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Payload {
    Message,
    /// Serial over LAN.
    Serial,
    OpenRequest,
    OpenResponse,
    Rakp1,
    Rakp2,
    Rakp3,
    Rakp4,
}

impl Payload {
    fn number(self) -> u8 {
        match self {
            Self::Message => 0x00,
            Self::Serial => 0x01,
            Self::OpenRequest => 0x10,
            Self::OpenResponse => 0x11,
            Self::Rakp1 => 0x12,
            Self::Rakp2 => 0x13,
            Self::Rakp3 => 0x14,
            Self::Rakp4 => 0x15,
        }
    }
}

/// The session header, without the payload's length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Header {
    kind: u8,
    session: u32,
    sequence: u32,
}

impl Header {
    fn encode(self, payload: &[u8]) -> Vec<u8> {
        // Payloads are built here and have at most a few hundred bytes.
        let length = u16::try_from(payload.len()).unwrap_or(u16::MAX);
        let mut bytes = RMCP_HEADER.to_vec();
        bytes.extend([RMCP_PLUS, self.kind]);
        bytes.extend(self.session.to_le_bytes());
        bytes.extend(self.sequence.to_le_bytes());
        bytes.extend(length.to_le_bytes());
        bytes.extend_from_slice(payload);
        bytes
    }

    /// Header, payload, and what follows it.
    fn decode(packet: &[u8]) -> Result<(Self, &[u8], &[u8]), Malformed> {
        let mut reader = Reader::new(packet);
        let [version, _reserved, _sequence, class] = reader.array("RMCP header")?;
        if version != 0x06 || class != 0x07 {
            let found = u16::from_le_bytes([version, class]).into();
            return Err(Malformed::Value { field: "RMCP header", found });
        }
        reader.expect_u8("authentication type", RMCP_PLUS)?;
        let kind = reader.u8("payload type")?;
        let session = reader.u32("session id")?;
        let sequence = reader.u32("session sequence number")?;
        let length = reader.u16("payload length")?;
        let payload = reader.take(length.into(), "payload")?;
        Ok((Self { kind, session, sequence }, payload, reader.rest()))
    }
}

/// The receiver's id of the session a packet belongs to; 0: none, a packet of the handshake.
#[cfg(any(test, feature = "fake"))]
pub(crate) fn session_of(packet: &[u8]) -> Result<u32, Malformed> {
    Header::decode(packet).map(|(header, _payload, _trailer)| header.session)
}

/// A packet of the handshake.
pub(crate) fn encode_plain(kind: Payload, payload: &[u8]) -> Vec<u8> {
    Header { kind: kind.number(), session: 0, sequence: 0 }.encode(payload)
}

/// The payload of a packet of the handshake. `None`: the packet is of another step or a session.
pub(crate) fn decode_plain(kind: Payload, packet: &[u8]) -> Result<Option<&[u8]>, Malformed> {
    let (header, payload, _trailer) = Header::decode(packet)?;
    Ok((header.session == 0 && header.kind == kind.number()).then_some(payload))
}

/// Where a packet of a session goes, and what it carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Envelope {
    /// The receiver's id of the session.
    pub(crate) session: u32,
    /// The session sequence number.
    pub(crate) sequence: u32,
    pub(crate) kind: Payload,
}

/// A packet of a session. `vector`: 16 random bytes, never used before.
pub(crate) fn seal(
    keys: &Keys,
    envelope: Envelope,
    vector: [u8; AES_BLOCK],
    payload: &[u8],
) -> Vec<u8> {
    let Envelope { session, sequence, kind } = envelope;
    let header = Header { kind: kind.number() | ENCRYPTED | SIGNED, session, sequence };
    let mut packet = header.encode(&keys.encrypt(vector, payload));
    // The signed part starts after the RMCP header, which has 4 bytes, and must be a multiple of 4
    // bytes together with pad, pad length and next header.
    let mut pad = 0u8;
    while !(packet.len() + 2).is_multiple_of(4) {
        packet.push(0xFF);
        pad += 1;
    }
    packet.extend([pad, NEXT_HEADER]);
    let code = keys.sign(packet.get(RMCP_HEADER.len()..).unwrap_or_default());
    packet.extend(code);
    packet
}

/// What a packet of session `session` (the receiver's own id of it) carries. `None`: the packet is of
/// another session, or carries neither a message nor serial data.
pub(crate) fn unseal(
    keys: &Keys,
    session: u32,
    packet: &[u8],
) -> Result<Option<(Envelope, Vec<u8>)>, Malformed> {
    let (header, payload, trailer) = Header::decode(packet)?;
    if header.session != session {
        return Ok(None);
    }
    if header.kind & (ENCRYPTED | SIGNED) != ENCRYPTED | SIGNED {
        return Err(Malformed::Unprotected);
    }
    let kinds = [Payload::Message, Payload::Serial];
    let number = header.kind & !(ENCRYPTED | SIGNED);
    let Some(kind) = kinds.into_iter().find(|kind| kind.number() == number) else {
        return Ok(None);
    };
    let field = "integrity code";
    let code_length = keys.suite().integrity_length();
    let signed_end = packet.len().checked_sub(code_length).ok_or(Malformed::Short { field })?;
    let (signed, code) = packet.split_at_checked(signed_end).ok_or(Malformed::Short { field })?;
    let signed = signed.get(RMCP_HEADER.len()..).ok_or(Malformed::Short { field })?;
    keys.verify(signed, code)?;
    let mut trailer = Reader::new(trailer);
    let pad_end =
        trailer.rest().len().checked_sub(code_length + 2).ok_or(Malformed::Short { field })?;
    trailer.take(pad_end, "integrity pad")?;
    if usize::from(trailer.u8("pad length")?) != pad_end {
        return Err(Malformed::Length { field: "integrity pad" });
    }
    let envelope = Envelope { session, sequence: header.sequence, kind };
    Ok(Some((envelope, keys.decrypt(payload)?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::suite::CipherSuite;

    #[test]
    fn sealed_packets_survive_the_round_trip() {
        for suite in CipherSuite::ALL {
            let keys = Keys::derive(suite, &[3; 20]);
            for length in 0..40 {
                let message = vec![0x5A; length];
                let kind = if length % 2 == 0 { Payload::Message } else { Payload::Serial };
                let envelope = Envelope { session: 0x0102_0304, sequence: 77, kind };
                let packet = seal(&keys, envelope, [1; AES_BLOCK], &message);
                let signed = packet.len() - 4 - suite.integrity_length();
                assert_eq!(signed % 4, 0, "the signed part is whole words");
                assert_eq!(unseal(&keys, 0x0102_0304, &packet), Ok(Some((envelope, message))));
                assert_eq!(unseal(&keys, 0x0102_0305, &packet), Ok(None));
            }
        }
    }

    #[test]
    fn a_changed_bit_or_a_cut_is_refused() {
        let keys = Keys::derive(CipherSuite::Sha256, &[3; 20]);
        let envelope = Envelope { session: 9, sequence: 1, kind: Payload::Message };
        let packet = seal(&keys, envelope, [1; AES_BLOCK], b"power on");
        // Bytes 1 and 2 are RMCP's reserved byte and sequence number, which mean nothing to us.
        for bit in (0..packet.len() * 8).filter(|bit| !(8..24).contains(bit)) {
            let mut broken = packet.clone();
            broken[bit / 8] ^= 1 << (bit % 8);
            assert!(!matches!(unseal(&keys, 9, &broken), Ok(Some(_))), "bit {bit}");
        }
        for length in 0..packet.len() {
            assert!(unseal(&keys, 9, &packet[..length]).is_err(), "length {length}");
        }
    }

    #[test]
    fn unprotected_packets_of_a_session_are_refused() {
        let keys = Keys::derive(CipherSuite::Sha1, &[3; 20]);
        for flags in [0, SIGNED, ENCRYPTED] {
            let packet = Header { kind: flags, session: 9, sequence: 1 }.encode(b"power on");
            assert_eq!(unseal(&keys, 9, &packet), Err(Malformed::Unprotected));
        }
    }

    #[test]
    fn handshake_packets_have_the_specified_header() {
        let packet = encode_plain(Payload::OpenRequest, &[0xAB]);
        assert_eq!(packet, [6, 0, 0xFF, 7, 6, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0xAB]);
        assert_eq!(decode_plain(Payload::OpenRequest, &packet), Ok(Some(&[0xAB][..])));
        assert_eq!(decode_plain(Payload::Rakp2, &packet), Ok(None));
    }
}
