//! A program that reads what a user made: if a hostile file makes it do something else, it has little
//! to do it with.
//!
//! It gets no new privileges, limits on memory and files, and with Landlock (Linux 5.13; network 6.7)
//! nothing of the file systems but the programs and libraries and the one file it reads, and no network.
//! It keeps its user: on a kernel without Landlock it can read and write what bootsrv can.

use landlock::{
    ABI, Access, AccessFs, AccessNet, PathBeneath, Ruleset, RulesetAttr, RulesetCreatedAttr,
    RulesetError, RulesetStatus, Scope, path_beneath_rules,
};
use rustix::io::Errno;
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use std::fs::File;
use std::io;
use std::process::{Child, Command};
use std::sync::Once;

/// Newest kernel interface whose rights are asked for; what a kernel does not know is left out.
const INTERFACE: ABI = ABI::V6;
/// What programs are made of.
const PROGRAMS: [&str; 6] = ["/usr", "/bin", "/lib", "/lib64", "/sbin", "/etc/ld.so.cache"];
/// Most it may have of each, in bytes or open files. A file it writes is its standard error.
const LIMITS: [(Resource, u64); 4] = [
    (Resource::As, 4 << 30),
    (Resource::Fsize, 1 << 20),
    (Resource::Nofile, 64),
    (Resource::Core, 0),
];

/// Starts it, with `file` as the one it may read.
pub(super) fn spawn(command: &mut Command, file: &File) -> io::Result<Child> {
    // A thread restricts itself alone, and what it starts.
    let mut child = std::thread::scope(|scope| {
        let started = scope.spawn(|| {
            restrict(file).map_err(io::Error::other)?;
            command.spawn()
        });
        started.join().unwrap_or_else(|_| Err(io::Error::other("a thread panicked")))
    })?;
    match limit(&child) {
        Ok(()) => Ok(child),
        Err(error) => {
            child.kill()?;
            child.wait()?;
            Err(error.into())
        }
    }
}

fn restrict(file: &File) -> Result<(), RulesetError> {
    let status = Ruleset::default()
        .handle_access(AccessFs::from_all(INTERFACE))?
        .handle_access(AccessNet::from_all(INTERFACE))?
        .scope(Scope::from_all(INTERFACE))?
        .create()?
        .add_rules(path_beneath_rules(PROGRAMS, AccessFs::from_read(INTERFACE)))?
        .add_rule(PathBeneath::new(file, AccessFs::ReadFile))?
        .restrict_self()?;
    if status.ruleset == RulesetStatus::NotEnforced {
        static TOLD: Once = Once::new();
        TOLD.call_once(|| {
            log::warn!(
                "this kernel has no Landlock: programs that read users' images are not confined"
            );
        });
    }
    Ok(())
}

/// It runs already, and has at most begun to read.
fn limit(child: &Child) -> Result<(), Errno> {
    let process = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    for (resource, most) in LIMITS {
        let both = Rlimit { current: Some(most), maximum: Some(most) };
        match prlimit(process, resource, both) {
            // It has ended.
            Ok(_) | Err(Errno::SRCH) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
