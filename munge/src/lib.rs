//! A safe wrapper of libmunge: who sent this, and has nobody used it before.
//!
//! Only what this product needs: encode a payload, decode a credential, both through a munged
//! whose socket may be named. It must not know what a payload means. `unsafe` stands in `ffi` only.

mod ffi;
#[cfg(feature = "test-daemon")]
pub mod test_daemon;

use std::path::Path;

/// Longest payload this wrapper passes on, in bytes. Ours are under 300.
pub const PAYLOAD_BYTES_MAX: usize = 64 * 1024;
/// Longest credential this wrapper decodes, in bytes: the payload in base64 with munge's own header.
pub const CREDENTIAL_BYTES_MAX: usize = 96 * 1024;

/// Why munge gave no credential, or did not accept one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MungeError {
    /// More than [`PAYLOAD_BYTES_MAX`] or [`CREDENTIAL_BYTES_MAX`].
    #[error("{what} of {bytes} bytes is longer than {max}")]
    TooLong {
        /// `payload` or `credential`.
        what: &'static str,
        /// Its length.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// A credential or a socket path with a NUL byte in it.
    #[error("{0} has a NUL byte in it")]
    Nul(&'static str),
    /// The credential was decoded before on this host.
    #[error("munge credential was used before")]
    Replayed,
    /// The credential is too old.
    #[error("munge credential has expired")]
    Expired,
    /// The credential comes from the future: the clocks of the two hosts differ.
    #[error("munge credential was made in the future (check the clocks)")]
    Rewound,
    /// munged does not answer on its socket.
    #[error("munged cannot be reached: {0}")]
    Unreachable(String),
    /// Anything else, in libmunge's words.
    #[error("munge refused: {text}")]
    Refused {
        /// Error number of `munge.h`.
        code: i32,
        /// libmunge's text.
        text: String,
    },
}

/// A credential that munged found to be genuine, fresh and unused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded {
    /// What the sender put in.
    pub payload: Vec<u8>,
    /// User id of the process that encoded it.
    pub uid: u32,
    /// Group id of the process that encoded it.
    pub gid: u32,
}

/// Makes a credential around `payload`; `socket`: munged's, the system's if absent.
///
/// # Errors
/// When the payload is too long, or munged is not there or refuses.
pub fn encode(payload: &[u8], socket: Option<&Path>) -> Result<String, MungeError> {
    check_length("payload", payload.len(), PAYLOAD_BYTES_MAX)?;
    ffi::encode(payload, socket, None)
}

/// As [`encode`], encrypted so that only a process of user `reader` can decode it.
///
/// # Errors
/// As [`encode`].
pub fn encode_for(
    payload: &[u8],
    socket: Option<&Path>,
    reader: u32,
) -> Result<String, MungeError> {
    check_length("payload", payload.len(), PAYLOAD_BYTES_MAX)?;
    ffi::encode(payload, socket, Some(reader))
}

/// Checks a credential and opens it. A second time it is [`MungeError::Replayed`].
///
/// # Errors
/// When munged does not vouch for it, or is not there.
pub fn decode(credential: &str, socket: Option<&Path>) -> Result<Decoded, MungeError> {
    check_length("credential", credential.len(), CREDENTIAL_BYTES_MAX)?;
    ffi::decode(credential, socket)
}

fn check_length(what: &'static str, bytes: usize, max: usize) -> Result<(), MungeError> {
    if bytes > max { Err(MungeError::TooLong { what, bytes, max }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use munge::test_daemon::PrivateMunged;

    #[test]
    fn a_credential_names_its_sender_once() {
        let Some(munged) = PrivateMunged::start() else { return };
        let socket = Some(munged.socket());
        let credential = encode(b"bare-metal-container 1 GET / 00", socket).unwrap();
        assert!(credential.starts_with("MUNGE:") && credential.ends_with(':'), "{credential}");
        let decoded = decode(&credential, socket).unwrap();
        assert_eq!(decoded.payload, b"bare-metal-container 1 GET / 00");
        assert_eq!(decoded.uid, ffi::effective_uid());
        assert_eq!(decode(&credential, socket), Err(MungeError::Replayed));
    }

    #[test]
    fn a_sealed_credential_opens_for_its_reader_only() {
        let Some(munged) = PrivateMunged::start() else { return };
        let socket = Some(munged.socket());
        let own = ffi::effective_uid();
        let sealed = encode_for(b"password", socket, own).unwrap();
        assert_eq!(decode(&sealed, socket).unwrap().payload, b"password");
        let sealed = encode_for(b"password", socket, own + 1).unwrap();
        assert!(matches!(decode(&sealed, socket), Err(MungeError::Refused { .. })));
    }

    #[test]
    fn an_empty_payload_is_a_payload() {
        let Some(munged) = PrivateMunged::start() else { return };
        let credential = encode(b"", Some(munged.socket())).unwrap();
        assert_eq!(decode(&credential, Some(munged.socket())).unwrap().payload, b"");
    }

    #[test]
    fn forgeries_and_other_keys_are_refused() {
        let (Some(ours), Some(theirs)) = (PrivateMunged::start(), PrivateMunged::start()) else {
            return;
        };
        let foreign = encode(b"x", Some(theirs.socket())).unwrap();
        for bad in ["", "MUNGE:", "MUNGE:AAAA:", "hello", foreign.as_str()] {
            let refused = decode(bad, Some(ours.socket()));
            assert!(matches!(refused, Err(MungeError::Refused { .. })), "{bad:?} {refused:?}");
        }
        assert_eq!(decode("a\0b", Some(ours.socket())), Err(MungeError::Nul("credential")));
    }

    #[test]
    fn a_missing_daemon_is_told_apart() {
        let nowhere = Some(Path::new("/nonexistent/munge.socket"));
        assert!(matches!(encode(b"x", nowhere), Err(MungeError::Unreachable(_))));
    }

    #[test]
    fn limits_hold_before_the_library_is_asked() {
        let long = vec![b'x'; PAYLOAD_BYTES_MAX + 1];
        assert!(matches!(encode(&long, None), Err(MungeError::TooLong { what: "payload", .. })));
        let long = "x".repeat(CREDENTIAL_BYTES_MAX + 1);
        assert!(matches!(decode(&long, None), Err(MungeError::TooLong { .. })));
    }
}
