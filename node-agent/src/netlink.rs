//! The three route-netlink requests the agent needs, as bytes (rtnetlink(7), linux/rtnetlink.h).
//!
//! Pure: builds requests and reads the kernel's answer; opens no socket.

use std::io;
use std::net::IpAddr;

const NLMSG_ERROR: u16 = 2;
const RTM_NEWLINK: u16 = 16;
const RTM_NEWADDR: u16 = 20;
const RTM_NEWROUTE: u16 = 24;
const HEADER_BYTES: usize = 16;
/// `NLM_F_REQUEST | NLM_F_ACK`.
const ASK: u16 = 0x1 | 0x4;
/// `NLM_F_CREATE | NLM_F_REPLACE`: what is there already is made right.
const CREATE: u16 = 0x400 | 0x100;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_BROADCAST: u16 = 4;
/// No wait for duplicate addresses (IPv6): the address comes from bootsrv, which gives each once.
const IFA_F_NODAD: u8 = 0x02;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RT_TABLE_MAIN: u8 = 254;
const RTPROT_BOOT: u8 = 3;
const RTN_UNICAST: u8 = 1;
const IFF_UP: u32 = 1;

/// Brings a card up.
pub(crate) fn link_up(card: u32) -> Vec<u8> {
    let mut body = vec![0; 4];
    body.extend(card.to_ne_bytes());
    body.extend(IFF_UP.to_ne_bytes());
    body.extend(IFF_UP.to_ne_bytes());
    request(RTM_NEWLINK, ASK, &body)
}

/// Gives a card an address.
pub(crate) fn add_address(card: u32, address: IpAddr, prefix_bits: u8) -> Vec<u8> {
    let flags = if address.is_ipv6() { IFA_F_NODAD } else { 0 };
    let mut body = vec![family(address), prefix_bits, flags, 0];
    body.extend(card.to_ne_bytes());
    attribute(&mut body, IFA_LOCAL, &octets(address));
    attribute(&mut body, IFA_ADDRESS, &octets(address));
    if let IpAddr::V4(v4) = address
        && prefix_bits < 31
    {
        let broadcast = u32::from(v4) | (u32::MAX >> prefix_bits);
        attribute(&mut body, IFA_BROADCAST, &broadcast.to_be_bytes());
    }
    request(RTM_NEWADDR, ASK | CREATE, &body)
}

/// Sends everything that has no other route to a gateway.
pub(crate) fn add_default_route(card: u32, gateway: IpAddr) -> Vec<u8> {
    let mut body =
        vec![family(gateway), 0, 0, 0, RT_TABLE_MAIN, RTPROT_BOOT, 0, RTN_UNICAST, 0, 0, 0, 0];
    attribute(&mut body, RTA_GATEWAY, &octets(gateway));
    attribute(&mut body, RTA_OIF, &card.to_ne_bytes());
    request(RTM_NEWROUTE, ASK | CREATE, &body)
}

/// What the kernel answered to one request.
///
/// # Errors
/// The errno in the answer, or `InvalidData` if it is not one.
pub(crate) fn check_answer(answer: &[u8]) -> io::Result<()> {
    let kind = answer.get(4..6).and_then(|b| b.try_into().ok()).map(u16::from_ne_bytes);
    let errno = answer
        .get(HEADER_BYTES..HEADER_BYTES + 4)
        .and_then(|b| b.try_into().ok())
        .map(i32::from_ne_bytes);
    match (kind, errno) {
        (Some(NLMSG_ERROR), Some(0)) => Ok(()),
        (Some(NLMSG_ERROR), Some(errno)) => Err(io::Error::from_raw_os_error(errno.wrapping_neg())),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "not an acknowledgement")),
    }
}

fn request(kind: u16, flags: u16, body: &[u8]) -> Vec<u8> {
    // The bodies made here are a few dozen bytes long, far from the limit of the length field.
    let length = u32::try_from(HEADER_BYTES + body.len()).unwrap_or(u32::MAX);
    let mut message = Vec::with_capacity(HEADER_BYTES + body.len());
    message.extend(length.to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend(flags.to_ne_bytes());
    message.extend([0; 8]);
    message.extend(body);
    message
}

fn attribute(body: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
    body.extend(length.to_ne_bytes());
    body.extend(kind.to_ne_bytes());
    body.extend(value);
    body.resize(body.len().next_multiple_of(4), 0);
}

/// `AF_INET` or `AF_INET6`.
fn family(address: IpAddr) -> u8 {
    if address.is_ipv4() { 2 } else { 10 }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_state_their_length() {
        let address: IpAddr = "10.77.0.11".parse().unwrap();
        for message in [
            link_up(2),
            add_address(2, address, 24),
            add_address(2, "fd77::11".parse().unwrap(), 64),
            add_default_route(2, "10.77.0.1".parse().unwrap()),
        ] {
            let length = u32::from_ne_bytes(message[..4].try_into().unwrap());
            assert_eq!(length as usize, message.len());
            assert_eq!(message.len() % 4, 0);
        }
        let message = add_address(2, address, 24);
        assert!(message.ends_with(&[10, 77, 0, 255]), "broadcast address");
        assert!(add_address(2, address, 0).ends_with(&[255, 255, 255, 255]));
    }

    #[test]
    fn answers_are_errno_values() {
        let mut answer = request(NLMSG_ERROR, 0, &0_i32.to_ne_bytes());
        assert!(check_answer(&answer).is_ok());
        answer[16..20].copy_from_slice(&(-17_i32).to_ne_bytes());
        assert_eq!(check_answer(&answer).unwrap_err().raw_os_error(), Some(17));
        assert!(check_answer(&answer[..10]).is_err());
        assert!(check_answer(&link_up(1)).is_err());
    }
}
