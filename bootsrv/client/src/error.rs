//! Why a call gave no answer, and whose fault that is. The only place that turns transport trouble
//! into an [`ErrorKind`].

use munge::MungeError;
use protocol::error::{ApiError, ErrorKind};
use std::path::PathBuf;

/// A call that did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// bootsrv refused the request and said why.
    #[error(transparent)]
    Refused(#[from] ApiError),
    /// bootsrv was not reached, or the answer did not arrive in time.
    #[error("bootsrv at {url} does not answer")]
    Transport {
        /// The whole URL that was asked.
        url: String,
        /// What went wrong on the way.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// No credential for the request.
    #[error("cannot sign the request to {url}")]
    Credential {
        /// The whole URL.
        url: String,
        /// munge's reason.
        #[source]
        source: MungeError,
    },
    /// Somebody answered, but not in bootsrv's words: another program, a proxy, another version.
    #[error("{url} answered with status {status} and {what}")]
    Foreign {
        /// The whole URL.
        url: String,
        /// HTTP status code.
        status: u16,
        /// What the body was.
        what: String,
    },
    /// The request could not be written.
    #[error("cannot write the request to {url}")]
    Encode {
        /// The whole URL.
        url: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// A file to be sent could not be read, or changed while it was sent.
    #[error("cannot send {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl ClientError {
    /// Whose fault it is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Refused(error) => error.kind,
            Self::Transport { .. } => ErrorKind::Busy,
            // munged restarts as any daemon does.
            Self::Credential { source: MungeError::Unreachable(_), .. } => ErrorKind::Busy,
            Self::Credential { .. } => ErrorKind::Site,
            // What a proxy says while bootsrv restarts behind it.
            Self::Foreign { status: 502..=504, .. } => ErrorKind::Busy,
            Self::Foreign { .. } => ErrorKind::Site,
            Self::Encode { .. } => ErrorKind::Internal,
            Self::File { .. } => ErrorKind::User,
        }
    }

    /// bootsrv's own hint, if it gave one.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        if let Self::Refused(error) = self { error.hint.as_deref() } else { None }
    }

    /// The whole chain in one line, for a log or a comment.
    #[must_use]
    pub fn chain(&self) -> String {
        chain(self)
    }
}

/// An error with its causes in one line, joined with `: `.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_follow_the_fault() {
        let url = || "http://h/v1/jobs".to_owned();
        let foreign = |status| ClientError::Foreign { url: url(), status, what: String::new() };
        let credential = |source| ClientError::Credential { url: url(), source };
        let transport =
            ClientError::Transport { url: url(), source: Box::new(ureq::Error::HostNotFound) };
        for (error, kind) in [
            (ApiError::new(ErrorKind::Forbidden, "no").into(), ErrorKind::Forbidden),
            (transport, ErrorKind::Busy),
            (foreign(503), ErrorKind::Busy),
            (foreign(404), ErrorKind::Site),
            (credential(MungeError::Unreachable("x".into())), ErrorKind::Busy),
            (credential(MungeError::Nul("payload")), ErrorKind::Site),
        ] {
            assert_eq!(error.kind(), kind, "{error}");
        }
    }

    #[test]
    fn the_chain_names_the_url_once() {
        let source = Box::new(ureq::Error::HostNotFound);
        let error = ClientError::Transport { url: "http://h:1/v1/jobs/7".into(), source };
        let chain = error.chain();
        assert!(chain.starts_with("bootsrv at http://h:1/v1/jobs/7 does not answer: "), "{chain}");
    }
}
