//! The demo and the virtual cluster by hand.

use crate::run::run as start;
use crate::{assets, build, setup};
use anyhow::Result;

/// Packages, programs, kernels and image: everything the cluster needs.
pub(crate) fn prepare() -> Result<()> {
    setup::run()?;
    build::run_all()?;
    assets::prepare()
}

/// `cargo xtask demo`.
pub(crate) fn run() -> Result<()> {
    prepare()?;
    vcluster(&["demo".to_owned()])
}

/// `cargo xtask cluster …`; only `up` needs everything fresh.
pub(crate) fn cluster(arguments: &[String]) -> Result<()> {
    if arguments.first().is_some_and(|verb| verb == "up")
        || !build::programs().join("vcluster").exists()
    {
        prepare()?;
    }
    vcluster(arguments)
}

fn vcluster(arguments: &[String]) -> Result<()> {
    start(&build::programs().join("vcluster").to_string_lossy(), arguments)
}
