//! The body of every refused request, and the one classification of errors everything else hangs on.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Whose fault it is, which decides status code, exit code, log level and what happens to the job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// The request is wrong: the job is held, HTTP 400.
    User,
    /// The caller may not: HTTP 403. For a job: held, like `User`.
    Forbidden,
    /// A clash or not now: retry, HTTP 409.
    Busy,
    /// Hardware or the site's configuration: the node is drained, HTTP 503.
    Site,
    /// Our bug: HTTP 500.
    Internal,
}

impl ErrorKind {
    /// Exit code of our commands, after sysexits(3) where it has one.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::User => 2,
            Self::Busy => 3,
            Self::Site => 4,
            Self::Internal => 70,
            Self::Forbidden => 77,
        }
    }
}

/// A refused request: what, which, why and what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiError {
    /// Whose fault.
    pub kind: ErrorKind,
    /// One line, lower case, no full stop: the thing and the cause.
    pub message: String,
    /// A whole sentence that says what to do, if there is something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl ApiError {
    /// An error without a hint.
    #[must_use]
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: None }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        self.hint.as_ref().map_or(Ok(()), |hint| write!(f, ". {hint}"))
    }
}

impl std::error::Error for ApiError {}
