//! A week of a site in simulated time: the real engine, reconciler, resync, Slurm queue, power workers
//! and handlers, on a paused clock. Machines, their controllers and slurmctld are simulated, and fail.
//!
//! Everything random comes from one seed, so a run that breaks a promise can be repeated.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "most of what there is makes no difference here"
)]

mod bootsrv;
mod cut;
mod dice;
mod faults;
mod hooks;
mod judge;
pub(crate) mod machine;
mod scontrol;
mod slurmctld;
mod tests;
mod world;
