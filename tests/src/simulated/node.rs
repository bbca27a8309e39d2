//! A simulated node: it follows the power of its simulated controller, and does what firmware, iPXE and
//! the node agent do on the wire. What goes wrong is a matter of [`Odds`].

use crate::simulated::agent::{self, End};
use crate::simulated::dice::Dice;
use crate::simulated::ipxe::{self, Firmware, Outcome};
use crate::simulated::slurmctld::Slurmctld;
use crate::simulated::tally::Tally;
use crate::simulated::wire::Wire;
use ipmi::fake::{Fake, Power};
use protocol::api::NodeDefinition;
use protocol::names::Secret;
use std::future::pending;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// What the simulated meters show.
const WATTS_ON: u16 = 150;
const WATTS_OFF: u16 = 6;
/// Of a file of some hundred kilobytes, a broken connection loses the rest after so many bytes at most.
const CUT_BYTES_MAX: usize = 200 << 10;
/// Most tokens that are remembered, to be looked for where they must not be.
const TOKENS_MAX: usize = 1_000_000;

/// Probabilities, each from 0 to 1; all 0: nothing goes wrong.
#[derive(Debug, Clone, Copy, Default)]
pub struct Odds {
    /// Of each kernel, initrd, module tree and image: the connection breaks at a random byte.
    pub cut: f64,
    /// The same of the token, which fits into one packet; it is served once, so that boot fails.
    pub token_cut: f64,
    /// The firmware hangs before it asks for anything.
    pub firmware_hangs: f64,
    /// The firmware takes four times as long.
    pub slow: f64,
    /// The script is asked for twice.
    pub asks_twice: f64,
    /// The kernel panics, and the machine starts anew.
    pub panics: f64,
    /// The agent hangs after a report.
    pub agent_hangs: f64,
    /// The agent reports that it gives up: the node's fault.
    pub gives_up: f64,
    /// The same: the profile's fault.
    pub refuses_setting: f64,
    /// Reports suddenly come from another boot.
    pub wrong_boot: f64,
    /// A CPU is missing.
    pub fewer_cpus: f64,
    /// slurmd runs, and slurmctld never hears of it.
    pub unregistered: f64,
    /// The running node panics or freezes.
    pub crashes: f64,
    /// An order to go on without a boot cannot be carried out.
    pub take_over_fails: f64,
}

/// What all nodes share.
#[derive(Debug)]
pub struct Surroundings {
    /// slurmctld.
    pub slurmctld: Arc<Slurmctld>,
    /// Counters.
    pub tally: Arc<Tally>,
    /// What goes wrong.
    pub odds: Odds,
    /// bootsrv as iPXE is told by DHCP, without a slash at the end.
    pub boot_url: String,
    /// Every boot token that a node has had.
    pub tokens: Mutex<Vec<String>>,
}

impl Surroundings {
    pub(super) fn note_token(&self, token: &Secret) {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        if tokens.len() < TOKENS_MAX {
            tokens.push(token.expose().to_owned());
        }
    }
}

/// A node with its controller.
#[derive(Debug)]
pub struct Node {
    /// Its place among slurmctld's nodes.
    pub index: usize,
    /// As bootsrv knows it.
    pub definition: NodeDefinition,
    /// Its baseboard controller.
    pub controller: Fake,
    /// Its network card.
    pub wire: Wire,
    /// Its luck.
    pub dice: Dice,
    /// Everything around it.
    pub around: Arc<Surroundings>,
}

/// A kernel that is about to run.
#[derive(Debug)]
pub struct Kernel {
    /// The boot's token.
    pub token: Secret,
    /// `uname -r`.
    pub release: String,
    /// Its command line.
    pub command_line: String,
}

impl Kernel {
    /// From what iPXE has fetched.
    fn of(booted: &ipxe::Booted) -> Option<Self> {
        let release = release(booted.images.get("kernel")?)?;
        let token = token_in(booted.images.get("token")?)?;
        Some(Self { token: Secret::new(token), release, command_line: booted.arguments.clone() })
    }
}

impl Node {
    /// Lives for ever.
    pub async fn run(self: Arc<Self>) {
        let mut power = self.controller.power();
        loop {
            let now = *power.borrow_and_update();
            let watts = if now.on { WATTS_ON } else { WATTS_OFF };
            self.controller.turn(|knobs| {
                knobs.watts = Some(watts);
                // Firmware and boot loader do not hear the power button.
                knobs.obeys_soft_off = false;
            });
            let life = async {
                if now.on {
                    self.live().await;
                }
                pending::<()>().await;
            };
            let is_another = |power: &Power| (power.on, power.starts) != (now.on, now.starts);
            tokio::select! {
                biased;
                changed = power.wait_for(is_another) => {
                    if changed.is_err() {
                        return;
                    }
                }
                () = life => {}
            }
            self.around.slurmctld.power_changed(self.index, self.controller.power().borrow().on);
        }
    }

    /// From the power that comes to the power that goes.
    async fn live(&self) {
        let mut jump = None;
        loop {
            let kernel = match jump.take() {
                Some(kernel) => kernel,
                None => match self.firmware().await {
                    Some(kernel) => kernel,
                    None => return,
                },
            };
            self.rest(0.3, 1.0).await;
            if self.bad("panics at boot", self.around.odds.panics) {
                continue;
            }
            match agent::run(self, kernel).await {
                End::Off => {
                    self.around.tally.count("nodes that went off by themselves");
                    return self.controller.set_power(false);
                }
                End::Reset => {}
                End::Jump(kernel) => jump = Some(kernel),
                End::Hang => return,
            }
            self.controller.turn(|knobs| knobs.obeys_soft_off = false);
            self.around.slurmctld.lost(self.index);
        }
    }

    /// `None`: it stands at its prompt, for ever.
    async fn firmware(&self) -> Option<Kernel> {
        let odds = self.around.odds;
        if self.bad("firmware hangs", odds.firmware_hangs) {
            return None;
        }
        self.rest(0.5, 2.0).await;
        if self.bad("slow firmware", odds.slow) {
            self.rest(2.0, 8.0).await;
        }
        let url = format!("{}/boot/{}", self.around.boot_url, self.definition.mac);
        // A firmware that finds nothing to boot does not ask a second time.
        let mut network = Network { node: self };
        let mut text = network.fetch("script", &url).await?;
        if self.bad("script asked for twice", odds.asks_twice) {
            text = network.fetch("script", &url).await?;
        }
        let mut script = String::from_utf8_lossy(&text).into_owned();
        loop {
            match ipxe::run(&script, &mut network).await {
                Ok(Outcome::Boot(booted)) => return Kernel::of(&booted),
                Ok(Outcome::Chain(next)) => script = next,
                Ok(Outcome::Reboot) => return None,
                Err(error) => {
                    self.around.slurmctld.broken(&format!("{}: {error}", self.definition.name));
                    return None;
                }
            }
        }
    }

    pub(super) async fn rest(&self, from: f64, to: f64) {
        sleep(self.dice.seconds(from, to)).await;
    }

    /// Whether this goes wrong now; counted and noted.
    pub(super) fn bad(&self, what: &str, odds: f64) -> bool {
        let happens = self.dice.happens(odds);
        if happens {
            self.around.tally.count(&format!("fault: {what}"));
            self.around.slurmctld.note(self.index, what);
        }
        happens
    }

    pub(super) fn cut(&self, odds: f64) -> Option<usize> {
        self.dice.happens(odds).then(|| 1 + self.dice.below(CUT_BYTES_MAX))
    }
}

/// What iPXE reaches.
struct Network<'a> {
    node: &'a Node,
}

impl Firmware for Network<'_> {
    async fn fetch(&mut self, name: &str, url: &str) -> Option<Vec<u8>> {
        let node = self.node;
        let odds = match name {
            "script" => 0.0,
            "token" => node.around.odds.token_cut,
            _ => node.around.odds.cut,
        };
        let asked = Instant::now();
        let fetched = node.wire.download(url, 0, node.cut(odds)).await;
        node.around.tally.took(name, asked.elapsed());
        node.around.tally.count(&format!("requests: {name}"));
        match fetched {
            Ok(content) => Some(content),
            Err(error) => {
                node.around.tally.count(&format!("downloads cut or failed: {name}"));
                node.around.slurmctld.note(node.index, &format!("{name}: {error}"));
                None
            }
        }
    }

    async fn sleep(&mut self, time: Duration) {
        sleep(time).await;
    }
}

/// The release in a kernel's header (x86 boot protocol): the magic number, and a pointer to the text.
#[must_use]
pub fn release(kernel: &[u8]) -> Option<String> {
    let pointer = kernel.get(0x20e..0x210).filter(|_| kernel.get(0x202..0x206) == Some(b"HdrS"))?;
    let place = 0x200 + usize::from(u16::from_le_bytes(pointer.try_into().ok()?));
    let text = kernel.get(place..)?.split(|byte| *byte == 0 || *byte == b' ').next()?;
    Some(String::from_utf8_lossy(text).into_owned())
}

/// The token is the line in its initrd of one file.
fn token_in(initrd: &[u8]) -> Option<String> {
    let end = initrd.iter().position(|byte| *byte == b'\n')?;
    let token = initrd.get(end.checked_sub(64)?..end)?;
    Some(String::from_utf8_lossy(token).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn release_and_token_are_found_where_they_are() {
        let mut kernel = vec![0; 0x400];
        kernel[0x202..0x206].copy_from_slice(b"HdrS");
        kernel[0x20e..0x210].copy_from_slice(&0x100_u16.to_le_bytes());
        kernel[0x300..0x30b].copy_from_slice(b"6.1.0-1 (x)");
        assert_eq!(release(&kernel).as_deref(), Some("6.1.0-1"));
        assert_eq!(release(b"MZ"), None);
        let archive = format!("0707boot-token\0{}\n0707TRAILER!!!", "ab".repeat(32));
        assert_eq!(token_in(archive.as_bytes()), Some("ab".repeat(32)));
        assert_eq!(token_in(b"short\n"), None);
    }
}
