//! What the tests share.

use amt::fake::{Fake, FakeSettings, Tls};
use amt::{Client, ClientConfig, ControllerAddress, Trust};
use std::net::SocketAddr;
use std::time::Duration;

pub(crate) const PASSWORD: &str = "P@ssw0rd";

pub(crate) async fn start(settings: FakeSettings) -> Fake {
    Fake::start(settings).await.unwrap()
}

/// A client without TLS, in a hurry.
pub(crate) fn client(address: SocketAddr, password: &str) -> Client {
    client_by(address, None, password)
}

pub(crate) fn client_by(address: SocketAddr, trust: Option<Trust>, password: &str) -> Client {
    let (user, password) = ("admin".to_owned(), password.to_owned());
    let address = ControllerAddress::new(&address.to_string(), trust, user, password).unwrap();
    let config = ClientConfig {
        connect_timeout: Duration::from_secs(2),
        reply_timeout: Duration::from_secs(5),
    };
    Client::new(&address, config).unwrap()
}

/// An error with its causes.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

/// A controller's certificate and key, the authority (PEM) that vouches for it, and its fingerprint.
pub(crate) fn certificates() -> (Tls, String, [u8; 32]) {
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
    let mut authority = CertificateParams::new(Vec::<String>::new()).unwrap();
    // One that has the name of what it signs would be taken for it.
    authority.distinguished_name.push(DnType::CommonName, "authority");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let pem = authority.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(authority, key);
    let node_key = KeyPair::generate().unwrap();
    let node = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let node = node.signed_by(&node_key, &issuer).unwrap();
    let fingerprint = <sha2::Sha256 as sha2::Digest>::digest(node.der()).into();
    let tls = Tls { certificates: node.pem().into(), key: node_key.serialize_pem().into() };
    (tls, pem, fingerprint)
}
