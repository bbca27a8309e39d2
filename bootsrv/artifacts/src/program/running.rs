//! A program that runs: its pipes, its end, and its last words.

use super::ProgramError;
use super::watchdog::{self, Watchdog};
use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::{Child, ExitStatus};
use std::time::Duration;

/// Longest part of a program's error output that goes into a message, in bytes; the end counts.
const MESSAGE_BYTES_MAX: u64 = 600;
/// Between two looks whether a program has ended.
const POLL: Duration = Duration::from_millis(5);

/// A started program. Dropped before [`Running::finish`], it and its children are killed; so they are
/// when its time is over, wherever its caller waits then.
#[derive(Debug)]
pub struct Running {
    pub(super) path: PathBuf,
    pub(super) child: Child,
    pub(super) errors: File,
    pub(super) limit: Duration,
    pub(super) watchdog: Watchdog,
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

    pub(super) fn finish_telling(mut self, tell: &mut dyn FnMut(&str)) -> Result<(), ProgramError> {
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
