//! TLS to the one server whose certificate the initrd holds, as the node agent has it.

use anyhow::Context as _;
use rustls::ClientConfig;
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::version::TLS13;
use std::sync::Arc;

/// What every simulated agent connects with; tickets are not kept, because no node has two lives.
///
/// # Errors
/// When the text holds no certificate.
pub fn pinned(certificate_pem: &[u8]) -> anyhow::Result<Arc<ClientConfig>> {
    let certificate = CertificateDer::from_pem_slice(certificate_pem)
        .context("reading the pinned certificate")?;
    let fingerprint = pinned_tls::fingerprint(&certificate);
    let provider = ring::default_provider();
    let mut config = pinned_tls::client_config(fingerprint, provider, &[&TLS13])?;
    config.resumption = rustls::client::Resumption::disabled();
    Ok(Arc::new(config))
}
