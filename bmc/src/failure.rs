//! From an error to its one line and its exit code. The only place that knows both.

use crate::output::ReaderGone;
use bootsrv_client::{ClientError, ConfigError};
use protocol::error::{ApiError, ErrorKind};

/// What is left to do when a verb failed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// For standard error, without line end; `None`: end quietly.
    pub(crate) message: Option<String>,
    /// The process' exit code.
    pub(crate) exit_code: u8,
}

impl Failure {
    /// Classifies an error by the first cause that has a kind; one without is the caller's.
    pub(crate) fn of(error: &anyhow::Error) -> Self {
        if error.chain().any(|cause| cause.is::<ReaderGone>()) {
            return Self { message: None, exit_code: 0 };
        }
        let kind = error.chain().find_map(kind_of).unwrap_or(ErrorKind::User);
        let causes: Vec<String> = error.chain().map(ToString::to_string).collect();
        Self { message: Some(format!("bmc: {}", causes.join(": "))), exit_code: kind.exit_code() }
    }
}

/// Whose fault a cause is, where the cause itself tells.
fn kind_of(cause: &(dyn std::error::Error + 'static)) -> Option<ErrorKind> {
    let asked = cause.downcast_ref::<ClientError>().map(ClientError::kind);
    let refused = cause.downcast_ref::<ApiError>().map(|error| error.kind);
    // A client.toml that is missing or wrong is the site's configuration.
    let config = cause.downcast_ref::<ConfigError>().map(|_| ErrorKind::Site);
    asked.or(refused).or(config)
}

/// An error that the caller can mend, with what to do about it.
pub(crate) fn refused(message: impl Into<String>, hint: impl Into<String>) -> anyhow::Error {
    ApiError::new(ErrorKind::User, message).hint(hint).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn the_kind_decides_the_exit_code_whatever_stands_around_it() {
        for (kind, exit_code) in [
            (ErrorKind::User, 2),
            (ErrorKind::Busy, 3),
            (ErrorKind::Site, 4),
            (ErrorKind::Internal, 70),
            (ErrorKind::Forbidden, 77),
        ] {
            let error: anyhow::Result<()> =
                Err(ApiError::new(kind, "kernel \"x\" is unknown").into());
            let failure = Failure::of(&error.context("cannot show it").unwrap_err());
            let message = Some("bmc: cannot show it: kernel \"x\" is unknown".to_owned());
            assert_eq!(failure, Failure { message, exit_code });
        }
    }

    #[test]
    fn what_the_server_refused_keeps_its_kind_and_its_hint() {
        let refused = ApiError::new(ErrorKind::Busy, "node n1 is booting").hint("Try later.");
        let failure = Failure::of(&ClientError::from(refused).into());
        let message = Some("bmc: node n1 is booting. Try later.".to_owned());
        assert_eq!(failure, Failure { message, exit_code: 3 });
    }

    #[test]
    fn a_missing_configuration_is_the_sites() {
        let missing = bootsrv_client::ClientConfig::load("/nonexistent".as_ref()).unwrap_err();
        assert_eq!(Failure::of(&missing.into()).exit_code, 4);
    }

    #[test]
    fn a_file_that_cannot_be_read_is_the_callers_mistake() {
        let error = anyhow::Error::from(std::io::Error::other("gone")).context("cannot read x");
        assert_eq!(Failure::of(&error).exit_code, 2);
        assert_eq!(Failure::of(&error).message.as_deref(), Some("bmc: cannot read x: gone"));
    }

    #[test]
    fn a_reader_that_left_is_no_failure() {
        let failure = Failure::of(&anyhow::Error::from(ReaderGone));
        assert_eq!(failure, Failure { message: None, exit_code: 0 });
    }

    #[test]
    fn a_broken_pipe_elsewhere_is_not_taken_for_a_reader_that_left() {
        let pipe = std::io::Error::from(std::io::ErrorKind::BrokenPipe);
        assert_eq!(Failure::of(&pipe.into()).exit_code, 2);
    }
}
