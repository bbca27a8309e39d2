//! Why a program did not do its work, in words.

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

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
