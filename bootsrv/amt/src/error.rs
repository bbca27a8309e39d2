//! Errors, sorted by what the caller does about them.

use crate::digest::LoginError;
use crate::power::Action;
use crate::soap::Fault;
use crate::tls::TlsTrouble;
use crate::xml::XmlError;
use reqwest::StatusCode;
use std::fmt;
use std::time::Duration;

/// What follows from an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// No answer: the controller or the way to it is away.
    NoAnswer,
    /// It is busy, or not in a state for it right now: worth another attempt soon.
    Busy,
    /// It does not let us, or is not who it must be: user, password, realm, certificate. Asking again
    /// with the same changes nothing.
    Refused,
    /// It cannot do that at all.
    Unsupported,
    /// Its answer makes no sense, or it failed at it.
    Malformed,
}

/// What was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Asked {
    /// Who it is.
    Identity,
    /// Its power state.
    Power,
    /// A change of power.
    Switch(Action),
    /// Its boot settings.
    ReadBootSettings,
    /// To forget what was chosen for the next boot.
    ClearBootSource,
    /// Boot settings without anything special.
    ClearBootSettings,
    /// To use the boot configuration for one boot.
    UseBootConfiguration,
    /// The network as the next boot's source.
    ChooseNetwork,
}

/// A controller did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[error("{host} (Intel AMT) was asked {asked}")]
pub struct AmtError {
    /// Host and port.
    pub host: String,
    /// What it was asked.
    pub asked: Asked,
    /// What came of it.
    #[source]
    pub cause: Cause,
}

/// What came of a question.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// No connection, or it broke.
    #[error("there is no answer")]
    Transport(#[source] reqwest::Error),
    /// Nothing for too long.
    #[error("there is no answer within {} s", .0.as_secs_f32())]
    Late(Duration),
    /// What it sends is not HTTP.
    #[error("it does not speak HTTP there")]
    NotHttp(#[source] reqwest::Error),
    /// TLS came to nothing.
    #[error(transparent)]
    Tls(TlsTrouble),
    /// It wants no login that we know, or its challenge makes no sense.
    #[error(transparent)]
    Login(LoginError),
    /// User or password.
    #[error("it refuses the user or the password")]
    Credentials,
    /// An HTTP status without a WS-Management answer.
    #[error("it answers with HTTP status {0}")]
    Http(StatusCode),
    /// A WS-Management fault.
    #[error(transparent)]
    Fault(Fault),
    /// A method ran and failed.
    #[error("{method} returned {value} ({})", .meaning.words())]
    Returned {
        /// Name of the method.
        method: &'static str,
        /// Its ReturnValue.
        value: u32,
        /// What that means.
        meaning: ReturnMeaning,
    },
    /// It lists what it can do now, and this is not among it.
    #[error("it cannot do that now: it lists the power states {0:?}")]
    NotListed(Vec<u16>),
    /// Longer than we read.
    #[error("its answer is longer than {0} bytes")]
    TooLong(usize),
    /// Not XML as we read it.
    #[error("its answer cannot be read: {0}")]
    Xml(XmlError),
    /// XML, but not the answer to this question.
    #[error("its answer lacks {0}")]
    Lacks(&'static str),
}

/// What a ReturnValue means, as far as the caller cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReturnMeaning {
    /// Not ready, in use, timeout, or not possible in the present state.
    Busy,
    /// Not permitted.
    Refused,
    /// Not supported, or a parameter is unknown to it.
    Unsupported,
    /// Anything else.
    Failed,
}

impl ReturnMeaning {
    const fn words(self) -> &'static str {
        match self {
            Self::Busy => "busy, or not possible in its present state",
            Self::Refused => "not permitted",
            Self::Unsupported => "not supported",
            Self::Failed => "failed",
        }
    }
}

impl AmtError {
    /// What follows from it.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.cause.kind()
    }
}

impl Cause {
    /// What follows from it.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Transport(_) | Self::Late(_) => Kind::NoAnswer,
            Self::Tls(trouble) => trouble.kind(),
            Self::Login(error) => error.kind(),
            Self::Credentials => Kind::Refused,
            Self::Http(status) => of_status(*status),
            Self::Fault(fault) => fault.kind(),
            Self::Returned { meaning, .. } => match meaning {
                ReturnMeaning::Busy => Kind::Busy,
                ReturnMeaning::Refused => Kind::Refused,
                ReturnMeaning::Unsupported => Kind::Unsupported,
                ReturnMeaning::Failed => Kind::Malformed,
            },
            Self::NotListed(_) => Kind::Unsupported,
            Self::NotHttp(_) | Self::TooLong(_) | Self::Xml(_) | Self::Lacks(_) => Kind::Malformed,
        }
    }
}

/// An HTTP status that came without a fault.
fn of_status(status: StatusCode) -> Kind {
    match status.as_u16() {
        // 408, 425, 429: too slow, too early, too many.
        408 | 425 | 429 | 503 | 504 => Kind::Busy,
        401 | 403 => Kind::Refused,
        // 404: no WS-Management there, e.g. AMT that is not provisioned.
        404 | 405 | 501 => Kind::Unsupported,
        _ => Kind::Malformed,
    }
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Identity => "who it is",
            Self::Power => "for the power state",
            Self::Switch(Action::On) => "to switch the node on",
            Self::Switch(Action::SoftOff) => "to let the node shut down",
            Self::Switch(Action::Off) => "to switch the node off",
            Self::Switch(Action::Cycle) => "to switch the node off and on",
            Self::Switch(Action::Reset) => "to reset the node",
            Self::ReadBootSettings => "for its boot settings",
            Self::ClearBootSource => "to clear the source of the next boot",
            Self::ClearBootSettings => "to clear its boot settings",
            Self::UseBootConfiguration => "to use the boot configuration once",
            Self::ChooseNetwork => "to boot from the network once",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_says_what_to_do() {
        for (status, kind) in [
            (503, Kind::Busy),
            (429, Kind::Busy),
            (403, Kind::Refused),
            (404, Kind::Unsupported),
            (500, Kind::Malformed),
            (302, Kind::Malformed),
            (200, Kind::Malformed),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(Cause::Http(status).kind(), kind, "{status}");
        }
    }

    #[test]
    fn an_error_names_the_controller_the_question_and_the_answer() {
        let cause = Cause::Returned { method: "M", value: 2, meaning: ReturnMeaning::Busy };
        let error = AmtError { host: "c:16992".into(), asked: Asked::Switch(Action::Reset), cause };
        assert_eq!(error.to_string(), "c:16992 (Intel AMT) was asked to reset the node");
        let cause = std::error::Error::source(&error).unwrap();
        assert_eq!(cause.to_string(), "M returned 2 (busy, or not possible in its present state)");
        assert_eq!(error.kind(), Kind::Busy);
    }
}
