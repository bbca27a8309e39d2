//! `bmc`: what users and administrators type. It prints what the boot server's API answers.

mod cli;
mod failure;
mod output;
mod server;
mod table;
mod verbs;
mod wire;

use clap::Parser;
use cli::{Cli, Verb};
use failure::Failure;
use std::process::ExitCode;

fn main() -> ExitCode {
    let Err(error) = run(Cli::parse().verb) else { return ExitCode::SUCCESS };
    let failure = Failure::of(&error);
    if let Some(message) = failure.message {
        eprintln!("{message}");
    }
    ExitCode::from(failure.exit_code)
}

fn run(verb: Verb) -> anyhow::Result<()> {
    let text = match verb {
        Verb::Completions { shell } => verbs::completions::script(shell),
        Verb::Man { directory } => verbs::man::write(&directory)?,
        Verb::Kernel(verb) => verbs::kernel::run(verb, &wire::connect()?)?,
        Verb::Image(verb) => verbs::image::run(verb, wire::connect)?,
        Verb::Energy(args) => verbs::energy::run(&args, &wire::connect()?)?,
        Verb::Node(verb) => verbs::node::run(verb, &wire::connect()?)?,
        Verb::Status(args) => verbs::status::run(&args, &wire::connect()?)?,
    };
    output::print(&text)
}
