//! Makes a node's kernel panic for real: its first program is made to go on at address 0. It dies of
//! that, and the kernel with it ("Attempted to kill init!"). It needs nothing of the kernel, whatever
//! its build, arguments or amount of memory; and it comes as early as a panic can be read on the
//! console, however quick and busy the boot is.

use crate::chassis::debugger::Stopped;
use crate::chassis::{Chassis, ChassisError, qemu, qmp};
use std::io;
use std::time::{Duration, Instant};

/// How long to wait for a kernel before giving up.
const KERNEL_TIMEOUT: Duration = Duration::from_secs(300);
/// How often to look.
const INTERVAL: Duration = Duration::from_millis(10);
/// Bit 10 of the extended feature register: the processor is in 64-bit mode, where no firmware or
/// iPXE of our nodes ever is.
const LONG_MODE: u64 = 1 << 10;

/// What the processor is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// Firmware or iPXE.
    Firmware,
    /// The kernel.
    Kernel,
    /// A program on the kernel.
    Program,
}

impl Chassis {
    /// Waits until the node's kernel runs a program, then makes it panic. Ends quietly when the node
    /// is switched off before.
    ///
    /// # Errors
    /// When QEMU does not do as the debugger says.
    pub fn panic_when_up(&self) -> Result<(), ChassisError> {
        let deadline = Instant::now() + KERNEL_TIMEOUT;
        let (mut is_up, mut has_jumped, mut refusal) = (false, false, None);
        while Instant::now() < deadline && qemu::running(&self.run.node(self.node)).is_some() {
            let at = self.at();
            is_up |= at == At::Program;
            if has_jumped && at == At::Firmware {
                return Ok(());
            }
            // Again until it panics: what jumped may have been a helper of the first program. Then only
            // where a program is seen: a machine that is stopped again and again while it panics may
            // never come to its reset.
            if is_up && (!has_jumped || at == At::Program) {
                match self.try_jump() {
                    Ok(jumped) => has_jumped |= jumped,
                    // A refusal counts only if no later try succeeds.
                    Err(source) => refusal = Some(source),
                }
            }
            std::thread::sleep(INTERVAL);
        }
        let refusal = refusal.filter(|_| !has_jumped);
        refusal.map_or(Ok(()), |source| {
            Err(ChassisError::Control { command: "the debugger".to_owned(), source })
        })
    }

    /// Stops the machine and looks: only now does it stay where it is.
    fn try_jump(&self) -> io::Result<bool> {
        let mut stopped = Stopped::stop(&self.file("debugger"))?;
        let is_program = self.at() == At::Program;
        if is_program {
            stopped.jump_to_nowhere()?;
        }
        stopped.release()?;
        Ok(is_program)
    }

    fn at(&self) -> At {
        // A busy control socket is asked again at the next look.
        let registers = qmp::human_command(&self.file("qmp"), "info registers");
        registers.map_or(At::Kernel, |registers| at(&registers))
    }
}

fn at(registers: &str) -> At {
    let value = |name: &str| {
        let rest = registers.split(name).nth(1)?;
        u64::from_str_radix(rest.split_whitespace().next()?, 16).ok()
    };
    match (value("EFER="), value("CPL=")) {
        (Some(features), Some(level)) if features & LONG_MODE != 0 => {
            if level == 3 {
                At::Program
            } else {
                At::Kernel
            }
        }
        _ => At::Firmware,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_told_from_kernel_and_firmware() {
        let registers = |efer, cpl| {
            at(&format!(
                "RFL=00000246 [---Z-P-] CPL={cpl} II=0 A20=1 SMM=0 HLT=0\r\nEFER={efer}\r\n"
            ))
        };
        let kernel = "0000000000000d01";
        assert_eq!(registers(kernel, 3), At::Program);
        assert_eq!(registers(kernel, 0), At::Kernel);
        assert_eq!(registers("0000000000000000", 0), At::Firmware);
        assert_eq!(at(""), At::Firmware);
    }
}
