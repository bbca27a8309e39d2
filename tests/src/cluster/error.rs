//! What can go wrong with a virtual cluster.

use std::io;
use std::path::PathBuf;

/// Why the virtual cluster could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// `up` while it is up.
    #[error("the cluster in {dir} is already up (process {pid}); end it with `vcluster down`")]
    AlreadyUp {
        /// The run directory.
        dir: PathBuf,
        /// The process that holds its namespaces.
        pid: u32,
    },
    /// Anything but `up` while it is not up.
    #[error("no cluster is up in {dir}; start it with `vcluster up`")]
    NotUp {
        /// The run directory.
        dir: PathBuf,
    },
    /// An option breaks a rule.
    #[error("{what} cannot be used: {rule}")]
    BadOption {
        /// The option and its value.
        what: String,
        /// The rule, as the end of a sentence.
        rule: String,
    },
    /// A file or directory.
    #[error("cannot {doing} {}", path.display())]
    File {
        /// What we were doing, e.g. `write`.
        doing: &'static str,
        /// To which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A program could not be started at all.
    #[error("cannot start {program}")]
    Start {
        /// The program.
        program: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A program ran and failed.
    #[error("{program} failed ({status}): {output}")]
    Failed {
        /// The program and its arguments.
        program: String,
        /// How it ended.
        status: String,
        /// What it printed, cut to one line of 500 characters.
        output: String,
    },
    /// A part did not come up in time.
    #[error("{what} was not ready within {seconds} s; {hint}")]
    NotReady {
        /// The part.
        what: String,
        /// How long we waited, in seconds.
        seconds: u64,
        /// Where to look, as a clause.
        hint: String,
    },
    /// Something of the cluster outlived it.
    #[error("processes {pids:?} are still in the cluster's namespaces {seconds} s after its end")]
    LeftOver {
        /// Their process ids.
        pids: Vec<u32>,
        /// How long we waited, in seconds.
        seconds: u64,
    },
    /// A file of the run directory says something that we never write.
    #[error("{} is damaged: {rule}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was expected.
        rule: String,
    },
}

/// The result of everything that can go wrong with a virtual cluster.
pub type Result<T> = std::result::Result<T, ClusterError>;

/// Turns an input/output error into ours: `.map_err(file("read", &path))`.
pub(crate) fn file(
    doing: &'static str,
    path: impl Into<PathBuf>,
) -> impl FnOnce(io::Error) -> ClusterError {
    let path = path.into();
    move |source| ClusterError::File { doing, path, source }
}
