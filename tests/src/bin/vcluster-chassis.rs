//! What a node's baseboard controller (`ipmi_sim`) calls to switch the node:
//! `vcluster-chassis RUN-DIRECTORY NODE get|set …`.

use anyhow::{Context, bail};
use std::path::Path;
use std::process::ExitCode;
use tests::chassis::{Chassis, inherited};
use tests::cluster::layout::RunDir;

fn main() -> ExitCode {
    inherited::close_on_exec();
    let words: Vec<String> = std::env::args().skip(1).collect();
    match run(&words) {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("vcluster-chassis: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[String]) -> anyhow::Result<String> {
    let [dir, node, words @ ..] = words else { bail!("usage: RUN-DIRECTORY NODE get|set …") };
    let node = node.parse().context("cannot read the node's name")?;
    let chassis = Chassis::open(RunDir::new(Path::new(dir))?, node)?;
    if words == ["panic"] {
        chassis.panic_when_up()?;
        return Ok(String::new());
    }
    Ok(chassis.control(words)?)
}
