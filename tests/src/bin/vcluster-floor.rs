//! The first process of the least possible boot: see `tests::floor`.

use std::process::ExitCode;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let Err(error) = tests::floor::init::run(&words) {
        println!("vcluster-floor: {error:#}");
    }
    ExitCode::FAILURE
}
