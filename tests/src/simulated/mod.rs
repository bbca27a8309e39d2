//! A site without hardware: baseboard controllers, booting nodes and a slurmctld that speak the real
//! wire to a real bootsrv, as many as a machine can hold.
//!
//! What stands in for what, and what it is proven on:
//! - controllers: [`ipmi::fake`], proven with ipmitool in its own tests;
//! - nodes: [`node`], which runs the boot scripts as iPXE does and asks what the node agent asks; the
//!   virtual cluster has the real ones;
//! - slurmctld: [`slurmctld`], after what Slurm 22.05 was observed to do; its `scontrol` is compared
//!   with the real one by a case on the virtual cluster (`tests/real/stand_in.rs`).
//!
//! The hooks are the product's own programs, started as slurmctld starts them.

pub mod agent;
pub mod dice;
pub mod hooks;
pub mod ipxe;
pub mod node;
pub mod scontrol;
pub mod slurmctld;
pub mod tally;
pub mod tls;
pub mod wire;
