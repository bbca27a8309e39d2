//! What can go wrong between us and a unit, sorted by what a caller would do about it.

use async_snmp::{Error as SnmpError, ErrorKind, ErrorStatus, Oid};
use std::fmt;

/// Why an outlet was not switched or read.
#[derive(Debug)]
pub struct PduError {
    /// What follows from it.
    pub trouble: Trouble,
    /// The unit, as it was given to us.
    pub host: String,
    /// The object that was written or read; `None`: it did not come to that.
    pub oid: Option<String>,
    /// What the SNMP library says.
    source: Option<Box<SnmpError>>,
}

/// What follows from an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Trouble {
    /// It did not answer in time, or its name has no address. With SNMP v2c a wrong community looks
    /// just like that.
    NoAnswer,
    /// It cannot do that now: worth another attempt soon.
    Busy,
    /// It does not let us: wrong user, password or key (v3), or a community that may not write.
    Refused,
    /// It has no such outlet, or is not of that model.
    Unsupported,
    /// Its answer makes no sense.
    Malformed,
    /// It took the command, but the outlet did not follow in time.
    Ignored,
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoAnswer => "no answer (is it up, and is the SNMP community or user right?)",
            Self::Busy => "busy",
            Self::Refused => "refused (may this SNMP community or user write?)",
            Self::Unsupported => "no such object (is the model right, and the outlet's number?)",
            Self::Malformed => "the answer makes no sense",
            Self::Ignored => "the outlet did not switch",
        })
    }
}

impl PduError {
    pub(crate) fn new(trouble: Trouble, host: &str, oid: Option<&Oid>) -> Self {
        Self { trouble, host: host.to_owned(), oid: oid.map(Oid::to_string), source: None }
    }

    /// From before anything was asked: a name without an address, no socket.
    pub(crate) fn connecting(host: &str, source: Box<SnmpError>) -> Self {
        Self { source: Some(source), ..Self::new(Trouble::NoAnswer, host, None) }
    }

    /// From a question about `oid`.
    pub(crate) fn asking(host: &str, oid: &Oid, source: Box<SnmpError>) -> Self {
        let trouble = sort(source.exchange_source());
        Self { source: Some(source), ..Self::new(trouble, host, Some(oid)) }
    }
}

impl fmt::Display for PduError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PDU {}: {}", self.host, self.trouble)?;
        if let Some(oid) = &self.oid { write!(f, ", object {oid}") } else { Ok(()) }
    }
}

impl std::error::Error for PduError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

fn sort(error: &SnmpError) -> Trouble {
    use async_snmp::v3::ReportStatus;
    if let SnmpError::Snmp { status, .. } = error {
        return sort_status(*status);
    }
    if let SnmpError::Report { status, .. } = error {
        // The clocks or the identity changed under us: the next session learns them anew.
        let moved = matches!(
            **status,
            ReportStatus::NotInTimeWindow { .. } | ReportStatus::UnknownEngineId { .. }
        );
        return if moved { Trouble::Busy } else { Trouble::Refused };
    }
    let kind = error.kind();
    if kind == ErrorKind::Auth {
        Trouble::Refused
    } else if SILENT.contains(&kind) {
        Trouble::NoAnswer
    } else {
        Trouble::Malformed
    }
}

/// Ends of a question that nobody answered.
const SILENT: [ErrorKind; 4] =
    [ErrorKind::Network, ErrorKind::Timeout, ErrorKind::ConstructionTimeout, ErrorKind::Closed];
/// Statuses (RFC 3416, section 3) of a unit that does not let us.
const REFUSED: [ErrorStatus; 4] = [
    ErrorStatus::NoAccess,
    ErrorStatus::AuthorizationError,
    ErrorStatus::NotWritable,
    ErrorStatus::ReadOnly,
];
/// Statuses that may be others a moment later.
const BUSY: [ErrorStatus; 5] = [
    ErrorStatus::GenErr,
    ErrorStatus::ResourceUnavailable,
    ErrorStatus::CommitFailed,
    ErrorStatus::UndoFailed,
    ErrorStatus::InconsistentValue,
];
/// Statuses of a unit that has no such object, or one of another type.
const UNSUPPORTED: [ErrorStatus; 8] = [
    ErrorStatus::NoSuchName,
    ErrorStatus::BadValue,
    ErrorStatus::WrongType,
    ErrorStatus::WrongLength,
    ErrorStatus::WrongEncoding,
    ErrorStatus::WrongValue,
    ErrorStatus::NoCreation,
    ErrorStatus::InconsistentName,
];

fn sort_status(status: ErrorStatus) -> Trouble {
    let sorted = [
        (REFUSED.as_slice(), Trouble::Refused),
        (BUSY.as_slice(), Trouble::Busy),
        (UNSUPPORTED.as_slice(), Trouble::Unsupported),
    ];
    let found = sorted.iter().find(|(statuses, _)| statuses.contains(&status));
    found.map_or(Trouble::Malformed, |(_, trouble)| *trouble)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_sorted_by_what_follows() {
        for (status, trouble) in [
            (ErrorStatus::NoAccess, Trouble::Refused),
            (ErrorStatus::AuthorizationError, Trouble::Refused),
            (ErrorStatus::GenErr, Trouble::Busy),
            (ErrorStatus::InconsistentValue, Trouble::Busy),
            (ErrorStatus::NoSuchName, Trouble::Unsupported),
            (ErrorStatus::WrongType, Trouble::Unsupported),
            (ErrorStatus::TooBig, Trouble::Malformed),
            (ErrorStatus::Unknown(77), Trouble::Malformed),
        ] {
            assert_eq!(sort_status(status), trouble, "{status}");
        }
    }

    #[test]
    fn an_error_says_who_and_what() {
        let oid = Oid::new([1, 3, 6, 1]);
        let error = PduError::new(Trouble::Busy, "pdu1:161", Some(&oid));
        assert_eq!(error.to_string(), "PDU pdu1:161: busy, object 1.3.6.1");
        let error = PduError::new(Trouble::Ignored, "pdu1", None);
        assert_eq!(error.to_string(), "PDU pdu1: the outlet did not switch");
    }
}
