//! Status codes of the handshake: how a controller says that it opens no session.

use super::Trouble;
use std::fmt;

/// A status code of the handshake (IPMI 2.0, table 13-15).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionStatus(pub u8);

impl SessionStatus {
    /// All sessions are taken.
    pub const INSUFFICIENT_RESOURCES: Self = Self(0x01);
    pub(crate) const INVALID_ROLE: Self = Self(0x09);
    pub(crate) const UNAUTHORIZED_ROLE: Self = Self(0x0A);
    /// No account has this name.
    pub const UNAUTHORIZED_NAME: Self = Self(0x0D);
    pub(crate) const INVALID_INTEGRITY_VALUE: Self = Self(0x0F);
    /// The controller does not know the cipher suite.
    pub const NO_CIPHER_SUITE_MATCH: Self = Self(0x11);

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

    /// What to do about it; see `IpmiError::trouble`.
    pub(super) fn trouble(self) -> Trouble {
        match self.0 {
            // The second: a handshake whose first steps it has forgotten meanwhile.
            0x01 | 0x0B | 0x02 | 0x08 => Trouble::Busy,
            0x09 | 0x0A | 0x0C | 0x0D | 0x0E | 0x0F => Trouble::Refused,
            0x03..=0x07 | 0x10..=0x12 => Trouble::Unsupported,
            _ => Trouble::Broken,
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
