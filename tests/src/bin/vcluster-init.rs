//! Process 1 of a virtual cluster: makes its mounts, then collects dead children until it is
//! killed or the one who started it is gone. `vcluster-init RUN-DIRECTORY`, inside new namespaces.

use anyhow::{Context, bail};
use rustix::process::{WaitOptions, wait};
use std::ffi::CString;
use std::io::BufRead;
use std::path::Path;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use rustix::mount::{MountFlags, mount, mount_bind};
use tests::cluster::holder::{KEEP, READY_FILE};
use tests::cluster::layout::RunDir;
use tests::cluster::node::HEAD_NAME;

/// How often dead children are collected; nobody waits for them.
const INTERVAL: Duration = Duration::from_millis(250);
/// Where Debian's Slurm looks for plugins.
const PLUGIN_DIR: &str = "/usr/lib/x86_64-linux-gnu/slurm-wlm";
/// Where its plugin mpi/pmix looks for PMIx.
const PMIX_DIR: &str = "/usr/lib/x86_64-linux-gnu/pmix2/lib";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("vcluster-init: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [dir] = words.as_slice() else { bail!("usage: RUN-DIRECTORY") };
    if std::process::id() != 1 {
        bail!("only for process 1 of new namespaces: its mounts would be the host's");
    }
    let run = RunDir::new(Path::new(dir))?;
    rustix::system::sethostname(HEAD_NAME.as_bytes()).context("cannot set the host name")?;
    make_mounts(&run)?;
    std::fs::write(run.join(READY_FILE), "")?;
    collect_children(&lifeline());
    Ok(())
}

fn make_mounts(run: &RunDir) -> anyhow::Result<()> {
    // Read-only overlays add mount points and files without touching the host's directories.
    overlay(&run.join("overlay/etc"), "/etc")?;
    overlay(&run.join("overlay/libexec"), "/usr/libexec")?;
    overlay(&run.join("overlay/var-lib"), "/var/lib")?;
    for (over, place) in [("lib", PLUGIN_DIR), ("overlay/pmix", PMIX_DIR)] {
        if Path::new(place).is_dir() {
            overlay(&run.join(over), place)?;
        }
    }
    for (from, to) in [
        ("etc-slurm", "/etc/slurm"),
        ("munge", "/etc/munge"),
        ("etc", "/etc/bare-metal-container"),
        ("bin", "/usr/libexec/bare-metal-container"),
        ("state", "/var/lib/bare-metal-container"),
        ("log", "/var/log"),
        ("spool", "/var/spool"),
        ("home", "/home"),
    ] {
        mount_bind(run.join(from), to).with_context(|| format!("cannot mount {to}"))?;
    }
    let size = CString::new("mode=0755,size=256m")?;
    mount("tmpfs", "/run", "tmpfs", MountFlags::empty(), size.as_c_str())
        .context("cannot mount /run")?;
    for (name, user) in [
        ("/run/munge", tests::cluster::accounts::MUNGE_ID),
        ("/run/slurm", tests::cluster::accounts::SLURM_ID),
    ] {
        std::fs::create_dir(name).with_context(|| format!("cannot make {name}"))?;
        std::os::unix::fs::chown(name, Some(user), Some(user))
            .with_context(|| format!("cannot set the owner of {name}"))?;
    }
    Ok(())
}

fn overlay(over: &Path, place: &str) -> anyhow::Result<()> {
    let layers = CString::new(format!("lowerdir={}:{place}", over.display()))?;
    mount("overlay", place, "overlay", MountFlags::RDONLY, layers.as_c_str())
        .with_context(|| format!("cannot mount {place}"))
}

/// A channel that closes when our standard input does, unless we were told to go on.
fn lifeline() -> Receiver<()> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut line = String::new();
        // A read error is an end like any other.
        std::io::stdin().lock().read_line(&mut line).ok();
        if line == KEEP {
            loop {
                std::thread::park();
            }
        }
        drop(sender);
    });
    receiver
}

fn collect_children(lifeline: &Receiver<()>) {
    while lifeline.recv_timeout(INTERVAL) != Err(RecvTimeoutError::Disconnected) {
        while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {}
    }
}
