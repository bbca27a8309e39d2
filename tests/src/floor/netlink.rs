//! Gives the node's only card its address: three route-netlink requests (rtnetlink(7)).

use anyhow::{Context, Result, bail};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketType, recv, send, socket};
use std::net::Ipv4Addr;

const NEW_LINK: u16 = 16;
const NEW_ADDRESS: u16 = 20;
const ERROR: u16 = 2;
/// `NLM_F_REQUEST | NLM_F_ACK`, and for the address `NLM_F_CREATE`.
const REQUEST: u16 = 0x5;
const CREATE: u16 = 0x400;
const INET: u8 = 2;
const UP: u32 = 1;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const HEADER_BYTES: usize = 16;
const LOOPBACK: u32 = 1;

/// Brings the loopback device and the card up, and gives the card its address.
pub(super) fn configure(card: u32, address: Ipv4Addr, prefix_bits: u8) -> Result<()> {
    let link =
        |index: u32| [[0; 4], index.to_ne_bytes(), UP.to_ne_bytes(), UP.to_ne_bytes()].concat();
    let mut body = vec![INET, prefix_bits, 0, 0];
    body.extend(card.to_ne_bytes());
    for kind in [IFA_LOCAL, IFA_ADDRESS] {
        body.extend(8_u16.to_ne_bytes());
        body.extend(kind.to_ne_bytes());
        body.extend(address.octets());
    }
    ask(NEW_LINK, REQUEST, &link(LOOPBACK)).context("bringing the loopback device up")?;
    ask(NEW_LINK, REQUEST, &link(card)).context("bringing the card up")?;
    ask(NEW_ADDRESS, REQUEST | CREATE, &body).context("giving the card its address")
}

fn ask(kind: u16, flags: u16, body: &[u8]) -> Result<()> {
    let socket = socket(AddressFamily::NETLINK, SocketType::RAW, None)?;
    let length = u32::try_from(HEADER_BYTES + body.len())?;
    let head = [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), &flags.to_ne_bytes(), &[0; 8]];
    send(&socket, &[&head.concat(), body].concat(), SendFlags::empty())?;
    let mut answer = [0; 256];
    recv(&socket, &mut answer[..], RecvFlags::empty())?;
    match answer {
        [_, _, _, _, a, b, _, _, _, _, _, _, _, _, _, _, 0, 0, 0, 0, ..]
            if u16::from_ne_bytes([a, b]) == ERROR =>
        {
            Ok(())
        }
        [..] => bail!("the kernel refused route-netlink request {kind}"),
    }
}
