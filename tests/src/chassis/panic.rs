//! Makes a node's kernel panic for real: while it idles it is made to go on at address 0. The idle
//! task dies of that, and the kernel with it ("Attempted to kill the idle task!"). It needs nothing
//! of the kernel, whatever its build, arguments or amount of memory.

use crate::chassis::debugger::Stopped;
use crate::chassis::{Chassis, ChassisError, qemu, qmp};
use std::io;
use std::time::{Duration, Instant};

/// How long to wait for a kernel before giving up.
const KERNEL_TIMEOUT: Duration = Duration::from_secs(300);
/// How often to look.
const INTERVAL: Duration = Duration::from_millis(10);
/// Time for the kernel to start its console after it was first seen idle; a boot is over in three
/// seconds.
const AFTER_KERNEL: Duration = Duration::from_millis(200);
/// Bit 10 of the extended feature register: the processor is in 64-bit mode, where no firmware or
/// iPXE of our nodes ever is.
const LONG_MODE: u64 = 1 << 10;

impl Chassis {
    /// Waits until the node's kernel is up, then makes it panic. Ends quietly when the node is
    /// switched off before.
    ///
    /// # Errors
    /// When QEMU does not do as the debugger says.
    pub fn panic_when_up(&self) -> Result<(), ChassisError> {
        let deadline = Instant::now() + KERNEL_TIMEOUT;
        let mut due = None;
        let mut refusal = None;
        while Instant::now() < deadline && qemu::running(&self.run.node(self.node)).is_some() {
            match due {
                None if self.is_kernel_idle() => due = Some(Instant::now() + AFTER_KERNEL),
                // A boot idles for moments only: the machine is stopped first, and looked at then.
                Some(due) if Instant::now() > due => match self.try_panic() {
                    Ok(true) => return Ok(()),
                    Ok(false) => {}
                    // A refusal counts only if no later try succeeds.
                    Err(source) => refusal = Some(source),
                },
                None | Some(_) => {}
            }
            std::thread::sleep(INTERVAL);
        }
        refusal.map_or(Ok(()), |source| {
            Err(ChassisError::Control { command: "the debugger".to_owned(), source })
        })
    }

    /// Stops the machine and looks: only now does it stay idle.
    fn try_panic(&self) -> io::Result<bool> {
        let mut stopped = Stopped::stop(&self.file("debugger"))?;
        let is_idle = self.is_kernel_idle();
        if is_idle {
            stopped.jump_to_nowhere()?;
        }
        stopped.release()?;
        Ok(is_idle)
    }

    fn is_kernel_idle(&self) -> bool {
        // A busy control socket is asked again at the next look.
        let registers = qmp::human_command(&self.file("qmp"), "info registers").unwrap_or_default();
        is_kernel_idle(&registers)
    }
}

/// In 64-bit mode, at the highest privilege, halted until the next interrupt.
fn is_kernel_idle(registers: &str) -> bool {
    let value = |name: &str| {
        let rest = registers.split(name).nth(1)?;
        u64::from_str_radix(rest.split_whitespace().next()?, 16).ok()
    };
    value("EFER=").is_some_and(|value| value & LONG_MODE != 0)
        && value("CPL=") == Some(0)
        && value("HLT=") == Some(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_idle_kernel_is_taken_for_one() {
        let registers = |efer, cpl, hlt| {
            format!(
                "RFL=00000246 [---Z-P-] CPL={cpl} II=0 A20=1 SMM=0 HLT={hlt}\r\nEFER={efer}\r\n"
            )
        };
        let kernel = "0000000000000d01";
        assert!(is_kernel_idle(&registers(kernel, 0, 1)));
        assert!(!is_kernel_idle(&registers(kernel, 0, 0)), "busy");
        assert!(!is_kernel_idle(&registers(kernel, 3, 0)), "a program");
        assert!(!is_kernel_idle(&registers("0000000000000000", 0, 1)), "firmware");
        assert!(!is_kernel_idle(""));
    }
}
