//! The first process of the floor's node: drivers, address, munged, slurmd, nothing else.

use super::netlink;
use anyhow::{Context, Result, bail};
use rustix::mount::{MountFlags, mount};
use rustix::process::{WaitOptions, wait};
use rustix::time::{ClockId, clock_gettime};
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// Between the kernel's own arguments and ours: name, address.
pub const SEPARATOR: &str = "--";
/// The modules to load, one path a line, in this order.
pub const MODULES_FILE: &str = "/modules.order";
/// How every line on the console begins; the seconds since the kernel's start follow.
pub const MARK: &str = "floor ";
/// How long the card may need to appear.
const CARD_TIMEOUT: Duration = Duration::from_secs(10);
const CARD: &str = "/sys/class/net/eth0/ifindex";
/// The provisioning network is a /24.
const PREFIX_BITS: u8 = 24;

/// Starts everything and collects what ends; comes back only with an error.
///
/// # Errors
/// When a part of the node cannot be set up.
pub fn run(words: &[String]) -> Result<()> {
    let [node, address] = words else { bail!("usage: NODE ADDRESS, as the first process") };
    if std::process::id() != 1 {
        bail!("only for the first process of a node");
    }
    say("started");
    mounts()?;
    start("/usr/sbin/munged", &["--foreground"], true)?;
    modules()?;
    let card = wait_for_card()?;
    netlink::configure(card, address.parse()?, PREFIX_BITS)?;
    rustix::system::sethostname(node.as_bytes())?;
    say("network up");
    start("/usr/sbin/slurmd", &["-D", "-f", "/etc/slurm/slurm.conf", "-N", node], false)?;
    say("slurmd started");
    loop {
        // With both running this waits for ever; when one has ended, its own lines say why.
        if let Err(error) = wait(WaitOptions::empty()) {
            bail!("munged and slurmd have ended: {error}");
        }
    }
}

fn mounts() -> Result<()> {
    for (kind, place) in
        [("proc", "/proc"), ("sysfs", "/sys"), ("devtmpfs", "/dev"), ("cgroup2", "/sys/fs/cgroup")]
    {
        mount(kind, place, kind, MountFlags::empty(), None)
            .with_context(|| format!("mounting {place}"))?;
    }
    // slurmd 22.05 wants this group even where no systemd runs, with its controllers.
    let groups = [Path::new("/sys/fs/cgroup"), Path::new("/sys/fs/cgroup/system.slice")];
    fs::create_dir(groups[1])?;
    for group in groups {
        fs::write(group.join("cgroup.subtree_control"), "+cpuset +cpu +io +memory +pids")
            .context("switching control groups on")?;
    }
    Ok(())
}

fn modules() -> Result<()> {
    for path in fs::read_to_string(MODULES_FILE)?.lines() {
        rustix::system::finit_module(File::open(path)?, c"", 0)
            .with_context(|| format!("loading {path}"))?;
    }
    Ok(())
}

fn wait_for_card() -> Result<u32> {
    let begin = Instant::now();
    loop {
        match fs::read_to_string(CARD) {
            Ok(text) => return Ok(text.trim().parse()?),
            Err(_) if begin.elapsed() < CARD_TIMEOUT => {
                std::thread::sleep(Duration::from_millis(1));
            }
            Err(error) => return Err(error).context(CARD),
        }
    }
}

fn start(program: &str, arguments: &[&str], as_munge: bool) -> Result<()> {
    let mut command = Command::new(program);
    command.args(arguments).env_clear().env("PATH", "/usr/sbin:/usr/bin");
    if as_munge {
        let id = crate::cluster::accounts::MUNGE_ID;
        command.uid(id).gid(id);
    }
    // Not waited for here: process 1 collects whoever ends.
    drop(command.spawn().with_context(|| format!("starting {program}"))?);
    Ok(())
}

fn say(what: &str) {
    let time = clock_gettime(ClockId::Boottime);
    println!("{MARK}{}.{:03} {what}", time.tv_sec, time.tv_nsec / 1_000_000);
}
