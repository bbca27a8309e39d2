//! The power meter of all nodes of a virtual cluster: `vcluster-power RUN-DIRECTORY`.

use anyhow::{Context, bail};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;
use tests::cluster::layout::RunDir;
use tests::power::meter::{Meter, TICK};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("vcluster-power: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [dir] = words.as_slice() else { bail!("usage: RUN-DIRECTORY") };
    let nodes = RunDir::new(Path::new(dir))?.join("nodes");
    let mut meters = node_dirs(&nodes)?
        .into_iter()
        .map(|dir| Meter::open(dir.clone()).with_context(|| format!("node {}", dir.display())))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let start = Instant::now();
    let mut next = TICK;
    loop {
        for meter in &mut meters {
            meter.tick(start.elapsed()).context("cannot publish a node's power")?;
        }
        // A late tick is made up for by the next ones coming on time, never by extra ticks.
        let now = start.elapsed();
        next = (next + TICK).max(now);
        std::thread::sleep(next.saturating_sub(now));
    }
}

fn node_dirs(nodes: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(nodes).with_context(|| format!("read {}", nodes.display()))?;
    let dirs = entries.map(|entry| Ok(entry?.path())).collect::<anyhow::Result<Vec<_>>>()?;
    Ok(dirs.into_iter().filter(|dir| dir.is_dir()).collect())
}
