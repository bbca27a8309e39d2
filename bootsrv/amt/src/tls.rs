//! TLS to a controller that we know: by its certificate's fingerprint or by an authority. There is
//! no way to trust any.

use crate::error::{Cause, Kind};
use reqwest::{Certificate, ClientBuilder};
use rustls::crypto::ring;
use rustls::{ALL_VERSIONS, AlertDescription, CertificateError, OtherError};
use std::error::Error as _;

/// How a controller is known over TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// By the certificate authorities of this host.
    Host,
    /// By these authorities only, PEM. The controller's name must be in its certificate.
    Authority(Vec<u8>),
    /// By the SHA-256 of its certificate (DER), whatever name and dates are in it.
    Fingerprint([u8; 32]),
}

/// A trust that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// Not PEM, or no certificate in it.
    #[error("there is no certificate in the authority's PEM text")]
    NoCertificate,
    /// TLS cannot be set up with it.
    #[error("TLS cannot be set up")]
    Setup(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Trust {
    /// Makes a client trust nobody else.
    pub(crate) fn configure(&self, builder: ClientBuilder) -> Result<ClientBuilder, TrustError> {
        match self {
            Self::Host => Ok(builder),
            Self::Authority(pem) => {
                let fail = |error: reqwest::Error| TrustError::Setup(error.into());
                let certificates = Certificate::from_pem_bundle(pem).map_err(fail)?;
                if certificates.is_empty() {
                    return Err(TrustError::NoCertificate);
                }
                Ok(builder.tls_certs_only(certificates))
            }
            Self::Fingerprint(fingerprint) => {
                let provider = ring::default_provider();
                let config = pinned_tls::client_config(*fingerprint, provider, ALL_VERSIONS)
                    .map_err(|error| TrustError::Setup(error.into()))?;
                Ok(builder.tls_backend_preconfigured(config))
            }
        }
    }
}

/// TLS came to nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TlsTrouble {
    /// It is another, or its certificate is wrong.
    #[error("its certificate is not trusted: {0}")]
    Certificate(String),
    /// It has nothing in common with us; firmware before AMT 12 may know TLS 1.1 at most.
    #[error("it knows no TLS that is still safe (1.2 or 1.3): {0}")]
    Version(String),
    /// Something else, e.g. no TLS at all.
    #[error("it does not speak TLS there: {0}")]
    NoTls(String),
}

impl TlsTrouble {
    pub(crate) const fn kind(&self) -> Kind {
        match self {
            Self::Certificate(_) => Kind::Refused,
            Self::Version(_) => Kind::Unsupported,
            Self::NoTls(_) => Kind::Malformed,
        }
    }
}

/// Says why a request did not come back.
pub(crate) fn why(error: reqwest::Error) -> Cause {
    let mut next = error.source();
    let mut parse = false;
    while let Some(cause) = next {
        if let Some(tls) = of_tls(cause) {
            return Cause::Tls(trouble(tls));
        }
        parse |= cause.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_parse);
        next = cause.source();
    }
    if parse { Cause::NotHttp(error) } else { Cause::Transport(error) }
}

/// Looks into I/O errors: they name as their source what lies below the error that they wrap.
fn of_tls<'a>(mut error: &'a (dyn std::error::Error + 'static)) -> Option<&'a rustls::Error> {
    loop {
        if let Some(tls) = error.downcast_ref() {
            return Some(tls);
        }
        error = error.downcast_ref::<std::io::Error>()?.get_ref()?;
    }
}

fn trouble(error: &rustls::Error) -> TlsTrouble {
    #[expect(clippy::wildcard_enum_match_arm, reason = "rustls adds errors in small releases")]
    match error {
        rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(other))) => {
            TlsTrouble::Certificate(other.to_string())
        }
        rustls::Error::InvalidCertificate(error) => TlsTrouble::Certificate(error.to_string()),
        rustls::Error::PeerIncompatible(_)
        | rustls::Error::AlertReceived(
            AlertDescription::ProtocolVersion | AlertDescription::HandshakeFailure,
        ) => TlsTrouble::Version(error.to_string()),
        error => TlsTrouble::NoTls(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_without_a_certificate_is_refused() {
        drop(ring::default_provider().install_default());
        let trust = Trust::Authority(b"nothing".to_vec());
        assert!(trust.configure(reqwest::Client::builder()).is_err());
    }
}
