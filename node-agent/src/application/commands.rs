//! Slurm's commands for images that have none: this program under their names, which leaves the image
//! for the node's root and becomes the node's program of that name.
//!
//! It has no rights but the user's: a user namespace of its own lets it change its root. That the image
//! forbids new privileges stays so.

use crate::sys;
use anyhow::{Context as _, Result};
use protocol::application::{NODE_ROOT_DIRECTORY, SLURM_COMMANDS, SLURM_COMMANDS_DIRECTORY};
use std::convert::Infallible;
use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// In the directory: this program; the commands are links to it.
const PROGRAM: &str = "node-agent";
/// In the directory: a link whose text is the directory of the node's own commands.
const OF_NODE: &str = "of-node";
/// As shells answer for a program that cannot be found.
const NOT_FOUND: u8 = 127;

/// Puts the commands the node has into [`SLURM_COMMANDS_DIRECTORY`]; done anew each time.
pub(super) fn offer(of_node: &Path, agent: &Path) -> Result<()> {
    let directory = Path::new(SLURM_COMMANDS_DIRECTORY);
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        _ => fs::create_dir_all(directory)?,
    }
    fs::set_permissions(directory, Permissions::from_mode(0o755))?;
    let program = directory.join(PROGRAM);
    fs::copy(agent, &program).context("copying the agent")?;
    fs::set_permissions(&program, Permissions::from_mode(0o755))?;
    symlink(of_node, directory.join(OF_NODE))?;
    for name in SLURM_COMMANDS.into_iter().filter(|name| of_node.join(name).is_file()) {
        symlink(PROGRAM, directory.join(name))?;
    }
    Ok(())
}

/// Whether the program was called as one of these commands.
pub(crate) fn is_one(name: &str) -> bool {
    SLURM_COMMANDS.contains(&name)
}

/// Becomes the node's program of that name; comes back only with the reason why not.
pub(crate) fn run(name: &str) -> ExitCode {
    let arguments = std::env::args_os().skip(1).collect();
    let Err(error) = become_program(name, arguments);
    writeln!(std::io::stderr(), "{name}: {error:#}").ok();
    ExitCode::from(NOT_FOUND)
}

fn become_program(name: &str, arguments: Vec<OsString>) -> Result<Infallible> {
    let of_node = fs::read_link(Path::new(SLURM_COMMANDS_DIRECTORY).join(OF_NODE))
        .context("this works inside an application image only")?;
    let directory = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
    // Who is root needs no namespace for it.
    if rustix::process::chroot(NODE_ROOT_DIRECTORY).is_err() {
        enter_own_users().context(
            "this node does not let users make user namespaces, which Slurm's commands need in an \
             image that has none",
        )?;
        rustix::process::chroot(NODE_ROOT_DIRECTORY).context("entering the node's root")?;
    }
    if std::env::set_current_dir(&directory).is_err() {
        std::env::set_current_dir("/")?;
    }
    let program = of_node.join(name);
    let error = Command::new(&program).arg0(name).args(arguments).exec();
    Err(error).with_context(|| format!("running the node's {}", program.display()))
}

/// A user namespace in which the user is who the user is.
fn enter_own_users() -> Result<()> {
    let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
    sys::own_users()?;
    fs::write("/proc/self/setgroups", "deny").context("/proc/self/setgroups")?;
    fs::write("/proc/self/uid_map", format!("{uid} {uid} 1")).context("/proc/self/uid_map")?;
    fs::write("/proc/self/gid_map", format!("{gid} {gid} 1")).context("/proc/self/gid_map")
}
