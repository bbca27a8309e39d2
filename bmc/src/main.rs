//! `bmc`: what users and administrators type. It prints what the boot server's API answers.

mod cli;
mod energy_words;
mod failure;
mod output;
mod picture;
mod server;
mod table;
mod verbs;
mod wire;

use clap::Parser;
use cli::{Cli, Verb};
use failure::Failure;
use std::process::ExitCode;

fn main() -> ExitCode {
    let error = match run(Cli::parse().verb) {
        Ok(exit_code) => return exit_code,
        Err(error) => error,
    };
    let failure = Failure::of(&error);
    if let Some(message) = failure.message {
        eprintln!("{message}");
    }
    ExitCode::from(failure.exit_code)
}

/// What `bmc doctor` ends with when something needs an admin.
const NEEDS_ADMIN: u8 = 1;

fn run(verb: Verb) -> anyhow::Result<ExitCode> {
    let mut exit_code = ExitCode::SUCCESS;
    let text = match verb {
        Verb::Completions { shell } => verbs::completions::script(shell),
        Verb::Man { directory } => verbs::man::write(&directory)?,
        Verb::Kernel(verb) => verbs::kernel::run(verb, &wire::connect()?)?,
        Verb::Image(verb) => verbs::image::run(verb, wire::connect)?,
        Verb::Energy(args) => verbs::energy::run(&args, &wire::connect()?)?,
        Verb::BreakEven(args) => verbs::break_even::run(&args, wire::connect)?,
        Verb::Node(verb) => verbs::node::run(verb, &wire::connect()?)?,
        Verb::Doctor(args) => {
            let (text, needs_admin) = verbs::doctor::run(args, &wire::connect()?)?;
            if needs_admin {
                exit_code = ExitCode::from(NEEDS_ADMIN);
            }
            text
        }
        Verb::Status(args) => verbs::status::run(&args, &wire::connect()?)?,
    };
    output::print(&text)?;
    Ok(exit_code)
}
