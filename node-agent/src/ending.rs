//! The end of everything that runs and is mounted, before the next kernel starts.
//!
//! What is in memory only needs no care: it is gone with this kernel. The image's init is not asked to
//! shut down, because that takes seconds; what it would do at the end of its services is not done.

use crate::console::say;
use crate::limit::within;
use crate::processes::{self, wait_for_end};
use crate::sys::stop_process;
use crate::{application, slurmd};
use rustix::mount::{UnmountFlags, unmount};
use rustix::process::{Pid, Signal};
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt as _;
use std::time::Duration;

/// How long slurmd has to end; it has no job.
const SLURMD: Duration = Duration::from_millis(500);
/// How long all others have to end.
const OTHERS: Duration = Duration::from_secs(2);
/// How long they may take to be gone once they are killed.
const KILL: Duration = Duration::from_millis(500);
/// How long files may take to be written: to disks of the node, to file servers, which may not answer.
const SYNC: Duration = Duration::from_secs(10);
/// How long letting go of all mounts may take.
const UNMOUNT: Duration = Duration::from_secs(1);
/// File systems that are gone with the kernel, or lie on something that is.
const IN_MEMORY: [&str; 25] = [
    "autofs",
    "binfmt_misc",
    "bpf",
    "cgroup",
    "cgroup2",
    "configfs",
    "debugfs",
    "devpts",
    "devtmpfs",
    "efivarfs",
    "fusectl",
    "hugetlbfs",
    "mqueue",
    "nsfs",
    "overlay",
    "proc",
    "pstore",
    "ramfs",
    "rootfs",
    "rpc_pipefs",
    "securityfs",
    "squashfs",
    "sysfs",
    "tmpfs",
    "tracefs",
];

/// Ends slurmd, so that slurmctld does not hear of it any more, and then everybody else. `slurmd`: the id
/// it was seen with.
pub(crate) fn end_programs(slurmd: u32) {
    // Else it would start again what ends, or switch the node off.
    if let Err(error) = stop_process(Pid::INIT) {
        say(format_args!("init was not stopped: {error}"));
    }
    let slurmd: Vec<_> = slurmd::pid(slurmd).and_then(processes::find).into_iter().collect();
    slurmd.iter().for_each(|process| process.signal(Signal::TERM));
    wait_for_end(slurmd, SLURMD);
    let others = processes::others();
    others.iter().for_each(|process| process.signal(Signal::TERM));
    let stubborn = wait_for_end(others, OTHERS).len();
    if stubborn > 0 {
        say(format_args!("{stubborn} process(es) did not end in {} s", OTHERS.as_secs()));
    }
    // With what was started meanwhile.
    let left = processes::others();
    left.iter().for_each(|process| process.signal(Signal::KILL));
    wait_for_end(left, KILL);
}

/// Writes what is not written yet, and lets go of disks and file servers.
pub(crate) fn leave_file_systems() {
    // It may hold layers on a file server.
    if let Err(error) = application::clear() {
        say(format_args!("the application image was not let go of: {error:#}"));
    }
    if within(SYNC, rustix::fs::sync).is_err() {
        say(format_args!("not all files were written in {} s", SYNC.as_secs()));
    }
    let mounted = fs::read("/proc/self/mountinfo").unwrap_or_default();
    let places = to_unmount(&mounted);
    let unmounted = within(UNMOUNT, move || {
        for place in places.into_iter().rev() {
            unmount(place, UnmountFlags::DETACH).ok();
        }
    });
    if unmounted.is_err() {
        say(format_args!("a file server does not answer: it is left as it is"));
    }
}

/// Where something is mounted that outlives this kernel, in the order of the mounts; the format is
/// proc_pid_mountinfo(5)'s.
fn to_unmount(mounted: &[u8]) -> Vec<OsString> {
    let lines = mounted.split(|byte| *byte == b'\n');
    lines
        .filter_map(|line| {
            let mut words = line.split(|byte| *byte == b' ');
            let place = words.nth(4)?;
            let kind = words.skip_while(|word| *word != b"-").nth(1)?;
            let outlives = !IN_MEMORY.iter().any(|known| known.as_bytes() == kind);
            outlives.then(|| OsString::from_vec(unescaped(place)))
        })
        .collect()
}

/// Blanks, tabs, line ends and backslashes of a path stand there as `\` and three octal digits.
fn unescaped(place: &[u8]) -> Vec<u8> {
    let mut rest = place;
    let mut path = Vec::new();
    while let Some((first, after)) = rest.split_first() {
        let number = after.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = number.and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match (first, byte) {
            (b'\\', Some(byte)) => {
                path.push(byte);
                rest = after.get(3..).unwrap_or_default();
            }
            _ => {
                path.push(*first);
                rest = after;
            }
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disks_and_servers_are_left_and_memory_is_not() {
        let mounted = b"20 1 0:19 / / rw,relatime shared:1 - overlay root rw,lowerdir=a
21 20 0:20 / /proc rw - proc proc rw
30 20 0:40 / /home rw,nosuid shared:9 master:2 - nfs4 10.0.0.1:/home rw,vers=4.2
31 20 259:1 / /scratch\\040disk\\134x rw - ext4 /dev/nvme0n1p1 rw
32 20 0:41 / /pool rw - fuse.sshfs x rw
33 20 0:42 / /broken
";
        assert_eq!(to_unmount(mounted), ["/home", "/scratch disk\\x", "/pool"]);
        assert_eq!(to_unmount(b""), [""; 0]);
    }

    #[test]
    fn escapes_that_are_none_stay() {
        for (place, path) in [("a\\", "a\\"), ("\\04", "\\04"), ("\\777x", "\\777x"), ("", "")] {
            assert_eq!(unescaped(place.as_bytes()), path.as_bytes());
        }
    }
}
