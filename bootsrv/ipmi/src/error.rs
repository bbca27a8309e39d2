//! What can go wrong between us and a controller, sorted by what a caller would do about it.

use crate::completion::CompletionCode;
use std::fmt;
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
        !matches!(self, Self::Completion { .. })
    }

    /// Makes the error for an answer to `doing` out of what its parser found.
    pub(crate) fn malformed(doing: &'static str) -> impl FnOnce(Malformed) -> Self {
        move |source| Self::Malformed { doing, source }
    }
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

/// A status code of the handshake (IPMI 2.0, table 13-15).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionStatus(pub u8);

impl SessionStatus {
    pub(crate) const INVALID_ROLE: Self = Self(0x09);
    pub(crate) const UNAUTHORIZED_ROLE: Self = Self(0x0A);
    pub(crate) const INVALID_INTEGRITY_VALUE: Self = Self(0x0F);

    /// The standard name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self.0 {
            0x00 => "no error",
            0x01 => "insufficient resources to create a session",
            0x02 => "invalid session id",
            0x03 => "invalid payload type",
            0x04 => "invalid authentication algorithm",
            0x05 => "invalid integrity algorithm",
            0x06 => "no matching authentication payload",
            0x07 => "no matching integrity payload",
            0x08 => "inactive session id",
            0x09 => "invalid role",
            0x0A => "unauthorized role or privilege level requested",
            0x0B => "insufficient resources to create a session at the requested role",
            0x0C => "invalid name length",
            0x0D => "unauthorized name",
            0x0E => "unauthorized GUID",
            0x0F => "invalid integrity check value",
            0x10 => "invalid confidentiality algorithm",
            0x11 => "no cipher suite match with proposed security algorithms",
            0x12 => "illegal or unrecognized parameter",
            _ => "unknown status",
        }
    }

    /// The controller does not know the proposed algorithms: another suite may do.
    pub(crate) fn is_about_algorithms(self) -> bool {
        matches!(self.0, 0x04..=0x07 | 0x10 | 0x11)
    }

    /// The account may not have the privilege asked for: a lower one may do.
    pub(crate) fn is_about_role(self) -> bool {
        self == Self::INVALID_ROLE || self == Self::UNAUTHORIZED_ROLE
    }

    /// The account itself is wrong.
    pub(crate) fn is_about_account(self) -> bool {
        matches!(self.0, 0x09 | 0x0A | 0x0C | 0x0D | 0x0F)
    }
}

impl fmt::Display for SessionStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (0x{:02x})", self.name(), self.0)
    }
}

impl std::error::Error for SessionStatus {}

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
