//! Whether this kernel has cleared the memory of whoever ran before, where its command line asks for it.
//!
//! The kernel's log is the only witness; it is read before anything but the agent runs.

use protocol::boot::ARG_CLEAR_MEMORY;
use rustix::fs::{Mode, OFlags, open};
use std::fs::File;
use std::io::{self, ErrorKind, Read as _};

/// Records of the log that are read; a boot has some thousand.
const RECORDS_MAX: u32 = 1 << 16;
/// Longest record, `PRINTK_MESSAGE_MAX` of the kernel's internal.h is less.
const RECORD_BYTES_MAX: usize = 8 << 10;
/// What `mm_core_init` (before Linux 6.4: `mm_init`) prints before it gives out the memory page by page,
/// each of which it then fills with zeros (since Linux 5.3; not if page poisoning takes its place).
const WITNESS: &str = "mem auto-init: clearing system memory";

/// The kernel was to clear the memory and has not.
#[derive(Debug, thiserror::Error)]
#[error(
    "the kernel has not cleared the memory of the user before, as {ARG_CLEAR_MEMORY} asks: Linux 5.3 or \
     later does, without page_poison"
)]
pub(crate) struct NotCleared;

/// None: nobody asked for it.
pub(crate) fn is_done(command_line: &str) -> Option<bool> {
    if !is_asked(command_line) {
        return None;
    }
    Some(records().is_ok_and(|records| records.iter().any(|record| is_witness(record))))
}

fn is_asked(command_line: &str) -> bool {
    command_line.split_ascii_whitespace().any(|word| word == ARG_CLEAR_MEMORY)
}

/// A record of `/dev/kmsg` is `priority,number,time,flags;text` (Documentation/ABI/testing/dev-kmsg): a
/// priority below 8 is the kernel's own.
fn is_witness(record: &str) -> bool {
    let Some((head, text)) = record.split_once(';') else { return false };
    let priority: Option<u32> = head.split(',').next().and_then(|number| number.parse().ok());
    priority.is_some_and(|priority| priority < 8) && text.starts_with(WITNESS)
}

/// What is in the kernel's log now; each read gives one record.
fn records() -> io::Result<Vec<String>> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let mut log = File::from(open("/dev/kmsg", flags, Mode::empty())?);
    let mut record = vec![0; RECORD_BYTES_MAX];
    let mut records = Vec::new();
    for _ in 0..RECORDS_MAX {
        match log.read(&mut record) {
            Ok(0) => break,
            Ok(length) => {
                let text = record.get(..length).unwrap_or_default();
                records.push(String::from_utf8_lossy(text).into_owned());
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            // The record was overwritten while it was waited for.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
            Err(error) => return Err(error),
        }
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_kernels_own_word_counts() {
        assert!(is_witness(
            "6,87,0,-;mem auto-init: clearing system memory may take some time...\n"
        ));
        for other in [
            "6,86,0,-;mem auto-init: stack:all(zero), heap alloc:on, heap free:off\n",
            "14,9,0,-;mem auto-init: clearing system memory may take some time...\n",
            "6,82,0,-;Kernel command line: init_on_free=1 mem auto-init: clearing system memory\n",
            "mem auto-init: clearing system memory",
            "",
        ] {
            assert!(!is_witness(other), "{other}");
        }
    }

    #[test]
    fn the_whole_word_asks() {
        assert!(is_asked("quiet init_on_free=1 x=y\n"));
        assert!(!is_asked("quiet init_on_free=10") && !is_asked(""));
        assert_eq!(is_done("quiet"), None);
    }
}
