//! The node agent: first process of a node's initrd, and afterwards its heartbeat.
//!
//! One program under several names: the kernel starts it as the first process, that one starts it
//! again as `heartbeats`, the kernel calls it as `modprobe` while the node's root is not there yet, and
//! users call it as Slurm's commands in images that have none. Only this file looks at names.

mod accounts;
mod adoption;
mod application;
mod arguments;
mod boot;
mod card;
mod clock;
mod console;
mod download;
mod ending;
mod files;
mod glob;
mod hand_over;
mod heartbeats;
mod kexec;
mod leftovers;
mod limit;
mod machine;
mod memory_clearing;
mod module_tree;
mod modules;
mod mount_options;
mod mounts;
mod netlink;
mod orders;
mod power;
mod power_button;
mod processes;
mod report;
mod root;
mod server;
mod setting_path;
mod settings;
mod shut_down;
mod slurmd;
mod stack;
mod sys;
mod tls;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> =
        std::env::args_os().map(|argument| argument.to_string_lossy().into_owned()).collect();
    let name = arguments.first().and_then(|name| name.rsplit('/').next()).unwrap_or_default();
    if std::process::id() == 1 {
        boot::run()
    }
    if name == "modprobe" {
        let found = arguments.last().is_some_and(|module| modules::answer_kernel(module));
        return if found { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    if application::commands::is_one(name) {
        return application::commands::run(name);
    }
    if arguments.get(1).is_some_and(|argument| argument == "heartbeats") {
        if let Err(error) = heartbeats::run() {
            console::say(format_args!("heartbeats ended: {error:#}"));
        }
        return ExitCode::FAILURE;
    }
    console::say(format_args!("this is the first process of a node, not a command"));
    ExitCode::from(2)
}
