//! The one place that starts other programs: absolute path, empty environment, a time limit.
//!
//! Standard error is kept for the message of a failure. It must not know what the programs do.

mod confined;
mod watchdog;

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;
use watchdog::Watchdog;

/// The path by which a program opens its standard input anew, from its start.
pub const STANDARD_INPUT: &str = "/proc/self/fd/0";
/// Longest part of a program's error output that goes into a message, in bytes; the end counts.
const MESSAGE_BYTES_MAX: u64 = 600;
/// Between two looks whether a program has ended.
const POLL: Duration = Duration::from_millis(5);
/// Where administrators' and users' programs are on Debian, Red Hat and SUSE.
const DIRECTORIES: [&str; 4] = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];
/// The search path the started programs get for their own helpers.
const SEARCH_PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// Why a program did not do its work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProgramError {
    /// It is not installed.
    #[error("{name} is not in /usr/sbin, /usr/bin, /sbin or /bin{}", package(name))]
    Missing {
        /// Its name.
        name: String,
    },
    /// It cannot be started or waited for.
    #[error("start {path:?}")]
    Start {
        /// The program.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It ended with a failure.
    #[error("{path:?} failed ({status}): {message}")]
    Failed {
        /// The program.
        path: PathBuf,
        /// How it ended.
        status: ExitStatus,
        /// The end of what it wrote to standard error, in one line.
        message: String,
    },
    /// It took too long and was killed.
    #[error("{path:?} took longer than {} s", limit.as_secs())]
    TooSlow {
        /// The program.
        path: PathBuf,
        /// The limit.
        limit: Duration,
    },
}

/// Which package has a program, where it is not what one would guess, by the name it has in Debian, the
/// Red Hat family and SUSE.
fn package(program: &str) -> &'static str {
    match program {
        "tar2sqfs" | "sqfs2tar" => ": install the package squashfs-tools-ng",
        "mksquashfs" | "unsquashfs" | "sqfscat" => ": install the package squashfs-tools",
        _ => "",
    }
}

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

/// A started program. Dropped before [`Running::finish`], it and its children are killed; so they are
/// when its time is over, wherever its caller waits then.
#[derive(Debug)]
pub struct Running {
    path: PathBuf,
    child: Child,
    errors: File,
    limit: Duration,
    watchdog: Watchdog,
}

impl Running {
    /// The pipe to its standard input, once.
    pub fn input(&mut self) -> Option<std::process::ChildStdin> {
        self.child.stdin.take()
    }

    /// The pipe from its standard output, once.
    pub fn output(&mut self) -> Option<std::process::ChildStdout> {
        self.child.stdout.take()
    }

    /// Closes its input and waits for its end.
    ///
    /// # Errors
    /// When it fails or takes too long.
    pub fn finish(self) -> Result<(), ProgramError> {
        self.finish_telling(&mut |_| {})
    }

    fn finish_telling(mut self, tell: &mut dyn FnMut(&str)) -> Result<(), ProgramError> {
        drop(self.child.stdin.take());
        let mut told = 0;
        let status = loop {
            let ended = self
                .reap()
                .map_err(|source| ProgramError::Start { path: self.path.clone(), source })?;
            told += tell_new_lines(&self.errors, told, tell).unwrap_or(0);
            if let Some(status) = ended {
                break status;
            }
            std::thread::sleep(POLL);
        };
        if status.success() {
            return Ok(());
        }
        if self.watchdog.state().expired {
            return Err(ProgramError::TooSlow { path: self.path.clone(), limit: self.limit });
        }
        let message = last_words(&mut self.errors).unwrap_or_default();
        Err(ProgramError::Failed { path: self.path.clone(), status, message })
    }
}

impl Running {
    fn reap(&mut self) -> io::Result<Option<ExitStatus>> {
        let state = self.watchdog.state();
        let status = self.child.try_wait()?;
        if status.is_some() {
            self.watchdog.reaped(state);
        }
        Ok(status)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let state = self.watchdog.state();
        if state.reaped {
            return;
        }
        // The program leads its own process group: its helpers go with it.
        watchdog::kill(self.child.id());
        if let Err(error) = self.child.wait() {
            log::warn!("wait for {:?}: {error}", self.path);
        }
        self.watchdog.reaped(state);
    }
}

/// Hands on the whole lines from byte `from` on; gives their length. The program writes to the same
/// open file, so its position must not be moved.
fn tell_new_lines(errors: &File, from: u64, tell: &mut dyn FnMut(&str)) -> io::Result<u64> {
    let mut bytes = vec![0; 4096];
    let length = errors.read_at(&mut bytes, from)?;
    bytes.truncate(length);
    let Some(end) = bytes.iter().rposition(|byte| *byte == b'\n') else { return Ok(0) };
    bytes.truncate(end + 1);
    String::from_utf8_lossy(&bytes).lines().for_each(tell);
    Ok(u64::try_from(bytes.len()).unwrap_or(u64::MAX))
}

fn last_words(errors: &mut File) -> io::Result<String> {
    let length = errors.metadata()?.len();
    errors.seek(io::SeekFrom::Start(length.saturating_sub(MESSAGE_BYTES_MAX)))?;
    let mut bytes = Vec::new();
    errors.take(MESSAGE_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).split_whitespace().collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests;
