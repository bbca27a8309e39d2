//! What jobs leave on a node that stays on: processes, files in memory, shared objects, memory.
//!
//! The next job gets the node as a boot would give it, as far as users can tell. Slurm has ended the job
//! before; where its process tracking is not by control groups (`proctrack/linuxproc`, `pgid`), a process
//! that has left its session is still there. What belongs to users is told by its number alone: the
//! node is one job's at a time, and the programs of the image have other numbers.

use crate::console::say;
use crate::limit::within;
use crate::machine::memory;
use crate::processes::{self, wait_for_end};
use crate::sys::{Ipc, remove_ipc};
use anyhow::{Result, bail};
use rustix::process::Signal;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Where login.defs(5) says otherwise, that counts.
const USERS_FROM: u32 = 1000;
/// Not a person's: systemd's `DynamicUser` (systemd.exec(5)) and `nobody`.
const DAEMONS: std::ops::RangeInclusive<u32> = 61184..=65535;
/// How long processes may take to be gone once they are killed: each has to free its memory.
const KILL: Duration = Duration::from_secs(5);
/// How long the files may take; most node images have them in memory.
const FILES: Duration = Duration::from_secs(5);
/// How long memory may take to come back: the kernel frees mounts and large processes in the background.
const MEMORY: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(20);
/// Directories for everybody's files that cost memory: shared memory, message queues, huge pages.
const SHARED: [&str; 5] = ["/tmp", "/var/tmp", "/dev/shm", "/dev/mqueue", "/dev/hugepages"];
/// Deepest directory that is emptied.
const DEPTH_MAX: u32 = 256;
/// What the node may have less than at first, in KiB, beside a sixteenth of its memory: what slurmd and
/// the kernel have come to know.
const LESS_KIB: u64 = 64 << 10;

/// Removes what users have left.
pub(crate) fn remove() -> Result<()> {
    let users_from = users_from(&fs::read_to_string("/etc/login.defs").unwrap_or_default());
    let is_user = move |id: u32| id >= users_from && !DAEMONS.contains(&id);
    end_processes(is_user)?;
    for (kind, file, users) in [
        (Ipc::Memory, "/proc/sysvipc/shm", "uid"),
        (Ipc::Semaphores, "/proc/sysvipc/sem", "uid"),
        (Ipc::Messages, "/proc/sysvipc/msg", "uid"),
    ] {
        let table = fs::read_to_string(file).unwrap_or_default();
        for id in shared_objects(&table, users, is_user) {
            remove_ipc(kind, id).ok();
        }
    }
    let files = within(FILES, move || {
        SHARED.iter().for_each(|directory| remove_files(Path::new(directory), is_user));
    });
    if files.is_err() {
        say(format_args!("not all files of the job before were removed in {} s", FILES.as_secs()));
    }
    Ok(())
}

fn users_from(login_defs: &str) -> u32 {
    let words = login_defs.lines().map(|line| line.split_ascii_whitespace().collect::<Vec<_>>());
    let mut values = words.filter_map(|words| match words.as_slice() {
        ["UID_MIN", value, ..] => value.parse().ok(),
        _ => None,
    });
    values.next_back().unwrap_or(USERS_FROM)
}

fn end_processes(is_user: impl Fn(u32) -> bool) -> Result<()> {
    let deadline = Instant::now() + KILL;
    loop {
        let mut left = processes::others();
        left.retain(|process| process.user().is_some_and(&is_user));
        let count = left.len();
        if count == 0 {
            return Ok(());
        }
        say(format_args!("ending {count} process(es) of the job before"));
        left.iter().for_each(|process| process.signal(Signal::KILL));
        // They may have started others meanwhile, so it is looked again.
        wait_for_end(left, deadline.saturating_duration_since(Instant::now()));
        if Instant::now() >= deadline {
            bail!("{count} process(es) of the job before cannot be ended");
        }
    }
}

/// The numbers of users' objects in a table of `/proc/sysvipc`, whose second column is the number.
fn shared_objects(table: &str, users: &str, is_user: impl Fn(u32) -> bool) -> Vec<i32> {
    let mut lines = table.lines().map(|line| line.split_ascii_whitespace().collect::<Vec<_>>());
    let column = lines.next().and_then(|names| names.iter().position(|name| *name == users));
    let Some(column) = column else { return Vec::new() };
    lines
        .filter(|words| words.get(column).and_then(|id| id.parse().ok()).is_some_and(&is_user))
        .filter_map(|words| words.get(1)?.parse().ok())
        .collect()
}

/// What belongs to users directly below the directory, with all that is in it. Nobody can move it
/// meanwhile: the users' processes have ended.
fn remove_files(directory: &Path, is_user: impl Fn(u32) -> bool) {
    let Ok(device) = directory.metadata().map(|found| found.dev()) else { return };
    let Ok(entries) = directory.read_dir() else { return };
    for entry in entries.flatten() {
        let found = entry.path().symlink_metadata();
        if found.is_ok_and(|found| is_user(found.uid())) {
            remove_tree(&entry.path(), device, DEPTH_MAX);
        }
    }
}

/// Removes the file, or the directory with all in it, as far as it is on the device: a user may have
/// mounted something with FUSE.
pub(crate) fn remove_tree(path: &Path, device: u64, depth: u32) {
    match path.symlink_metadata() {
        Ok(found) if found.dev() != device => {}
        Ok(found) if found.is_dir() => {
            if let (Some(depth), Ok(entries)) = (depth.checked_sub(1), path.read_dir()) {
                for entry in entries.flatten() {
                    remove_tree(&entry.path(), device, depth);
                }
            }
            // A directory with a mount in it stays, as it must.
            fs::remove_dir(path).ok();
        }
        Ok(_) => {
            fs::remove_file(path).ok();
        }
        Err(_) => {}
    }
}

/// Waits until the node has about as much memory to give as it had when its slurmd started.
pub(crate) fn check_memory(at_first_kib: u64) -> Result<()> {
    let least_kib = least_kib(at_first_kib, memory("MemTotal"));
    let deadline = Instant::now() + MEMORY;
    loop {
        let available_kib = memory("MemAvailable");
        if available_kib >= least_kib {
            return Ok(());
        }
        if Instant::now() >= deadline {
            bail!(
                "{} MiB of memory are available, before the first job there were {}: something of the \
                 job before still has the rest",
                available_kib >> 10,
                at_first_kib >> 10
            );
        }
        sleep(POLL);
    }
}

fn least_kib(at_first_kib: u64, total_kib: u64) -> u64 {
    at_first_kib.saturating_sub(total_kib / 16).saturating_sub(LESS_KIB)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{chown, symlink};

    #[test]
    fn people_are_told_by_their_numbers() {
        assert_eq!(users_from("#UID_MIN 5\nMAIL_DIR x\nUID_MIN\t\t  500\n"), 500);
        for text in ["", "UID_MIN", "UID_MIN x", "SYS_UID_MIN 101"] {
            assert_eq!(users_from(text), USERS_FROM, "{text}");
        }
    }

    #[test]
    fn shared_objects_are_users() {
        let table = "       key      shmid perms       size  cpid  lpid nattch   uid   gid  cuid
         0         32  1600       4096   816   816      1  2001  2001  2001
         0         33  1600       4096   816   816      1     0     0     0\n";
        assert_eq!(shared_objects(table, "uid", |id| id >= 1000), [32]);
        for broken in ["", "key shmid\n1 2\n", "key shmid uid\n0\n0 x 2001\n0 1\n"] {
            assert_eq!(shared_objects(broken, "uid", |id| id >= 1000), [0; 0], "{broken}");
        }
    }

    #[test]
    fn users_files_go_and_others_stay() {
        if !rustix::process::geteuid().is_root() {
            assert!(std::env::var_os("CI").is_none(), "this test needs root");
            return println!("skipped: this test needs root");
        }
        let base = tempfile::tempdir().unwrap();
        let at = |name: &str| base.path().join(name);
        fs::create_dir_all(at("shared/of-user/deep/er")).unwrap();
        fs::create_dir_all(at("shared/of-root")).unwrap();
        fs::create_dir(at("elsewhere")).unwrap();
        for file in ["shared/of-user/deep/x", "shared/of-root/x", "elsewhere/x", "shared/y"] {
            fs::write(at(file), "").unwrap();
        }
        symlink(at("elsewhere"), at("shared/of-user/deep/link")).unwrap();
        for path in ["shared/of-user", "shared/of-root/x", "shared/y", "elsewhere"] {
            chown(at(path), Some(2001), Some(2001)).unwrap();
        }
        remove_files(&at("shared"), |id| id >= 1000);
        assert!(!at("shared/of-user").exists() && !at("shared/y").exists());
        assert!(at("shared/of-root/x").is_file() && at("elsewhere/x").is_file());
    }

    #[test]
    fn some_memory_may_be_missing() {
        assert_eq!(least_kib(300 << 10, 384 << 10), (300 - 24 - 64) << 10);
        assert_eq!(least_kib(0, 384 << 10), 0);
        check_memory(0).unwrap();
    }
}
