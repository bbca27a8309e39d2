//! A Python environment with the packages of `tests/requirements.txt`, below target/, made once.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const REQUIREMENTS: &str = include_str!("../requirements.txt");

/// Its interpreter; `None` after saying why not, which on CI is a failure.
pub(crate) fn interpreter() -> Option<PathBuf> {
    match make() {
        Ok(python) => Some(python),
        Err(reason) => {
            assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "{reason}");
            println!("skipped: {reason}");
            None
        }
    }
}

fn make() -> Result<PathBuf, String> {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("redfish-python");
    fs::create_dir_all(&dir).unwrap();
    // Of tests that start together, one makes it.
    let lock = File::create(dir.join("lock")).unwrap();
    lock.lock().unwrap();
    let (venv, made) = (dir.join("venv"), dir.join("made"));
    let python = venv.join("bin/python");
    if fs::read_to_string(&made).is_ok_and(|text| text == REQUIREMENTS) {
        return Ok(python);
    }
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv))?;
    let requirements = dir.join("requirements.txt");
    fs::write(&requirements, REQUIREMENTS).unwrap();
    run(Command::new(&python).args(["-m", "pip", "install", "-q", "-r"]).arg(requirements))?;
    fs::write(made, REQUIREMENTS).unwrap();
    Ok(python)
}

fn run(command: &mut Command) -> Result<(), String> {
    let done = command.stdin(Stdio::null()).output();
    match done {
        Ok(done) if done.status.success() => Ok(()),
        Ok(done) => {
            let text = String::from_utf8_lossy(&done.stderr);
            Err(format!("{command:?}: {}", text.lines().last().unwrap_or_default()))
        }
        Err(error) => Err(format!("{command:?}: {error} (Debian: python3-venv)")),
    }
}
