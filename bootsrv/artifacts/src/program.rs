//! The one place that starts other programs: absolute path, empty environment, a time limit.
//!
//! Standard error is kept for the message of a failure. It must not know what the programs do.

mod confined;
mod error;
mod running;
#[cfg(test)]
mod tests;
mod watchdog;

pub use error::ProgramError;
pub use running::Running;

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use watchdog::Watchdog;

/// The path by which a program opens its standard input anew, from its start.
pub const STANDARD_INPUT: &str = "/proc/self/fd/0";
/// Where administrators' and users' programs are on Debian, Red Hat and SUSE.
const DIRECTORIES: [&str; 4] = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];
/// The search path the started programs get for their own helpers.
const SEARCH_PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// A program about to be run.
#[derive(Debug)]
pub struct Program {
    path: PathBuf,
    command: Command,
    limit: Duration,
    /// The one file it may read.
    confined_to: Option<File>,
}

impl Program {
    /// Finds an installed program; it is killed after `limit`.
    ///
    /// # Errors
    /// When it is not installed.
    pub fn find(name: &str, limit: Duration) -> Result<Self, ProgramError> {
        let path = DIRECTORIES
            .iter()
            .map(|directory| Path::new(directory).join(name))
            .find(|path| path.is_file())
            .ok_or_else(|| ProgramError::Missing { name: name.to_owned() })?;
        let mut command = Command::new(&path);
        command.env_clear().env("PATH", SEARCH_PATH).env("LC_ALL", "C").current_dir("/");
        command.stdin(Stdio::null()).stdout(Stdio::null()).process_group(0);
        Ok(Self { path, command, limit, confined_to: None })
    }

    /// Adds arguments.
    #[must_use]
    pub fn args(mut self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.command.args(arguments);
        self
    }

    /// Adds an environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Lets it have one file that a user made, as its standard input and by [`STANDARD_INPUT`], and as
    /// little else as possible (see [`confined`]).
    #[must_use]
    pub fn confined_to(self, file: File) -> Self {
        Self { confined_to: Some(file), ..self }
    }

    /// Runs it to its end.
    ///
    /// # Errors
    /// When it cannot be started, fails, or takes too long.
    pub fn run(self) -> Result<(), ProgramError> {
        self.start(Stdio::null())?.finish()
    }

    /// Runs it to its end, and hands on each line that it writes to standard error, as it comes.
    ///
    /// # Errors
    /// As [`Program::run`].
    pub fn run_telling(self, tell: &mut dyn FnMut(&str)) -> Result<(), ProgramError> {
        self.start(Stdio::null())?.finish_telling(tell)
    }

    /// Starts it with a pipe to its standard input; see [`Running::input`].
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn feed(self) -> Result<Running, ProgramError> {
        self.start(Stdio::piped())
    }

    /// Starts it with a pipe from its standard output; see [`Running::output`].
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn read(mut self) -> Result<Running, ProgramError> {
        self.command.stdout(Stdio::piped());
        self.start(Stdio::null())
    }

    fn start(mut self, input: Stdio) -> Result<Running, ProgramError> {
        let started = || {
            let errors = tempfile::tempfile()?;
            self.command.stdin(input).stderr(errors.try_clone()?);
            let mut child = match &self.confined_to {
                None => self.command.spawn()?,
                Some(file) => confined::spawn(self.command.stdin(file.try_clone()?), file)?,
            };
            match Watchdog::start(child.id(), self.limit) {
                Ok(watchdog) => Ok((child, errors, watchdog)),
                Err(error) => {
                    watchdog::kill(child.id());
                    child.wait()?;
                    Err(error)
                }
            }
        };
        let (child, errors, watchdog) =
            started().map_err(|source| ProgramError::Start { path: self.path.clone(), source })?;
        Ok(Running { path: self.path, child, errors, limit: self.limit, watchdog })
    }
}
