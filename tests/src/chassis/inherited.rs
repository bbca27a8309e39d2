//! Keeps what we inherited from `ipmi_sim` away from the programs we start.
//!
//! `ipmi_sim` starts us with its UDP and TCP sockets still open. A QEMU that held them would keep a
//! restarted `ipmi_sim` from binding its address.

use rustix::fd::BorrowedFd;
use rustix::io::{FdFlags, fcntl_setfd};
use std::fs;

/// Marks every open file descriptor above 2 as "close on exec".
pub fn close_on_exec() {
    let Ok(entries) = fs::read_dir("/proc/self/fd") else { return };
    let numbers = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    // All are collected first: the directory's own descriptor is among them and closed afterwards.
    let numbers: Vec<i32> = numbers.filter(|number| *number > 2).collect();
    for number in numbers {
        #[expect(
            unsafe_code,
            reason = "the descriptors are inherited: only their numbers are known"
        )]
        // SAFETY: the borrow ends with the call; a number that is no longer open makes fcntl
        // answer EBADF and nothing else; -1, the only forbidden value, is filtered out above.
        let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
        // A descriptor that has just been closed needs no mark.
        fcntl_setfd(descriptor, FdFlags::CLOEXEC).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::fcntl_getfd;
    use std::process::Command;

    #[test]
    fn a_started_program_sees_only_three_descriptors() {
        let file = fs::File::open("/dev/null").unwrap();
        fcntl_setfd(&file, FdFlags::empty()).unwrap();
        close_on_exec();
        assert!(fcntl_getfd(&file).unwrap().contains(FdFlags::CLOEXEC));
        let output = Command::new("/bin/ls").arg("/proc/self/fd").output().unwrap();
        // 3 is the directory that `ls` itself has open.
        assert_eq!(String::from_utf8(output.stdout).unwrap(), "0\n1\n2\n3\n");
    }
}
