//! What a fake is told at its start, how it can be made to misbehave, and what it counts.

use super::hook::Hook;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio_rustls::TlsAcceptor;

/// How a fake starts.
#[derive(Debug, Clone)]
pub struct FakeSettings {
    /// Where it listens.
    pub listen: SocketAddr,
    /// The one user.
    pub user: String,
    /// Its password.
    pub password: String,
    /// Hash of the digest authentication.
    pub algorithm: Algorithm,
    /// `qop` that the challenge offers, with a comma between several; only `auth` passes.
    pub qop: String,
    /// How long a nonce is good.
    pub nonce_life: Duration,
    /// How often a nonce can be used.
    pub nonce_uses: u32,
    /// Certificate and key; none: no TLS.
    pub tls: Option<Tls>,
    /// From the answer to a request until it is done.
    pub delay: Duration,
    /// What the power request switches.
    pub hook: Hook,
}

impl Default for FakeSettings {
    fn default() -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
            user: "admin".into(),
            password: "P@ssw0rd".into(),
            algorithm: Algorithm::Md5,
            qop: "auth".into(),
            nonce_life: Duration::from_secs(60),
            nonce_uses: u32::MAX,
            tls: None,
            delay: Duration::ZERO,
            hook: Hook::default(),
        }
    }
}

/// Hash of the digest authentication.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// As AMT.
    Md5,
    /// As RFC 7616 wants it.
    Sha256,
}

/// A certificate and its key, PEM.
#[derive(Clone)]
pub struct Tls {
    /// The certificate first, then those that vouch for it.
    pub certificates: Vec<u8>,
    /// Its private key.
    pub key: Vec<u8>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}

impl Tls {
    pub(super) fn acceptor(&self) -> io::Result<TlsAcceptor> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&self.certificates).collect();
        let chain = chain.map_err(io::Error::other)?;
        let key = PrivateKeyDer::from_pem_slice(&self.key).map_err(io::Error::other)?;
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key));
        Ok(TlsAcceptor::from(Arc::new(config.map_err(io::Error::other)?)))
    }
}

/// How a fake misbehaves; by default it does not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Knobs {
    /// Refuses what it is asked.
    pub refuses: Option<Refusal>,
    /// Says yes to that many requests for a change of power, and does nothing.
    pub ignores: u32,
    /// Always tells this power state.
    pub lies: Option<u16>,
    /// Always lists these as available power states.
    pub lists: Option<Vec<u16>>,
    /// Waits that long before each answer.
    pub slow: Duration,
    /// Breaks the connection.
    pub breaks: Option<Break>,
    /// Answers this instead.
    pub says: Option<Vec<u8>>,
    /// Knows the power state in its list only, not by a Get.
    pub lists_power_only: bool,
    /// Nothing in the operating system listens: it lists no graceful change.
    pub without_agent: bool,
    /// Is in client control mode: refuses changes of what is booted.
    pub client_control: bool,
}

/// How it refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Each method returns this.
    Returns(u32),
    /// Each question gets this fault (its subcode).
    Fault(&'static str),
    /// Each question gets this HTTP status.
    Http(u16),
}

/// Where the connection breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Break {
    /// The question is read, nothing is done or answered.
    BeforeAnswer,
    /// It is done, but only half of the answer comes.
    InAnswer,
}

/// What a fake did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counters {
    /// HTTP requests.
    pub requests: u64,
    /// Refusals because there was no login yet.
    pub challenges: u64,
    /// Refusals because the nonce was stale.
    pub stale: u64,
    /// Refusals because the login was wrong.
    pub wrong_logins: u64,
    /// Requests for a change of power.
    pub power_requests: u64,
    /// Those said yes to and not done.
    pub ignored: u64,
    /// Power-ons done, those of power cycles too.
    pub on: u64,
    /// Power-offs done, those of power cycles too.
    pub off: u64,
    /// Requests to the operating system to shut down.
    pub soft_off: u64,
    /// Resets done.
    pub resets: u64,
    /// Boots from the network because it was chosen for them.
    pub network_boots: u64,
    /// Changes of power that failed.
    pub failed: u64,
}
