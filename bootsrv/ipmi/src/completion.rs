//! Completion codes: how a controller says whether it did a command. Knows names only.

use crate::error::Trouble;
use std::fmt;

/// The first byte of every answer, other than 0 (IPMI 2.0, table 5-2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CompletionCode(pub u8);

impl CompletionCode {
    /// The controller has no room for the command now.
    pub const NODE_BUSY: Self = Self(0xC0);
    /// The controller does not know the command.
    pub const INVALID_COMMAND: Self = Self(0xC1);
    /// A reservation was cancelled by another client, or its number is wrong.
    pub const RESERVATION_CANCELLED: Self = Self(0xC5);
    /// The question's data is too short or too long.
    pub const REQUEST_LENGTH: Self = Self(0xC7);
    /// The piece asked for is too long.
    pub const CANNOT_RETURN_REQUESTED_BYTES: Self = Self(0xCA);
    /// The sensor or record is not there.
    pub const NOT_PRESENT: Self = Self(0xCB);
    /// A field of the question has a value that the controller does not take.
    pub const INVALID_DATA_FIELD: Self = Self(0xCC);
    /// The session's privilege is too low.
    pub const INSUFFICIENT_PRIVILEGE: Self = Self(0xD4);
    /// Not possible in the present state, e.g. a reset of a system that is off.
    pub const NOT_IN_PRESENT_STATE: Self = Self(0xD5);

    /// The standard name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self.0 {
            0x00 => "command completed normally",
            0xC0 => "node busy",
            0xC1 => "invalid command",
            0xC2 => "command invalid for given LUN",
            0xC3 => "timeout while processing command",
            0xC4 => "out of space",
            0xC5 => "reservation cancelled or invalid reservation id",
            0xC6 => "request data truncated",
            0xC7 => "request data length invalid",
            0xC8 => "request data field length limit exceeded",
            0xC9 => "parameter out of range",
            0xCA => "cannot return number of requested data bytes",
            0xCB => "requested sensor, data, or record not present",
            0xCC => "invalid data field in request",
            0xCD => "command illegal for specified sensor or record type",
            0xCE => "command response could not be provided",
            0xCF => "cannot execute duplicated request",
            0xD0 => "SDR repository in update mode",
            0xD1 => "device in firmware update mode",
            0xD2 => "controller initialization in progress",
            0xD3 => "destination unavailable",
            0xD4 => "insufficient privilege level",
            0xD5 => "command not supported in present state",
            0xD6 => "command sub-function disabled or unavailable",
            0xFF => "unspecified error",
            0x01..=0x7E => "device specific (OEM) error",
            0x80..=0xBE => "command specific error",
            _ => "reserved completion code",
        }
    }

    /// What was asked for does not exist; controllers differ in how they say it.
    pub(crate) fn is_not_there(self) -> bool {
        matches!(self.0, 0xC9 | 0xCB | 0xCC)
    }

    /// What to do about a command that ended with it; see `IpmiError::trouble`.
    pub(crate) fn trouble(self) -> Trouble {
        match self.0 {
            0xC0 | 0xC3..=0xC5 | 0xCE..=0xD2 => Trouble::Busy,
            0xD4 => Trouble::Refused,
            0xC1 | 0xC2 | 0xC7..=0xCD | 0xD6 => Trouble::Unsupported,
            // Also "not in the present state": neither now nor never.
            _ => Trouble::Broken,
        }
    }
}

impl fmt::Display for CompletionCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (0x{:02x})", self.name(), self.0)
    }
}

impl std::error::Error for CompletionCode {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_name() {
        assert_eq!(CompletionCode(0xD4).to_string(), "insufficient privilege level (0xd4)");
        assert_eq!(CompletionCode(0x80).name(), "command specific error");
        assert_eq!(CompletionCode(0x7F).name(), "reserved completion code");
        assert!((0..=u8::MAX).all(|code| !CompletionCode(code).name().is_empty()));
    }
}
