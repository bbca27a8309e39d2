//! The certificate the node agents pin: made once, kept with its key in the state directory.

use rcgen::{CertificateParams, KeyPair};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Where certificate and key are.
#[derive(Debug, Clone)]
pub struct Identity {
    /// PEM, public: goes into every initrd.
    pub certificate: PathBuf,
    /// PEM, mode 0600.
    pub key: PathBuf,
}

/// The identity could not be made or kept.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file could not be written.
    #[error("writing {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// No certificate could be made for that address.
    #[error("making a certificate for {name}")]
    Make {
        /// The address in the URL.
        name: String,
        /// The cause.
        #[source]
        source: rcgen::Error,
    },
}

/// The identity in `directory`; made at the first start for the host of `https_url`.
///
/// # Errors
/// When it cannot be made or written.
pub fn identity(directory: &Path, https_url: &str) -> Result<Identity, TlsError> {
    let identity =
        Identity { certificate: directory.join("certificate.pem"), key: directory.join("key.pem") };
    if identity.certificate.exists() && identity.key.exists() {
        return Ok(identity);
    }
    let host = https_url.trim_start_matches("https://").split([':', '/']).next().unwrap_or("");
    let make = |source| TlsError::Make { name: host.into(), source };
    let key = KeyPair::generate().map_err(make)?;
    let certificate = CertificateParams::new(vec![host.to_owned()])
        .and_then(|p| p.self_signed(&key))
        .map_err(make)?;
    std::fs::create_dir_all(directory)
        .map_err(|source| TlsError::Write { path: directory.into(), source })?;
    write(&identity.key, &key.serialize_pem(), 0o600)?;
    write(&identity.certificate, &certificate.pem(), 0o644)?;
    Ok(identity)
}

fn write(path: &Path, text: &str, mode: u32) -> Result<(), TlsError> {
    let error = |source| TlsError::Write { path: path.into(), source };
    let mut options = std::fs::OpenOptions::new();
    let mut file =
        options.write(true).create(true).truncate(true).mode(mode).open(path).map_err(error)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(error)
}
