//! The one place that starts other programs: absolute path, empty environment, a time limit.
//!
//! Standard error is kept for the message of a failure. It must not know what the programs do.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

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
    #[error("{name} is not in /usr/sbin, /usr/bin, /sbin or /bin")]
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

/// A program about to be run.
#[derive(Debug)]
pub struct Program {
    path: PathBuf,
    command: Command,
    limit: Duration,
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
        Ok(Self { path, command, limit })
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
            let child = self.command.stdin(input).stderr(errors.try_clone()?).spawn()?;
            Ok((child, errors))
        };
        let (child, errors) =
            started().map_err(|source| ProgramError::Start { path: self.path.clone(), source })?;
        let deadline = Instant::now() + self.limit;
        Ok(Running { path: self.path, child, errors, limit: self.limit, deadline, ended: false })
    }
}

/// A started program. Dropped before [`Running::finish`], it and its children are killed.
#[derive(Debug)]
pub struct Running {
    path: PathBuf,
    child: Child,
    errors: File,
    limit: Duration,
    deadline: Instant,
    ended: bool,
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
                .child
                .try_wait()
                .map_err(|source| ProgramError::Start { path: self.path.clone(), source })?;
            told += tell_new_lines(&self.errors, told, tell).unwrap_or(0);
            if let Some(status) = ended {
                self.ended = true;
                break status;
            }
            if Instant::now() >= self.deadline {
                return Err(ProgramError::TooSlow { path: self.path.clone(), limit: self.limit });
            }
            std::thread::sleep(POLL);
        };
        if status.success() {
            return Ok(());
        }
        let message = last_words(&mut self.errors).unwrap_or_default();
        Err(ProgramError::Failed { path: self.path.clone(), status, message })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        // The program leads its own process group: its helpers go with it.
        if let Some(group) =
            i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw)
            && let Err(error) =
                rustix::process::kill_process_group(group, rustix::process::Signal::KILL)
        {
            log::warn!("kill {:?}: {error}", self.path);
        }
        if let Err(error) = self.child.wait() {
            log::warn!("wait for {:?}: {error}", self.path);
        }
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
mod tests {
    use super::*;

    fn shell(script: &str, limit: Duration) -> Result<(), ProgramError> {
        Program::find("sh", limit)?.args(["-c", script]).run()
    }

    #[test]
    fn each_line_is_told_once() {
        let mut lines = Vec::new();
        let script = "echo one >&2; sleep 0.1; echo two >&2; printf half >&2";
        let program = Program::find("sh", Duration::from_secs(60)).unwrap().args(["-c", script]);
        program.run_telling(&mut |line| lines.push(line.to_owned())).unwrap();
        assert_eq!(lines, ["one", "two"]);
    }

    #[test]
    fn failures_are_told_in_one_line_and_slow_programs_are_killed() {
        let minute = Duration::from_secs(60);
        shell("true", minute).unwrap();
        let error = shell("echo 'no  space\nleft' >&2; exit 3", minute).unwrap_err().to_string();
        assert!(error.ends_with("(exit status: 3): no space left"), "{error}");
        let error = shell("sleep 50 & wait", Duration::from_millis(50)).unwrap_err();
        assert!(matches!(error, ProgramError::TooSlow { .. }), "{error}");
        assert!(matches!(
            Program::find("no-such-program", minute),
            Err(ProgramError::Missing { .. })
        ));
    }
}
