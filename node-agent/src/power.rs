//! The ways in which the agent ends the node.
//!
//! Knows processes and reboot(2), not why the node has to end.

use crate::console::say;
use rustix::process::{Pid, Signal, kill_process};
use rustix::system::{RebootCommand, reboot};
use std::thread::sleep;
use std::time::Duration;

/// How long the image's init has to power the node off itself.
pub(crate) const SHUTDOWN_SECONDS: u64 = 20;

/// Switches the node off at once.
pub(crate) fn power_off() -> ! {
    rustix::fs::sync();
    loop {
        if let Err(error) = reboot(RebootCommand::PowerOff) {
            say(format_args!("power off was refused: {error}"));
        }
        // PID 1 must not end; the baseboard controller is the next to act.
        sleep(Duration::from_secs(60));
    }
}

/// Asks the image's init to shut down, and switches off if the node still runs after
/// [`SHUTDOWN_SECONDS`].
pub(crate) fn shut_down(signal: Signal) -> ! {
    if let Err(error) = kill_process(Pid::INIT, signal) {
        say(format_args!("init cannot be asked to shut down: {error}"));
    }
    sleep(Duration::from_secs(SHUTDOWN_SECONDS));
    say(format_args!("init did not shut down in {SHUTDOWN_SECONDS} s"));
    power_off()
}

/// From here on a panic of any thread prints its text and switches the node off: a first process
/// that hangs or ends would leave the node on with nobody to report.
pub(crate) fn power_off_on_panic() {
    std::panic::set_hook(Box::new(|panic| {
        say(format_args!("{panic}"));
        power_off();
    }));
}
