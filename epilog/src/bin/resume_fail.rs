//! Slurm's ResumeFailProgram: tells bootsrv that slurmctld gave up waiting for these nodes.

use bootsrv_client::Client;
use bootsrv_client::hook::{Environment, run_power_program};
use std::process::ExitCode;

fn main() -> ExitCode {
    let environment = Environment::new(std::env::vars_os());
    let host_list = std::env::args_os().nth(1);
    run_power_program("resume-fail", host_list, &environment, Client::resume_fail).into()
}
