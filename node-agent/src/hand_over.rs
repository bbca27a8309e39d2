//! The end of the initrd: the new root becomes `/`, the heartbeat process starts, and the image's
//! init takes over this process.
//!
//! The order matters here and nowhere else; see switch_root(8).

use crate::files::Root;
use crate::heartbeats::Errand;
use crate::leftovers::remove_tree;
use crate::mounts;
use crate::report::Reporter;
use crate::root::{self, NEW_ROOT};
use anyhow::{Context as _, Result, bail};
use protocol::boot::AgentStage;
use rustix::mount::{MountPropagationFlags, mount_change, mount_move};
use std::convert::Infallible;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// Deepest directory of the initrd that is emptied.
const DEPTH_MAX: u32 = 32;

/// Hands the node over. Comes back only with a failure.
pub(crate) fn hand_over(
    root: &Root,
    init: &[String],
    reporter: &Reporter,
    mut errand: Errand,
) -> Result<Infallible> {
    let (program, arguments) = init.split_first().context("the plan names no init")?;
    if !root.is_program(program) {
        bail!("the node image has no program {program}");
    }
    mounts::move_kernel_interfaces(root)?;
    root::hide_parts()?;
    // Frees the memory of the initrd.
    remove_tree(Path::new("/"), fs::metadata("/")?.dev(), DEPTH_MAX);
    std::env::set_current_dir(NEW_ROOT)?;
    mount_move(".", "/").context("moving the root")?;
    rustix::process::chroot(".").context("entering the root")?;
    std::env::set_current_dir("/")?;
    // What the init mounts from here on shows in the job's image too, as systemd would have it.
    let shared = MountPropagationFlags::SHARED | MountPropagationFlags::REC;
    mount_change("/", shared).context("sharing the mounts")?;

    reporter.reached(AgentStage::InitStarted, &format!("starting {program}"));
    errand.heartbeat = reporter.heartbeat();
    start_heartbeats(&errand).context("starting the heartbeat process")?;
    let error = Command::new(program)
        .args(arguments)
        .env_clear()
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .env("HOME", "/")
        .env("TERM", "linux")
        .exec();
    Err(error).with_context(|| format!("running {program}"))
}

/// Starts this program anew: a fork would carry over locks of the other threads, and what the boot
/// left in memory. The program is still reachable as `/proc/self/exe` although the initrd is gone.
/// The errand goes through a pipe, because it holds the boot token.
fn start_heartbeats(errand: &Errand) -> Result<()> {
    let mut child = Command::new("/proc/self/exe")
        // The `@` asks an init like systemd not to end the process before the node goes off.
        .arg0("@node-agent")
        .arg("heartbeats")
        .env_clear()
        .stdin(Stdio::piped())
        .process_group(0)
        .spawn()?;
    let mut pipe = child.stdin.take().context("the process has no pipe")?;
    pipe.write_all(&serde_json::to_vec(errand)?)?;
    Ok(())
}
