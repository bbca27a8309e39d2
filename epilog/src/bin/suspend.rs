//! Slurm's SuspendProgram: tells bootsrv that slurmctld gives these nodes back.

use bootsrv_client::Client;
use bootsrv_client::hook::{Environment, run_power_program};
use std::process::ExitCode;

fn main() -> ExitCode {
    let environment = Environment::new(std::env::vars_os());
    run_power_program("suspend", std::env::args_os().nth(1), &environment, Client::suspend).into()
}
