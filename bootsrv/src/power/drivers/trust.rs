//! How a TLS service on the management network is known, read from the node file.

use protocol::power::Trust;
use std::path::Path;

/// Longest file with certificates, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// How it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Known {
    /// By this host's certificate authorities.
    Host,
    /// By these authorities, PEM.
    Authority(Vec<u8>),
    /// By the SHA-256 of its certificate.
    Fingerprint([u8; 32]),
}

impl Known {
    /// # Errors
    /// The key and what is wrong with it.
    pub(super) fn by(trust: &Trust) -> Result<Self, String> {
        match (&trust.certificate_sha256, &trust.ca_file) {
            (None, None) => Ok(Self::Host),
            (None, Some(path)) => read(path).map(Self::Authority),
            (Some(digits), None) => {
                pinned_tls::parse_fingerprint(digits).map(Self::Fingerprint).ok_or_else(|| {
                    "trust.certificate_sha256 is not 64 hexadecimal digits, with colons or without"
                        .into()
                })
            }
            (Some(_), Some(_)) => Err("trust has both certificate_sha256 and ca_file".into()),
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let about = |what: &str| format!("trust.ca_file = {path:?} {what}");
    if !path.is_absolute() {
        return Err(about("is not an absolute path on bootsrv's host"));
    }
    let size = std::fs::metadata(path).map_err(|error| about(&format!("cannot be read: {error}")));
    if size?.len() > FILE_BYTES_MAX {
        return Err(about("is longer than 1 MiB"));
    }
    std::fs::read(path).map_err(|error| about(&format!("cannot be read: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by(certificate_sha256: Option<&str>, ca_file: Option<&Path>) -> Result<Known, String> {
        Known::by(&Trust {
            certificate_sha256: certificate_sha256.map(String::from),
            ca_file: ca_file.map(Path::to_owned),
        })
    }

    #[test]
    fn each_kind_is_read() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "PEM").unwrap();
        assert_eq!(by(None, None), Ok(Known::Host));
        assert_eq!(by(None, Some(file.path())), Ok(Known::Authority(b"PEM".to_vec())));
        let (plain, colons) = ("0f".repeat(32), ["0F"; 32].join(":"));
        for text in [&plain, &colons] {
            assert_eq!(by(Some(text), None), Ok(Known::Fingerprint([15; 32])));
        }
    }

    #[test]
    fn what_cannot_be_used_is_refused_with_its_key() {
        let digits = "0f".repeat(32);
        for (sha256, file, expected) in [
            (Some("0f0f"), None, "certificate_sha256 is not 64"),
            (Some(&*"zz".repeat(32)), None, "certificate_sha256 is not 64"),
            (Some(&*"0f".repeat(33)), None, "certificate_sha256 is not 64"),
            (None, Some("/nonexistent/ca.pem"), "ca.pem\" cannot be read"),
            (None, Some("ca.pem"), "ca.pem\" is not an absolute path"),
            (Some(&*digits), Some("/x"), "both"),
        ] {
            let error = by(sha256, file.map(Path::new)).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
