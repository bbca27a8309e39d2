//! Serial packets (IPMI 2.0, table 15-2): numbered from 1 to 15, sent again until acknowledged.

use crate::error::Malformed;
use crate::wire::reader::Reader;

/// Four bits of the first two bytes are sequence numbers; 0 means "none".
const SEQUENCE: u8 = 0x0F;
/// Status bit of the controller: it has ended the console.
const DEACTIVATED: u8 = 0x10;

/// What has been received so far, to know a repeated packet from a new one.
#[derive(Debug, Default)]
pub(super) struct Received {
    /// Number of the packet received last.
    sequence: u8,
    /// How many of its bytes were taken.
    taken: usize,
}

/// What a packet brought.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Arrived {
    /// Bytes that are new.
    pub(super) data: Vec<u8>,
    /// The acknowledgement that is due.
    pub(super) ack: Option<[u8; 4]>,
    /// The controller has ended the console.
    pub(super) ended: bool,
}

impl Received {
    pub(super) fn take(&mut self, packet: &[u8]) -> Result<Arrived, Malformed> {
        let mut reader = Reader::new(packet);
        let [sequence, _acknowledged, _accepted, status] = reader.array("serial header")?;
        let (sequence, bytes) = (sequence & SEQUENCE, reader.rest());
        let ended = status & DEACTIVATED != 0;
        if sequence == 0 {
            // Only about our own packets, of which there are none.
            return Ok(Arrived { data: Vec::new(), ack: None, ended });
        }
        // A packet that is sent again may have more bytes than at first (section 15.11).
        let known = if sequence == self.sequence { self.taken } else { 0 };
        let data = bytes.get(known..).unwrap_or_default().to_vec();
        (self.sequence, self.taken) = (sequence, bytes.len().max(known));
        // Packets have at most 255 bytes: the count's field has eight bits.
        let accepted = u8::try_from(bytes.len()).unwrap_or(u8::MAX);
        Ok(Arrived { data, ack: Some([0, sequence, accepted, 0]), ended })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_packets_give_their_bytes_once() {
        let mut received = Received::default();
        let mut check = |packet: &[u8], data: &[u8], ack: Option<[u8; 4]>| {
            let arrived = received.take(packet).unwrap();
            assert_eq!((arrived.data.as_slice(), arrived.ack), (data, ack), "{packet:02x?}");
        };
        check(b"\x01\0\0\0boot", b"boot", Some([0, 1, 4, 0]));
        check(b"\x01\0\0\0boot", b"", Some([0, 1, 4, 0]));
        check(b"\x01\0\0\0booting", b"ing", Some([0, 1, 7, 0]));
        check(b"\x01\0\0\0boo", b"", Some([0, 1, 3, 0]));
        check(b"\x01\0\0\0booting", b"", Some([0, 1, 7, 0]));
        check(b"\x02\0\0\0booting", b"booting", Some([0, 2, 7, 0]));
        check(b"\x00\x01\x05\0", b"", None);
        check(b"\x03\0\0\0", b"", Some([0, 3, 0, 0]));
        check(b"\x0f\0\0\0!", b"!", Some([0, 15, 1, 0]));
        check(b"\x01\0\0\0!", b"!", Some([0, 1, 1, 0]));
    }

    #[test]
    fn no_packet_gives_more_than_it_has() {
        let mut received = Received::default();
        let mut seed = 0x2545_F491_4F6C_DD1Du64;
        for _ in 0..100_000 {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            let bytes = [seed.to_le_bytes(), seed.rotate_left(19).to_be_bytes()].concat();
            let packet = &bytes[..usize::from(bytes[7] & 0x0F)];
            if let Ok(Arrived { data, ack, .. }) = received.take(packet) {
                assert!(data.len() + 4 <= packet.len());
                assert!(ack.is_some() || data.is_empty());
            }
        }
    }

    #[test]
    fn the_end_is_told_and_short_packets_are_refused() {
        let mut received = Received::default();
        assert!(received.take(&[0, 0, 0, 0x10]).unwrap().ended);
        assert!(!received.take(&[0, 0, 0, 0x20]).unwrap().ended);
        for length in 0..4 {
            assert!(received.take(&[1, 0, 0, 0][..length]).is_err());
        }
        let long = received.take(&[&[1, 0, 0, 0], &[b'x'; 900][..]].concat()).unwrap();
        assert_eq!((long.data.len(), long.ack), (900, Some([0, 1, 255, 0])));
    }
}
