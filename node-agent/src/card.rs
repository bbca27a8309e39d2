//! The network card: found by its hardware address, given address and route, waited for.
//!
//! Knows sysfs and route netlink; knows nothing of bootsrv.

use crate::arguments::KernelArguments;
use crate::netlink;
use anyhow::{Context as _, Result, bail};
use protocol::names::MacAddress;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long the drivers have to show the card, and then the card to have a carrier.
const CARD_SECONDS: u64 = 30;
const POLL: Duration = Duration::from_millis(10);
/// The loopback device is always the first.
const LOOPBACK: u32 = 1;

/// Waits for the card and makes the network usable.
pub(crate) fn configure(arguments: &KernelArguments) -> Result<()> {
    let card =
        wait_for("no network card has the address of the kernel argument", || find(arguments.mac))
            .with_context(|| format!("looking for the card {}", arguments.mac))?;
    let index = fs::read_to_string(card.join("ifindex"))?.trim().parse()?;
    let socket = Netlink::open().context("opening the route netlink socket")?;
    socket.ask(&netlink::link_up(LOOPBACK)).context("bringing the loopback device up")?;
    socket.ask(&netlink::link_up(index)).context("bringing the card up")?;
    let address = netlink::add_address(index, arguments.address, arguments.prefix_bits);
    socket.ask(&address).context("giving the card its address")?;
    if let Some(gateway) = arguments.gateway {
        let route = netlink::add_default_route(index, gateway);
        socket.ask(&route).with_context(|| format!("adding the route by {gateway}"))?;
    }
    wait_for("the network card has no carrier", || {
        fs::read_to_string(card.join("carrier")).is_ok_and(|c| c.trim() == "1").then_some(())
    })
}

/// The directory of the card in sysfs. Cards made of others (VLANs, bridges) have the same hardware
/// address but no `device`.
fn find(mac: MacAddress) -> Option<PathBuf> {
    let cards = Path::new("/sys/class/net").read_dir().ok()?;
    cards.flatten().map(|entry| entry.path()).find(|card| {
        card.join("device").exists()
            && fs::read_to_string(card.join("address"))
                .is_ok_and(|text| text.trim().parse() == Ok(mac))
    })
}

fn wait_for<T>(failure: &'static str, mut ask: impl FnMut() -> Option<T>) -> Result<T> {
    let deadline = Instant::now() + Duration::from_secs(CARD_SECONDS);
    loop {
        if let Some(found) = ask() {
            return Ok(found);
        }
        if Instant::now() >= deadline {
            bail!("{failure} after {CARD_SECONDS} s");
        }
        sleep(POLL);
    }
}

struct Netlink(rustix::fd::OwnedFd);

impl Netlink {
    fn open() -> io::Result<Self> {
        let (family, kind) = (AddressFamily::NETLINK, SocketType::RAW);
        Ok(Self(rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC, None)?))
    }

    /// Sends one request and reads its acknowledgement, which the kernel writes before `send`
    /// returns.
    fn ask(&self, request: &[u8]) -> io::Result<()> {
        send(&self.0, request, SendFlags::empty())?;
        let mut answer = [0; 1024];
        let (length, _) = recv(&self.0, &mut answer[..], RecvFlags::DONTWAIT)?;
        netlink::check_answer(answer.get(..length).unwrap_or_default())
    }
}
