//! What the kernel shows of the machine: processors and memory.

use crate::setting_path::cpus_in_list;
use std::fs;

/// CPUs on-line; 0 if the kernel does not say.
pub(crate) fn cpus_online() -> u32 {
    cpus("online")
}

/// CPUs that may ever come on-line, for which the kernel sets memory aside; 0 if it does not say.
pub(crate) fn cpus_possible() -> u32 {
    cpus("possible")
}

fn cpus(state: &str) -> u32 {
    let list = fs::read_to_string(format!("/sys/devices/system/cpu/{state}")).unwrap_or_default();
    cpus_in_list(&list).unwrap_or(0)
}

/// A line of `/proc/meminfo`, in KiB; 0 if the kernel does not say.
pub(crate) fn memory(name: &str) -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.and_then(|l| l.split_ascii_whitespace().next()?.parse().ok()).unwrap_or(0)
}
