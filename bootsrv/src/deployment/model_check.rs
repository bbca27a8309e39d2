//! A model check of the rules of a deployment's life: a tiny world around them, in which everything
//! that can happen does, in every order, up to a depth; and longer random runs.
//!
//! The world is made after the engine, the reconciler, the resync and Slurm 22.05. What is checked at
//! each move: no deployment goes back, power is never ordered on after off, two deployments never both
//! have the node, no running job is switched off, and a job starts on its own boot only. And from
//! everywhere there is a bounded way to rest once nothing goes wrong any more.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "most of what there is makes no difference here"
)]

mod carry_out;
mod engine;
mod moves;
mod random;
mod search;
mod tests;
mod world;
