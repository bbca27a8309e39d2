//! What the programs that slurmctld starts have in common: the trusted part of their environment,
//! the log, the site's own script. Knows nothing of what a single program asks of bootsrv.
//!
//! slurmctld kills these programs at a restart and starts them again, so nothing here keeps state.

mod env;
mod log_target;
mod power;
mod site_script;

pub use env::{Environment, HookError, JobFacts};
pub use log_target::start as start_log;
pub use power::{run as run_power_program, wanted_nodes};
pub use site_script::run as run_site_script;
