//! The part of a node's network card that has power while the node is off: `vcluster-wake
//! RUN-DIRECTORY NODE INTERFACE [PASSWORD-FILE]`. Powers the node on, and never off, when a magic packet
//! for it comes by that interface, which is a port of the provisioning bridge.

use ::tests::cluster::Node;
use ::tests::cluster::layout::RunDir;
use anyhow::{Context, bail};
use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{
    AddressFamily, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, bind, recv, socket,
};
use protocol::names::MacAddress;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use wake::{MagicPacket, NotMagic, SecureOn, parse_frame};

/// Longer than any frame with a magic packet; of others the beginning is enough.
const FRAME_BYTES_MAX: usize = 256;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("vcluster-wake: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [dir, node, interface, password @ ..] = words.as_slice() else {
        bail!("usage: RUN-DIRECTORY NODE INTERFACE [PASSWORD-FILE]")
    };
    let (run, node) = (RunDir::new(Path::new(dir))?, node.parse::<Node>()?);
    let card = Card { mac: node.mac().parse()?, password: password.first().map(read).transpose()? };
    let link = listen(interface)?;
    println!("listening on {interface} for {}", card.mac);
    let mut frame = [0; FRAME_BYTES_MAX];
    loop {
        let bytes = recv(link.as_raw_fd(), &mut frame, MsgFlags::empty()).context("receiving")?;
        match card.hears(frame.get(..bytes).unwrap_or(&frame)) {
            Heard::Wake => {
                println!("woken");
                power_on(&run, node)?;
            }
            Heard::Refused(why) => println!("not woken: {why}"),
            Heard::Nothing => {}
        }
    }
}

fn read(file: &String) -> anyhow::Result<SecureOn> {
    let text = std::fs::read_to_string(file).with_context(|| format!("reading {file}"))?;
    Ok(text.trim().parse()?)
}

/// A packet socket that sees every frame that comes by the interface.
fn listen(interface: &str) -> anyhow::Result<OwnedFd> {
    let link: LinkAddr = getifaddrs()?
        .filter(|one| one.interface_name == interface)
        .find_map(|one| one.address?.as_link_addr().copied())
        .with_context(|| format!("there is no {interface}"))?;
    let flags = SockFlag::SOCK_CLOEXEC;
    let socket = socket(AddressFamily::Packet, SockType::Raw, flags, SockProtocol::EthAll)
        .context("socket")?;
    bind(socket.as_raw_fd(), &link).with_context(|| format!("listening on {interface}"))?;
    Ok(socket)
}

/// As the node's controller does it.
fn power_on(run: &RunDir, node: Node) -> anyhow::Result<()> {
    let status = Command::new(run.programs().join("vcluster-chassis"))
        .arg(run.path())
        .args([&node.to_string(), "set", "power", "1"])
        .stdin(Stdio::null())
        .status()
        .context("starting vcluster-chassis")?;
    if !status.success() {
        println!("{node} did not start: {status}");
    }
    Ok(())
}

/// What the card knows.
struct Card {
    mac: MacAddress,
    password: Option<SecureOn>,
}

/// What a frame is to the card.
#[derive(Debug, PartialEq, Eq)]
enum Heard {
    Wake,
    /// A magic packet, but not one that wakes it.
    Refused(&'static str),
    Nothing,
}

impl Card {
    fn hears(&self, frame: &[u8]) -> Heard {
        // A switch brings a card only what is for it or for all.
        let to = frame.first_chunk::<6>();
        if !to.is_some_and(|to| *to == self.mac.0 || *to == [0xff; 6]) {
            return Heard::Nothing;
        }
        match parse_frame(frame) {
            Ok(MagicPacket { mac, .. }) if mac != self.mac => Heard::Refused("for another card"),
            Ok(MagicPacket { password, .. }) if password == self.password => Heard::Wake,
            Ok(_) => Heard::Refused("not its password"),
            Err(NotMagic::Carrier | NotMagic::Length(_) | NotMagic::Sync | NotMagic::Addresses) => {
                Heard::Nothing
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_its_own_packet_with_its_own_password_wakes_a_card() {
        let mac: MacAddress = "52:54:00:77:00:03".parse().unwrap();
        let password: SecureOn = "1.2.3.4".parse().unwrap();
        let frame = |to: [u8; 6], packet: MagicPacket| {
            [&to[..], &[2, 0, 0, 0, 0, 1, 0x08, 0x42], &packet.to_bytes()].concat()
        };
        let (all, other) = ([0xff; 6], MacAddress([0x52, 0x54, 0, 0x77, 0, 4]));
        let card = Card { mac, password: Some(password) };
        let good = MagicPacket { mac, password: Some(password) };
        let bare = MagicPacket { password: None, ..good };
        for (to, packet, expected) in [
            (all, good, Heard::Wake),
            (mac.0, good, Heard::Wake),
            (other.0, good, Heard::Nothing),
            (all, bare, Heard::Refused("not its password")),
            (all, MagicPacket { mac: other, ..good }, Heard::Refused("for another card")),
        ] {
            assert_eq!(card.hears(&frame(to, packet)), expected, "{packet:?}");
        }
        assert_eq!(Card { mac, password: None }.hears(&frame(all, bare)), Heard::Wake);
        assert_eq!(card.hears(&frame(all, good)[..100]), Heard::Nothing);
    }
}
