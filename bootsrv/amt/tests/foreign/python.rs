//! A Python environment with the packages of `requirements.txt`, below target/, made once.

use crate::process::{run, skip, text};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

const REQUIREMENTS: &str = include_str!("requirements.txt");

/// The directory of its programs; `None` after saying why not.
pub(crate) fn programs() -> Option<PathBuf> {
    make().inspect_err(|reason| skip(reason)).ok()
}

/// One of its programs, away from this machine's proxies and authorities.
pub(crate) fn program(programs: &Path, name: &str) -> Command {
    let mut command = Command::new(programs.join(name));
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command
}

/// A file beside this one.
pub(crate) fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/foreign").join(name)
}

fn make() -> Result<PathBuf, String> {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("amt-python");
    fs::create_dir_all(&dir).unwrap();
    // Of tests that start together, one makes it.
    let lock = File::create(dir.join("lock")).unwrap();
    lock.lock().unwrap();
    let (venv, made) = (dir.join("venv"), dir.join("made"));
    let programs = venv.join("bin");
    if fs::read_to_string(&made).is_ok_and(|text| text == REQUIREMENTS) {
        return Ok(programs);
    }
    ok(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv))?;
    // The list is complete for what is used of them; napalm-amt would bring all of NAPALM.
    let install = ["-m", "pip", "install", "-q", "--no-deps", "-r"];
    ok(Command::new(programs.join("python")).args(install).arg(script("requirements.txt")))?;
    fs::write(made, REQUIREMENTS).unwrap();
    Ok(programs)
}

fn ok(command: &mut Command) -> Result<(), String> {
    let name = format!("{command:?}");
    if command.get_program() == "python3" && Command::new("python3").arg("-V").output().is_err() {
        return Err("there is no python3 (Debian: python3, python3-venv)".into());
    }
    let output = run(command, "");
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("{name}: {}", text(&output).trim())),
    }
}
