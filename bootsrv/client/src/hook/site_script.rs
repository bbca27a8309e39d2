//! The script a site had in this place before: slurm.conf has room for one (Slurm before 24.05),
//! so ours calls it.

use crate::hook::HookError;
use std::path::Path;
use std::process::{Command, Stdio};

/// Runs it with this process's own environment, as slurmctld would have; waits without a limit of
/// its own, because Slurm's `PrologEpilogTimeout` ends us both. Answers with its exit code; a
/// script ended by a signal counts as 128 and the signal's number, as in a shell.
///
/// # Errors
/// When it cannot be started.
pub fn run(program: &Path) -> Result<u8, HookError> {
    let status = Command::new(program)
        .stdin(Stdio::null())
        .status()
        .map_err(|source| HookError::Script { program: program.display().to_string(), source })?;
    let signal = std::os::unix::process::ExitStatusExt::signal(&status).map(|signal| 128 + signal);
    Ok(status.code().or(signal).and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_exit_code_is_ours() {
        assert_eq!(run(Path::new("/bin/true")).unwrap(), 0);
        assert_eq!(run(Path::new("/bin/false")).unwrap(), 1);
        let error = run(Path::new("/nonexistent/script")).unwrap_err();
        assert_eq!(error.to_string(), "cannot run /nonexistent/script");
    }
}
