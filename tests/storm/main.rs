//! `vcluster-storm`: a thousand simulated nodes, and a real bootsrv that must not lose one.
//!
//! Under the name `scontrol` it is the stand-in's scontrol.

mod artifacts;
mod bootsrv;
mod faults;
mod inside;
mod judge;
mod load;
mod options;
mod report;
mod run;
mod site;

use clap::Parser as _;
use options::Options;
use std::process::ExitCode;
use tests::simulated::scontrol;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().collect();
    if words.first().is_some_and(|name| name.rsplit('/').next() == Some("scontrol")) {
        return scontrol::main(words.get(1..).unwrap_or_default());
    }
    let options = Options::parse();
    if !inside::is_inside() {
        return inside::enter();
    }
    match run::start(options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("vcluster-storm: {error:#}");
            ExitCode::FAILURE
        }
    }
}
