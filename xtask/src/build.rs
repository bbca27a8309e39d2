//! Builds the programs as they are installed.

use crate::run::{root, run, run_with};
use anyhow::Result;
use std::path::PathBuf;

/// The target of the static programs: naming it keeps `+crt-static` away from build scripts.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Static programs: the agent, and what test images are made of. Each is built alone: together they
/// would share the features of what they use.
const STATIC: [&str; 2] = ["node-agent", "probe"];

/// Where the programs and the plugin are.
pub(crate) fn programs() -> PathBuf {
    root().join("target/release")
}

/// A static program.
pub(crate) fn static_program(name: &str) -> PathBuf {
    root().join("target/static").join(TARGET).join("release").join(name)
}

/// Builds everything but the agent, then what is static.
pub(crate) fn run_all() -> Result<()> {
    let build =
        ["build", "--release", "--workspace", "--exclude", "xtask", "--exclude", "node-agent"];
    run("cargo", build)?;
    // Alone, so that bootsrv is built without the simulated controller; beside the same packages, so
    // that what both use is built once.
    run("cargo", build.into_iter().chain(["--features", "amt/fake", "--bin", "amt-fake"]))?;
    for name in STATIC {
        run_with(
            "cargo",
            [
                "build",
                "--release",
                "--package",
                name,
                "--target",
                TARGET,
                "--target-dir",
                "target/static",
            ],
            &[("RUSTFLAGS", "-C target-feature=+crt-static")],
        )?;
    }
    Ok(())
}
