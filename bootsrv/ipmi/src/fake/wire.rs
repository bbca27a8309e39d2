//! What only a controller reads: questions, in a session and before one.

use crate::error::Malformed;
use crate::wire::message::Response;
use crate::wire::packet::RMCP_HEADER;
use crate::wire::reader::Reader;

/// A question as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) net_fn: u8,
    pub(super) command: u8,
    pub(super) sequence: u8,
    pub(super) data: Vec<u8>,
}

impl Asked {
    /// Reads a message to the controller and both of its checksums.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let (head, body) = bytes.split_at_checked(3).ok_or(Malformed::Short { field: "head" })?;
        for (part, field) in [(head, "head"), (body, "body")] {
            if part.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte)) != 0 {
                return Err(Malformed::Checksum { field });
            }
        }
        let mut head = Reader::new(head);
        head.u8("responder's address")?;
        let net_fn = head.u8("network function")? >> 2;
        let mut body = Reader::new(body);
        body.u8("requester's address")?;
        let sequence = body.u8("sequence")? >> 2;
        let command = body.u8("command")?;
        let (_checksum, data) =
            body.rest().split_last().ok_or(Malformed::Short { field: "checksum" })?;
        Ok(Self { net_fn, command, sequence, data: data.to_vec() })
    }

    pub(super) fn answered(&self, (completion, data): (u8, Vec<u8>)) -> Vec<u8> {
        let Self { net_fn, command, sequence, .. } = *self;
        Response { net_fn, command, sequence, completion, data }.encode()
    }
}

/// A message of IPMI 1.5 outside of a session: how clients ask whether a controller knows RMCP+
/// (IPMI 2.0, table 13-8, authentication type "none").
pub(super) fn decode_sessionless(packet: &[u8]) -> Result<Option<Asked>, Malformed> {
    let mut reader = Reader::new(packet);
    if reader.array("RMCP header")? != RMCP_HEADER || reader.u8("authentication type")? != 0 {
        return Ok(None);
    }
    reader.u32("sequence")?;
    reader.u32("session id")?;
    let length = reader.u8("length")?;
    Asked::decode(reader.take(length.into(), "message")?).map(Some)
}

pub(super) fn encode_sessionless(message: &[u8]) -> Vec<u8> {
    let length = u8::try_from(message.len()).unwrap_or(u8::MAX);
    [&RMCP_HEADER[..], &[0; 9], &[length], message].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::message::Request;

    #[test]
    fn questions_are_read_and_broken_ones_are_not() {
        let bytes = Request { net_fn: 6, lun: 0, command: 0x38, data: &[0x8E, 4] }.encode(9);
        let asked = Asked::decode(&bytes).unwrap();
        assert_eq!((asked.net_fn, asked.command, asked.sequence), (6, 0x38, 9));
        assert_eq!(asked.data, [0x8E, 4]);
        let packet = encode_sessionless(&bytes);
        assert_eq!(decode_sessionless(&packet), Ok(Some(asked)));
        for length in 0..packet.len() {
            assert!(decode_sessionless(&packet[..length]).is_err(), "length {length}");
        }
        for bit in 0..bytes.len() * 8 {
            let mut broken = bytes.clone();
            broken[bit / 8] ^= 1 << (bit % 8);
            assert!(Asked::decode(&broken).is_err(), "bit {bit}");
        }
    }
}
