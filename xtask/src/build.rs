//! Builds the programs as they are installed.

use crate::run::{root, run, run_with};
use anyhow::Result;
use std::path::PathBuf;

/// The target of the static agent: naming it keeps `+crt-static` away from build scripts.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Where the programs and the plugin are.
pub(crate) fn programs() -> PathBuf {
    root().join("target/release")
}

/// Builds everything but the agent, then the agent, statically.
pub(crate) fn run_all() -> Result<()> {
    run(
        "cargo",
        ["build", "--release", "--workspace", "--exclude", "xtask", "--exclude", "node-agent"],
    )?;
    run_with(
        "cargo",
        [
            "build",
            "--release",
            "--package",
            "node-agent",
            "--target",
            TARGET,
            "--target-dir",
            "target/static",
        ],
        &[("RUSTFLAGS", "-C target-feature=+crt-static")],
    )
}
