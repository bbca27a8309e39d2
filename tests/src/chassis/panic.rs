//! Makes a node's kernel panic for real: an uncorrectable machine check, as a broken memory module
//! would cause it. It works for any kernel and any amount of memory.

use crate::chassis::{Chassis, ChassisError, qemu, qmp};
use std::time::{Duration, Instant};

/// How long to wait for a kernel before giving up.
const KERNEL_TIMEOUT: Duration = Duration::from_secs(300);
/// How often to look.
const INTERVAL: Duration = Duration::from_millis(250);
/// Time for the kernel to start its console once it takes machine checks.
const AFTER_KERNEL: Duration = Duration::from_secs(1);
/// Bit 6 of control register 4: machine checks are taken. The firmware never sets it; an
/// operating system sets it early, and a machine check before that would only reset the machine.
const MACHINE_CHECK_ENABLE: u64 = 1 << 6;
/// Bank 1, valid, uncorrected, enabled, processor context corrupt; "machine check in progress".
/// Arguments of QEMU's `mce`: cpu, bank, status, global status, address, misc.
const MACHINE_CHECK: &str = "mce 0 1 0xbe00000000000000 0x4 0 0";

impl Chassis {
    /// Waits until the node's kernel takes machine checks, then sends it one. Ends quietly when the
    /// node is switched off before.
    ///
    /// # Errors
    /// When QEMU does not accept the machine check.
    pub fn panic_when_up(&self) -> Result<(), ChassisError> {
        let socket = self.file("qmp");
        let deadline = Instant::now() + KERNEL_TIMEOUT;
        while Instant::now() < deadline && qemu::running(&self.run.node(self.node)).is_some() {
            // A busy control socket is asked again at the next look.
            let registers = qmp::human_command(&socket, "info registers").unwrap_or_default();
            if takes_machine_checks(&registers) {
                std::thread::sleep(AFTER_KERNEL);
                qmp::human_command(&socket, MACHINE_CHECK)?;
                return Ok(());
            }
            std::thread::sleep(INTERVAL);
        }
        Ok(())
    }
}

fn takes_machine_checks(registers: &str) -> bool {
    let value = registers.split("CR4=").nth(1).and_then(|rest| rest.split_whitespace().next());
    let value = value.and_then(|digits| u64::from_str_radix(digits, 16).ok());
    value.is_some_and(|value| value & MACHINE_CHECK_ENABLE != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_control_register_tells_firmware_from_kernel() {
        assert!(!takes_machine_checks("CR0=60000011 CR3=00000000 CR4=00000000\r\nDR0=0"));
        assert!(takes_machine_checks("CR0=80050033 CR2=0 CR3=1 CR4=000006f0\r\nDR0=0"));
        assert!(!takes_machine_checks(""));
    }
}
