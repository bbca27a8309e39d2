//! Slurm's RebootProgram, run by slurmctld itself (`reboot_from_controller`): tells bootsrv that an
//! admin wants these idle nodes booted anew.

use bootsrv_client::Client;
use bootsrv_client::hook::{Environment, run_power_program};
use std::process::ExitCode;

fn main() -> ExitCode {
    let environment = Environment::new(std::env::vars_os());
    run_power_program("reboot", std::env::args_os().nth(1), &environment, Client::reboot).into()
}
