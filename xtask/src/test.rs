//! `cargo xtask test`: the rings of proof, cheapest first.

use crate::run::run;
use crate::{build, demo, mutants, setup, soak, tidy};
use anyhow::Result;

/// Unit tests, lints and tidy.
pub(crate) fn fast() -> Result<()> {
    setup::run()?;
    tidy::run()?;
    run("cargo", ["fmt", "--all", "--check"])?;
    run("cargo", ["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])?;
    run("cargo", ["test", "--workspace", "--quiet"])
}

/// Everything: the fast ring, mistakes made on purpose, then many simulated nodes, then the real parts on the virtual cluster.
pub(crate) fn all(only: Vec<String>, times: u16) -> Result<()> {
    if only.is_empty() {
        fast()?;
    }
    demo::prepare()?;
    if only.is_empty() {
        mutants::run()?;
        soak::sample()?;
    }
    let arguments = only.into_iter().chain([format!("--times={times}")]);
    run(&build::programs().join("vcluster-test").to_string_lossy(), arguments)
}
