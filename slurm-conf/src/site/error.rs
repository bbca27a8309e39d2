//! Why a site file is refused.

use std::path::{Path, PathBuf};

/// A value of the site file that cannot work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Line, from 1, where it is known.
    pub line: Option<usize>,
    /// The key and what is wrong with it.
    pub text: String,
}

/// Why a site file was refused.
#[derive(Debug, thiserror::Error)]
pub enum SiteError {
    /// It cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is not TOML, or has a key that does not exist.
    #[error("{}:{line}: {message}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// What is wrong there.
        message: String,
    },
    /// Values that cannot work; all of them.
    #[error("{}", problem_lines(path, problems))]
    Values {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problems: Vec<Problem>,
    },
}

fn problem_lines(path: &Path, problems: &[Problem]) -> String {
    let line = |problem: &Problem| match problem.line {
        Some(line) => format!("{}:{line}: {}", path.display(), problem.text),
        None => format!("{}: {}", path.display(), problem.text),
    };
    problems.iter().map(line).collect::<Vec<_>>().join("\n")
}
