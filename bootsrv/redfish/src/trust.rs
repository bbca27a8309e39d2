//! The HTTP client of one service, which knows the service's certificate.

use crate::account::{Patience, Trust};
use crate::{Error, ErrorKind};
use reqwest::{Certificate, Client, Url, redirect};
use rustls::ALL_VERSIONS;
use rustls::crypto::ring;
use std::time::Duration;

/// Connections are kept this long for the next request, e.g. a meter that is read every second:
/// controllers have few, and some end idle ones after some seconds.
const IDLE: Duration = Duration::from_secs(5);

pub(crate) fn client(origin: &Url, trust: &Trust, patience: Patience) -> Result<Client, Error> {
    let wrong = |why: String| {
        let host = crate::address::shown(origin);
        Error::new(host, "its trust", ErrorKind::Misconfigured, why)
    };
    if origin.scheme() == "http" && *trust != Trust::Host {
        return Err(wrong("a certificate is named, but http:// has none".into()));
    }
    // A program's main did so already; the second is told so, and nothing changes.
    drop(ring::default_provider().install_default());
    let builder = Client::builder()
        .user_agent(concat!("bare-metal-container/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(patience.connect)
        .timeout(patience.answer)
        .redirect(redirect::Policy::none())
        // A password for the management network goes to no proxy.
        .no_proxy()
        .referer(false)
        .pool_max_idle_per_host(1)
        .pool_idle_timeout(IDLE);
    let builder = match trust {
        // No certificate is ever looked at; a host without authorities does for this.
        Trust::Host if origin.scheme() == "http" => builder.tls_certs_only([]),
        Trust::Host => builder,
        Trust::Authority(pem) => {
            let found = Certificate::from_pem_bundle(pem)
                .map_err(|error| wrong(format!("cannot read the authority: {error}")))?;
            if found.is_empty() {
                return Err(wrong("there is no certificate in the authority's file".into()));
            }
            builder.tls_certs_only(found)
        }
        Trust::Fingerprint(fingerprint) => {
            let provider = ring::default_provider();
            let config = pinned_tls::client_config(*fingerprint, provider, ALL_VERSIONS)
                .map_err(|error| wrong(format!("cannot use TLS: {error}")))?;
            builder.tls_backend_preconfigured(config)
        }
    };
    builder.build().map_err(|error| wrong("cannot make an HTTP client".into()).with_source(error))
}
