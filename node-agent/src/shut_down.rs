//! The node goes off: because nobody wants it any more, or because nobody may use it.

use crate::console::say;
use crate::power;
use crate::report::Reporter;
use protocol::boot::{AgentStage, BootFailure};
use rustix::process::Signal;
use std::thread;

/// In a thread of its own, because the caller's still has to report the stage.
pub(crate) fn unwanted(reporter: &Reporter) {
    if reporter.reached(AgentStage::ShuttingDown, "bootsrv does not want this boot any more") {
        thread::spawn(|| power::shut_down(Signal::USR2));
    }
}

/// Somebody is at the machine, or its baseboard controller is.
pub(crate) fn button_pressed(reporter: &Reporter) {
    if reporter.reached(AgentStage::ShuttingDown, "the power button was pressed") {
        power::shut_down(Signal::POWER)
    }
}

/// Reports why nobody may use this node, and shuts it down: bootsrv's answer ends it too, but there may
/// be no answer.
pub(crate) fn failed(reporter: &Reporter, failure: BootFailure, text: &str) {
    say(format_args!("boot failed: {}", failure.reason));
    reporter.fail(failure);
    if reporter.reached(AgentStage::ShuttingDown, text) {
        power::shut_down(Signal::USR2);
    }
}
