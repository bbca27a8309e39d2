//! Slurm's ResumeProgram: tells bootsrv that slurmctld wants these nodes powered.

use bootsrv_client::Client;
use bootsrv_client::hook::{Environment, run_power_program};
use std::process::ExitCode;

fn main() -> ExitCode {
    let environment = Environment::new(std::env::vars_os());
    run_power_program("resume", std::env::args_os().nth(1), &environment, Client::resume).into()
}
