//! The script a site had in this place before: slurm.conf has room for one (Slurm before 24.05),
//! so ours calls it.

use crate::hook::HookError;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Shortest and longest pause between two looks whether the script has ended. In between it is an
/// eighth of the time passed, because jobs of every partition wait for the script.
const POLL: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(50));

/// Runs it with this process's own environment, as slurmctld would have. Answers with its exit
/// code; a script ended by a signal counts as 128 and the signal's number, as in a shell.
///
/// Without a `limit` Slurm's `PrologEpilogTimeout` ends script and caller together.
///
/// # Errors
/// When it cannot be started, or was ended because it took longer than `limit`.
pub fn run(program: &Path, limit: Option<Duration>) -> Result<u8, HookError> {
    let failed = |source| HookError::Script { program: program.display().to_string(), source };
    let mut child = Command::new(program).stdin(Stdio::null()).spawn().map_err(failed)?;
    let ended = match limit {
        None => child.wait().map(Some),
        Some(limit) => wait_within(&mut child, limit),
    };
    let Some(status) = ended.map_err(failed)? else {
        return Err(HookError::ScriptLate { program: program.display().to_string() });
    };
    let signal = std::os::unix::process::ExitStatusExt::signal(&status).map(|signal| 128 + signal);
    Ok(status.code().or(signal).and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}

/// `None`: it took too long, and is ended.
fn wait_within(child: &mut Child, limit: Duration) -> std::io::Result<Option<ExitStatus>> {
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        let elapsed = started.elapsed();
        if elapsed >= limit {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep((elapsed / 8).clamp(POLL.0, POLL.1).min(limit - elapsed));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_exit_code_is_ours() {
        for limit in [None, Some(Duration::from_secs(60))] {
            assert_eq!(run(Path::new("/bin/true"), limit).unwrap(), 0);
            assert_eq!(run(Path::new("/bin/false"), limit).unwrap(), 1);
            let error = run(Path::new("/nonexistent/script"), limit).unwrap_err();
            assert_eq!(error.to_string(), "cannot run /nonexistent/script");
        }
    }

    #[test]
    fn a_script_that_takes_too_long_is_ended() {
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("slow");
        std::fs::write(&script, "#!/bin/sh\nexec sleep 60\n").unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&script, mode).unwrap();
        let started = Instant::now();
        let error = run(&script, Some(Duration::from_millis(200))).unwrap_err();
        assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
        assert!(error.to_string().contains("was ended"), "{error}");
    }
}
