//! `build-node-image`: a Debian node image with slurmd and munge, as a tar for `bmc image import`.

use anyhow::Result;
use artifacts::node_image::{NodeImageOptions, build};
use clap::Parser;
use std::path::PathBuf;

/// Builds a Debian node image: the packages a node needs, slurmd and munge, and an init that starts
/// them. Import it with `bmc image import NAME FILE`.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Debian's suite; its slurmd must fit the site's slurmctld (bookworm: 22.05, trixie: 24.11).
    #[arg(long, default_value = "bookworm")]
    suite: String,
    /// Where packages come from.
    #[arg(long, default_value = "http://deb.debian.org/debian")]
    mirror: String,
    /// A package to add; may be given more than once.
    #[arg(long = "package")]
    packages: Vec<String>,
    /// The file to write: NAME.tar, NAME.tar.zst, or a directory.
    #[arg(long)]
    output: PathBuf,
}

fn main() -> Result<()> {
    let Arguments { suite, mirror, packages, output } = Arguments::parse();
    let sources = vec![format!("deb {mirror} {suite} main")];
    build(&NodeImageOptions { suite, sources, packages, output, source_date_epoch: None })?;
    Ok(())
}
