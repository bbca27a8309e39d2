//! `cargo xtask bench`: figures, measured on a virtual cluster of their own.

use crate::run::run as start;
use crate::{assets, build, demo};
use anyhow::Result;

/// Builds everything, then measures; a question for help builds only what is missing.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let program = build::programs().join("vcluster-bench");
    let asks_help = arguments.is_empty()
        || arguments.iter().any(|word| ["help", "--help", "-h"].contains(&word.as_str()));
    if !(asks_help && program.exists()) {
        demo::prepare()?;
        if arguments.first().is_some_and(|what| what == "image") {
            assets::bench_images()?;
        }
    }
    let arguments = if arguments.is_empty() { &["--help".to_owned()] } else { arguments };
    start(&program.to_string_lossy(), arguments)
}
