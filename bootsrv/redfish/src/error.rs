//! What can go wrong between us and a service, sorted by what a caller would do about it.

use std::error::Error as StdError;
use std::time::Duration;

/// A request that failed. Its text names the service, what was asked and what the service said.
#[derive(Debug, thiserror::Error)]
#[error("{host}: {asked}: {what}")]
pub struct RedfishError {
    /// The service, `host[:port]`.
    pub host: String,
    /// What was asked: method and path, or the thing that was looked for.
    pub asked: String,
    /// What a caller would do.
    pub kind: ErrorKind,
    /// What happened, with the service's own words where it had some.
    pub what: String,
    /// Of the answer, if there was one.
    pub(crate) status: Option<u16>,
    #[source]
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// What a caller would do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// No answer, or no whole one: the service or the way to it is away. Whether a command was
    /// carried out is not known: look.
    NoAnswer,
    /// Worth another try: the service or the thing is busy, or its sessions are used up.
    Busy {
        /// Not before this time, if the service named one.
        retry_after: Option<Duration>,
    },
    /// It does not let us in, or is not the one we know. Asking again may lock the account.
    Refused,
    /// We are not logged in, or not any more, and this call does not log in: another has to come first.
    LoggedOut,
    /// It cannot do that, or does not have that.
    Unsupported,
    /// It understood, and failed or declined; asking the same again is unlikely to help.
    Failed,
    /// Its answer makes no sense.
    Malformed,
    /// Our own settings for it are unusable; nothing was sent, or nothing that they name is there.
    Misconfigured,
}

impl RedfishError {
    pub(crate) fn new(
        host: impl Into<String>,
        asked: impl Into<String>,
        kind: ErrorKind,
        what: impl Into<String>,
    ) -> Self {
        let (host, asked, what) = (host.into(), asked.into(), what.into());
        Self { host, asked, kind, what, status: None, source: None }
    }

    pub(crate) fn with_source(self, source: impl StdError + Send + Sync + 'static) -> Self {
        Self { source: Some(Box::new(source)), ..self }
    }

    pub(crate) fn with_status(self, status: u16) -> Self {
        Self { status: Some(status), ..self }
    }

    pub(crate) fn with_kind(self, kind: ErrorKind) -> Self {
        Self { kind, ..self }
    }

    /// The service says that there is no such thing.
    pub(crate) fn is_missing(&self) -> bool {
        matches!(self.status, Some(404 | 410))
    }
}
