//! Ethernet frames around a magic packet: with a type of their own (0842), or IPv4 and UDP.

use crate::packet::{MagicPacket, NotMagic};
use protocol::names::MacAddress;

/// Ethernet type of Wake-on-LAN.
const TYPE_WAKE: [u8; 2] = [0x08, 0x42];
/// Ethernet type of IPv4.
const TYPE_IPV4: [u8; 2] = [0x08, 0x00];
/// IPv4's number for UDP.
const PROTOCOL_UDP: u8 = 17;

/// Makes the frame that wakes a machine without IP: to everybody on the link, from `source`.
pub(crate) fn build(packet: &MagicPacket, source: MacAddress) -> Vec<u8> {
    let mut frame = vec![0xff; 6];
    frame.extend(source.0);
    frame.extend(TYPE_WAKE);
    frame.extend(packet.to_bytes());
    frame
}

/// Reads a frame as a packet socket gives it (Ethernet II, no VLAN tag, no checksum at its end): of
/// type 0842, or one whole UDP datagram over IPv4, to any port. Checksums are not looked at.
///
/// # Errors
/// [`NotMagic::Carrier`] if it carries anything else; otherwise what [`MagicPacket::parse`] says.
pub fn parse_frame(frame: &[u8]) -> Result<MagicPacket, NotMagic> {
    let (header, payload) = frame.split_first_chunk::<14>().ok_or(NotMagic::Carrier)?;
    let [.., high, low] = *header;
    match [high, low] {
        TYPE_WAKE => MagicPacket::parse(payload),
        TYPE_IPV4 => MagicPacket::parse(datagram(payload).ok_or(NotMagic::Carrier)?),
        _ => Err(NotMagic::Carrier),
    }
}

/// The payload of a UDP datagram over IPv4 (RFC 791, RFC 768) that is not a fragment.
fn datagram(packet: &[u8]) -> Option<&[u8]> {
    let header = packet.first_chunk::<20>()?;
    let [version_and_words, _, length_high, length_low, _, _, fragment_high, fragment_low, ..] =
        *header;
    let protocol = *header.get(9)?;
    // The highest bits are flags; "more fragments" (0x20) and an offset mean a piece.
    let piece = fragment_high & 0x3f != 0 || fragment_low != 0;
    if version_and_words >> 4 != 4 || protocol != PROTOCOL_UDP || piece {
        return None;
    }
    let header_bytes = usize::from(version_and_words & 0x0f) * 4;
    let total_bytes = usize::from(u16::from_be_bytes([length_high, length_low]));
    let udp = packet.get(header_bytes.max(20)..total_bytes)?;
    let ([_, _, _, _, high, low, ..], payload) = udp.split_first_chunk::<8>()?;
    let udp_bytes = usize::from(u16::from_be_bytes([*high, *low]));
    payload.get(..udp_bytes.checked_sub(8)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKET: MagicPacket =
        MagicPacket { mac: MacAddress([0x52, 0x54, 0, 0x77, 0, 1]), password: None };

    fn udp_frame() -> Vec<u8> {
        let payload = PACKET.to_bytes();
        let mut frame = vec![0xff; 12];
        frame.extend([0x08, 0x00, 0x45, 0, 0, 130, 0, 1, 0x40, 0, 64, 17, 0, 0]);
        frame.extend([10, 0, 0, 1, 10, 0, 0, 255, 0x80, 0, 0, 9, 0, 110, 0, 0]);
        frame.extend(payload);
        frame
    }

    #[test]
    fn both_carriers_are_read() {
        assert_eq!(parse_frame(&build(&PACKET, MacAddress([2, 0, 0, 0, 0, 1]))), Ok(PACKET));
        assert_eq!(parse_frame(&udp_frame()), Ok(PACKET));
        let padded = [udp_frame(), vec![0; 4]].concat();
        assert_eq!(parse_frame(&padded), Ok(PACKET), "what is behind the datagram is padding");
    }

    #[test]
    fn other_carriers_are_refused() {
        for (at, value, what) in [
            (12, 0x86, "another Ethernet type"),
            (14, 0x65, "IP version 6"),
            (20, 0x20, "more fragments"),
            (21, 0x01, "a later fragment"),
            (23, 6, "TCP"),
            (16, 0xff, "longer than the frame"),
            (39, 7, "shorter than its header"),
        ] {
            let mut frame = udp_frame();
            frame[at] = value;
            assert_eq!(parse_frame(&frame), Err(NotMagic::Carrier), "{what}");
        }
    }

    #[test]
    fn no_frame_however_short_or_odd_panics() {
        let frame = udp_frame();
        for length in 0..frame.len() {
            assert!(parse_frame(&frame[..length]).is_err(), "{length}");
        }
        for at in 0..frame.len() {
            for value in [0x00, 0x0f, 0x4f, 0x7f, 0xff] {
                let mut odd = frame.clone();
                odd[at] = value;
                // Of a checksum or a port any value is right; of the rest none is.
                assert!(parse_frame(&odd).is_err() || parse_frame(&odd) == Ok(PACKET), "{at}");
            }
        }
    }
}
