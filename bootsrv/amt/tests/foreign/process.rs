//! Runs foreign programs.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

/// Runs a program to its end; `input` is what it reads.
pub(crate) fn run(command: &mut Command, input: &str) -> Output {
    let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = pipes.spawn().unwrap();
    // A program that does not read all of it is told so by its own means.
    child.stdin.take().unwrap().write_all(input.as_bytes()).ok();
    child.wait_with_output().unwrap()
}

pub(crate) fn text(output: &Output) -> String {
    let (said, wrong) = (&output.stdout, &output.stderr);
    format!("{}{}", String::from_utf8_lossy(said), String::from_utf8_lossy(wrong))
}

/// A part that cannot be had: said, and on CI a failure.
pub(crate) fn skip(reason: &str) {
    assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "{reason}");
    println!("skipped: {reason}");
}
