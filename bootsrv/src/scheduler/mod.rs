//! How Slurm's scheduler is helped (docs/adr/0019): it is told which nodes run what, by features that
//! jobs prefer, and nodes may be booted ahead for a job that is known to start.

pub mod features;
pub mod hint;
mod jobless;
mod pending;
mod preboot;
mod told;
pub mod warmth;
mod wishes;

pub use jobless::boot;
pub use warmth::Warmth;

use crate::config::{AfterJob, Config};
use crate::deployment::engine::Engine;
use crate::hub::Hub;
use crate::slurm::Scontrol;
use std::sync::Arc;

/// Starts what the configuration asks for.
pub fn start(engine: &Arc<Engine>, hub: Arc<Hub>, scontrol: Scontrol) {
    let shows = warmth::run(Arc::clone(engine), scontrol.clone());
    crate::essential::spawn("the nodes' features", shows);
    if engine.config.partitions.iter().any(|partition| partition.preboot) {
        let boots = preboot::run(Arc::clone(engine), hub, scontrol);
        crate::essential::spawn("the boots ahead", boots);
    }
}

/// Whether the site wants jobs to go to nodes that run what they ask for.
fn is_wanted(config: &Config) -> bool {
    config.slurm.prefer_warm
        && config.partitions.iter().any(|partition| partition.after_job == AfterJob::StayOn)
}
