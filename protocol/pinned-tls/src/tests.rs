//! Whole handshakes with servers that show the right certificate, another one, or the right one without its key.

use super::*;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::crypto::ring::{default_provider, sign::any_supported_type};
use rustls::pki_types::PrivateKeyDer;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConnection, ServerConfig, ServerConnection, sign};

/// A server that shows a certificate, and signs with whatever key.
#[derive(Debug)]
struct Shows(Arc<sign::CertifiedKey>);

impl ResolvesServerCert for Shows {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<sign::CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

fn made() -> CertifiedKey<rcgen::KeyPair> {
    generate_simple_self_signed(["x".to_owned()]).unwrap()
}

/// Whether a client that pins `pinned` gets through to a server with that certificate and key.
fn connects(
    pinned: Fingerprint,
    shown: &CertificateDer<'static>,
    key: &rcgen::KeyPair,
    version: &'static SupportedProtocolVersion,
) -> Result<(), Error> {
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let key = any_supported_type(&key).unwrap();
    let shows = Shows(Arc::new(sign::CertifiedKey::new(vec![shown.clone()], key)));
    let server = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(shows));
    let client = client_config(pinned, default_provider(), &[version]).unwrap();
    let name = ServerName::try_from("another.name").unwrap();
    let mut client = ClientConnection::new(Arc::new(client), name).unwrap();
    let mut server = ServerConnection::new(Arc::new(server)).unwrap();
    while client.is_handshaking() {
        let mut wire = Vec::new();
        client.write_tls(&mut wire).unwrap();
        server.read_tls(&mut wire.as_slice()).unwrap();
        server.process_new_packets()?;
        let mut wire = Vec::new();
        server.write_tls(&mut wire).unwrap();
        client.read_tls(&mut wire.as_slice()).unwrap();
        client.process_new_packets()?;
    }
    Ok(())
}

#[test]
fn only_the_pinned_certificate_is_trusted_and_only_with_its_key() {
    let (own, other) = (made(), made());
    let shown = own.cert.der().clone();
    for version in [&TLS12, &TLS13] {
        connects(fingerprint(&shown), &shown, &own.signing_key, version).unwrap();
        let error = connects(fingerprint(other.cert.der()), &shown, &own.signing_key, version);
        let Error::InvalidCertificate(CertificateError::Other(OtherError(why))) =
            error.unwrap_err()
        else {
            panic!("refused for another reason");
        };
        let why = why.to_string();
        assert!(why.starts_with("it shows one with the SHA-256 fingerprint "), "{why}");
        let error = connects(fingerprint(&shown), &shown, &other.signing_key, version);
        let error = error.unwrap_err();
        let is_signature =
            matches!(error, Error::InvalidCertificate(CertificateError::BadSignature));
        assert!(is_signature, "{error}");
    }
}

#[test]
fn fingerprints_are_read_as_openssl_shows_them() {
    let plain = "0f".repeat(32);
    let colons = vec!["0F"; 32].join(":");
    for text in [&plain, &colons] {
        assert_eq!(parse_fingerprint(text), Some([0x0F; 32]));
    }
    for text in ["", "0f", &"0f".repeat(33), &"0g".repeat(32), &plain[1..], "\u{e9}"] {
        assert_eq!(parse_fingerprint(text), None, "{text}");
    }
}
