//! The virtual cluster: real Slurm, real firmware, QEMU nodes with their own baseboard
//! controllers, all inside namespaces that one process holds and that vanish with it.
//!
//! The library is what tests use; the `vcluster` binary is the same thing for people.

pub mod chassis;
pub mod cluster;
pub mod floor;
pub mod power;
pub mod process;
pub mod product;
pub mod simulated;
