//! The message inside a packet: network function, command and data, with its two checksums
//! (IPMI 2.0, section 13.8). Knows no command.

use crate::error::Malformed;
use crate::wire::reader::Reader;

/// The controller's own address on the IPMB.
const CONTROLLER: u8 = 0x20;
/// The software id of a remote console.
const CONSOLE: u8 = 0x81;

/// A question to the controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Request<'a> {
    /// Even number: the group of commands.
    pub(crate) net_fn: u8,
    /// The part of the controller that is asked; 0 except for some sensors.
    pub(crate) lun: u8,
    pub(crate) command: u8,
    pub(crate) data: &'a [u8],
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Response {
    /// Even number, as in the question.
    pub(crate) net_fn: u8,
    pub(crate) command: u8,
    /// Six bits, as in the question.
    pub(crate) sequence: u8,
    pub(crate) completion: u8,
    pub(crate) data: Vec<u8>,
}

fn checksum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0u8, |sum, byte| sum.wrapping_sub(*byte))
}

impl Request<'_> {
    /// `sequence`: six bits that find the answer again.
    pub(crate) fn encode(&self, sequence: u8) -> Vec<u8> {
        let head = [CONTROLLER, self.net_fn << 2 | self.lun & 3];
        let mut body = vec![CONSOLE, sequence << 2, self.command];
        body.extend_from_slice(self.data);
        let mut bytes = head.to_vec();
        bytes.push(checksum(&head));
        bytes.extend_from_slice(&body);
        bytes.push(checksum(&body));
        bytes
    }
}

impl Response {
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let (head, body) = bytes.split_at_checked(3).ok_or(Malformed::Short { field: "head" })?;
        if checksum(head) != 0 {
            return Err(Malformed::Checksum { field: "head" });
        }
        if checksum(body) != 0 {
            return Err(Malformed::Checksum { field: "body" });
        }
        let mut head = Reader::new(head);
        head.expect_u8("requester's address", CONSOLE)?;
        let net_fn = head.u8("network function")? >> 2;
        if net_fn & 1 == 0 {
            return Err(Malformed::Value { field: "network function", found: net_fn.into() });
        }
        let mut body = Reader::new(body);
        body.u8("responder's address")?;
        let sequence = body.u8("sequence")? >> 2;
        let command = body.u8("command")?;
        let completion = body.u8("completion code")?;
        let (_checksum, data) =
            body.rest().split_last().ok_or(Malformed::Short { field: "checksum" })?;
        Ok(Self { net_fn: net_fn & !1, command, sequence, completion, data: data.to_vec() })
    }

    /// What a controller would send; for tests, which play one.
    #[cfg(any(test, feature = "fake"))]
    pub(crate) fn encode(&self) -> Vec<u8> {
        let head = [CONSOLE, (self.net_fn | 1) << 2];
        let mut body = vec![CONTROLLER, self.sequence << 2, self.command, self.completion];
        body.extend_from_slice(&self.data);
        let sums = [checksum(&head), checksum(&body)];
        [&head[..], &sums[..1], &body, &sums[1..]].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Get Device ID as ipmitool sends it: 20 18 c8 81 04 01 7a with sequence 1.
    #[test]
    fn a_request_has_both_checksums() {
        let request = Request { net_fn: 0x06, lun: 0, command: 0x01, data: &[] };
        assert_eq!(request.encode(1), [0x20, 0x18, 0xc8, 0x81, 0x04, 0x01, 0x7a]);
    }

    #[test]
    fn responses_survive_the_round_trip_and_single_bit_errors_do_not() {
        let response = Response {
            net_fn: 0,
            command: 1,
            sequence: 63,
            completion: 0,
            data: vec![0x21, 0x00, 0x40],
        };
        let bytes = response.encode();
        assert_eq!(Response::decode(&bytes), Ok(response));
        for bit in 0..bytes.len() * 8 {
            let mut broken = bytes.clone();
            broken[bit / 8] ^= 1 << (bit % 8);
            assert!(Response::decode(&broken).is_err(), "bit {bit}");
        }
        for length in 0..bytes.len() {
            assert!(Response::decode(&bytes[..length]).is_err(), "length {length}");
        }
    }
}
