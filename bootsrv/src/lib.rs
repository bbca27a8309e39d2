//! The boot server: boot plans, iPXE scripts, artifacts, power, energy, and the API.

pub mod application;
pub mod boot_script;
pub mod catalog;
pub mod clock;
pub mod config;
pub mod console;
pub mod damage;
pub mod deployment;
pub mod descriptors;
pub mod energy_record;
mod essential;
#[cfg(test)]
mod examples;
pub mod http;
pub mod hub;
pub mod logging;
pub mod pin;
pub mod plan;
pub mod power;
pub mod readings;
pub mod scheduler;
#[cfg(test)]
mod simulation;
pub mod slurm;
pub mod slurm_queue;
pub mod store;
pub mod tls;
pub mod token;
pub mod users;

/// An error and its causes, joined with `: `. The only place that prints a chain.
#[must_use]
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let next_text = next.to_string();
        if !text.ends_with(&next_text) {
            text.push_str(": ");
            text.push_str(next_text.trim_end());
        }
        cause = next.source();
    }
    text
}
