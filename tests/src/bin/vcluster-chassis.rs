//! What a node's baseboard controller (`ipmi_sim`) calls to switch the node:
//! `vcluster-chassis RUN-DIRECTORY NODE get|set …`; and a power distribution unit, to switch its outlet:
//! `… outlet on|off|status`.

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
    let [dir, node, words @ ..] = words else {
        bail!("usage: RUN-DIRECTORY NODE get|set|outlet …")
    };
    let node = node.parse().context("cannot read the node's name")?;
    let chassis = Chassis::open(RunDir::new(Path::new(dir))?, node)?;
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["panic"] => chassis.panic_when_up()?,
        ["outlet", word] => return Ok(chassis.outlet(word)?),
        ["firmware"] => chassis.firmware_ends()?,
        _ => return Ok(chassis.control(&words)?),
    }
    Ok(String::new())
}
