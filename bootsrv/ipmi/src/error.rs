//! What can go wrong between us and a controller, sorted by what a caller would do about it.

mod status;

use crate::completion::CompletionCode;
pub use status::SessionStatus;
use std::net::SocketAddr;

/// Why a command or a connection failed.
#[derive(Debug, thiserror::Error)]
pub enum IpmiError {
    /// The account cannot be used with IPMI at all.
    #[error("controller account is unusable: {0}")]
    Account(&'static str),
    /// The controller's name has no address.
    #[error("cannot find the address of {host}")]
    Resolve {
        /// The name asked for.
        host: String,
        /// What the resolver said.
        #[source]
        source: std::io::Error,
    },
    /// No socket could be had or used.
    #[error("cannot send to the controller {addr}")]
    Socket {
        /// The controller.
        addr: SocketAddr,
        /// What the kernel said.
        #[source]
        source: std::io::Error,
    },
    /// The kernel gave no random numbers, so no session can be had.
    #[error("no random numbers")]
    Random(#[source] getrandom::Error),
    /// No answer in time. The controller may be down, or may have dropped our session.
    #[error("no answer from the controller {addr} to {doing} after {tries} tries")]
    Timeout {
        /// The controller.
        addr: SocketAddr,
        /// The question.
        doing: &'static str,
        /// How often it was sent.
        tries: u32,
        /// What the kernel said meanwhile, e.g. that nobody listens on the port.
        #[source]
        source: Option<std::io::Error>,
    },
    /// Wrong user, password or controller key: asking again does not help and may lock the account.
    #[error("the controller {addr} does not let user {user} in")]
    AuthenticationRefused {
        /// The controller.
        addr: SocketAddr,
        /// The account.
        user: String,
        /// Who found what.
        #[source]
        reason: Refusal,
    },
    /// The controller opens no session for another reason, e.g. because all are taken.
    #[error("the controller {addr} refuses {doing}")]
    SessionRefused {
        /// The controller.
        addr: SocketAddr,
        /// The step of the handshake.
        doing: &'static str,
        /// Its reason.
        #[source]
        status: SessionStatus,
    },
    /// The number is none of 17 and 3.
    #[error("cipher suite {0} is not one of 17 and 3")]
    UnknownCipherSuite(u8),
    /// The controller answered, but with an error.
    #[error("the controller did not do {command}")]
    Completion {
        /// The command.
        command: &'static str,
        /// Its error.
        #[source]
        code: CompletionCode,
    },
    /// Another session has the serial console: somebody looks at it, or a capture was not ended.
    #[error("the serial console of {addr} is in use by another session")]
    ConsoleInUse {
        /// The controller.
        addr: SocketAddr,
    },
    /// The controller ended the serial console: another session took it, or the system's serial
    /// port went away.
    #[error("the controller {addr} ended the serial console")]
    ConsoleEnded {
        /// The controller.
        addr: SocketAddr,
    },
    /// An answer does not follow the specification.
    #[error("the answer to {doing} is malformed")]
    Malformed {
        /// The question.
        doing: &'static str,
        /// What is wrong with it.
        #[source]
        source: Malformed,
    },
}

impl IpmiError {
    /// The completion code, if the controller answered with one.
    #[must_use]
    pub fn completion_code(&self) -> Option<CompletionCode> {
        if let Self::Completion { code, .. } = self { Some(*code) } else { None }
    }

    /// `false`: the session still works, only this command failed. `true`: connect again.
    #[must_use]
    pub fn session_is_lost(&self) -> bool {
        !matches!(self, Self::Completion { .. } | Self::ConsoleInUse { .. })
    }

    /// What to do about it.
    ///
    /// Sources: IPMI 2.0, tables 5-2 and 13-15; the completion codes that OpenStack Ironic asks
    /// again after (node busy, timeout, out of space, initialization in progress, and no resources
    /// for a session), which it collected in the field.
    #[must_use]
    pub fn trouble(&self) -> Trouble {
        match self {
            Self::Timeout { .. } | Self::Socket { .. } | Self::Resolve { .. } => Trouble::NoAnswer,
            Self::AuthenticationRefused { .. } | Self::Account(_) => Trouble::Refused,
            Self::SessionRefused { status, .. } => status.trouble(),
            Self::UnknownCipherSuite(_) => Trouble::Unsupported,
            Self::Completion { code, .. } => code.trouble(),
            Self::ConsoleInUse { .. } => Trouble::Busy,
            Self::Random(_) | Self::Malformed { .. } | Self::ConsoleEnded { .. } => Trouble::Broken,
        }
    }

    /// Makes the error for an answer to `doing` out of what its parser found.
    pub(crate) fn malformed(doing: &'static str) -> impl FnOnce(Malformed) -> Self {
        move |source| Self::Malformed { doing, source }
    }
}

/// What to do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Trouble {
    /// No answer: ask again later; the network or the controller may be away.
    NoAnswer,
    /// It cannot now: ask again soon.
    Busy,
    /// It does not let us. Never ask again by itself: that may lock the account.
    Refused,
    /// It cannot do that at all: asking again does not help.
    Unsupported,
    /// Its answer makes no sense, or it failed at it.
    Broken,
}

/// Who refused the login, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The controller does not know the password we know (its proof in RAKP 2 is wrong).
    #[error("wrong password")]
    WrongPassword,
    /// The password is right, but the session keys differ (the proof in RAKP 4 is wrong).
    #[error("wrong controller key (K_G)")]
    WrongControllerKey,
    /// The controller said so itself.
    #[error("{0}")]
    ByController(SessionStatus),
}

/// How an answer breaks the specification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// It ends too early.
    #[error("ends before its {field}")]
    Short {
        /// The first field that is not there.
        field: &'static str,
    },
    /// A field has a value it cannot have.
    #[error("{field} cannot be 0x{found:x}")]
    Value {
        /// The field.
        field: &'static str,
        /// What it holds.
        found: u32,
    },
    /// A length field does not fit the packet.
    #[error("length of {field} does not fit the packet")]
    Length {
        /// The field.
        field: &'static str,
    },
    /// A checksum of the message is wrong.
    #[error("wrong checksum over the {field}")]
    Checksum {
        /// What the checksum covers.
        field: &'static str,
    },
    /// The packet is not signed with the session's key.
    #[error("wrong integrity code")]
    Integrity,
    /// The packet is in the clear or unsigned although the session is neither.
    #[error("not encrypted and authenticated")]
    Unprotected,
    /// Thousands of packets came, none of them the answer.
    #[error("too many packets that answer nothing")]
    Flood,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_sorted_by_what_to_do() {
        use Trouble::{Broken, Busy, NoAnswer, Refused, Unsupported};
        let addr = SocketAddr::from(([127, 0, 0, 1], 623));
        let completion = |code| IpmiError::Completion { command: "x", code: CompletionCode(code) };
        let session =
            |status| IpmiError::SessionRefused { addr, doing: "x", status: SessionStatus(status) };
        let login = |status| {
            let reason = Refusal::ByController(SessionStatus(status));
            IpmiError::AuthenticationRefused { addr, user: String::new(), reason }
        };
        let timeout = IpmiError::Timeout { addr, doing: "x", tries: 1, source: None };
        for (error, wanted) in [
            (timeout, NoAnswer),
            (completion(0xC0), Busy),
            (completion(0xC3), Busy),
            (completion(0xC4), Busy),
            (completion(0xCF), Busy),
            (completion(0xD1), Busy),
            (completion(0xD2), Busy),
            (completion(0xD4), Refused),
            (completion(0xC1), Unsupported),
            (completion(0xCC), Unsupported),
            (completion(0xD6), Unsupported),
            (completion(0xD5), Broken),
            (completion(0xFF), Broken),
            (completion(0x80), Broken),
            (session(0x01), Busy),
            (session(0x0B), Busy),
            (session(0x0A), Refused),
            (session(0x11), Unsupported),
            (session(0xEE), Broken),
            (login(0x0D), Refused),
            (login(0x0A), Refused),
            (IpmiError::Account("x"), Refused),
            (IpmiError::UnknownCipherSuite(0), Unsupported),
            (IpmiError::ConsoleInUse { addr }, Busy),
            (IpmiError::Malformed { doing: "x", source: Malformed::Flood }, Broken),
        ] {
            assert_eq!(error.trouble(), wanted, "{error:?}");
        }
    }
}
