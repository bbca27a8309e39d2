//! Who is believed to be the service.

use crate::fake::{Fake, Shape};
use crate::{Account, Client, ErrorKind, PowerState, Trust};
use axum_server::tls_rustls::RustlsConfig;
use sha2::{Digest as _, Sha256};

/// A service with a certificate that it made itself, for this name.
struct Secure {
    fake: Fake,
    url: String,
    pem: String,
    fingerprint: [u8; 32],
    handle: axum_server::Handle<std::net::SocketAddr>,
}

impl Secure {
    async fn start(name: &str) -> Self {
        drop(rustls::crypto::ring::default_provider().install_default());
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        let (pem, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        let config =
            RustlsConfig::from_pem(pem.clone().into_bytes(), key.into_bytes()).await.unwrap();
        let fake = Fake::start(Shape::Dmtf).await.unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let handle = axum_server::Handle::new();
        let server = axum_server::from_tcp_rustls(listener, config).unwrap();
        let service = fake.router().into_make_service();
        tokio::spawn(server.handle(handle.clone()).serve(service));
        let fingerprint = Sha256::digest(made.cert.der()).into();
        Self { fake, url: format!("localhost:{port}"), pem, fingerprint, handle }
    }

    fn client(&self, trust: Trust) -> Client {
        Client::new(Account { url: self.url.clone(), trust, ..self.fake.account() }).unwrap()
    }

    async fn is_refused(&self, trust: Trust) {
        let error = self.client(trust).power_state().await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Refused, "{error}");
        assert_eq!(self.fake.state().asked.len(), 0, "something was sent");
    }
}

impl Drop for Secure {
    fn drop(&mut self) {
        self.handle.shutdown();
    }
}

#[tokio::test]
async fn a_certificate_is_believed_only_as_it_was_named() {
    let service = Secure::start("localhost").await;
    service.is_refused(Trust::Host).await;
    let mut other = service.fingerprint;
    other[31] ^= 1;
    service.is_refused(Trust::Fingerprint(other)).await;
    let stranger = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    service.is_refused(Trust::Authority(stranger.cert.pem().into_bytes())).await;
    for trust in [
        Trust::Authority(service.pem.clone().into_bytes()),
        Trust::Fingerprint(service.fingerprint),
    ] {
        let client = service.client(trust);
        assert_eq!(client.power_state().await.unwrap(), Some(PowerState::Off));
        client.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_name_matters_to_an_authority_and_not_to_a_fingerprint() {
    let service = Secure::start("controller-of-another-node").await;
    service.is_refused(Trust::Authority(service.pem.clone().into_bytes())).await;
    let client = service.client(Trust::Fingerprint(service.fingerprint));
    client.power_state().await.unwrap();
}

#[tokio::test]
async fn plain_http_is_spoken_only_where_it_is_written() {
    let fake = Fake::start(Shape::Dmtf).await.unwrap();
    let bare = fake.url().trim_start_matches("http://").to_owned();
    let client = Client::new(Account { url: bare, ..fake.account() }).unwrap();
    let error = client.power_state().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Refused, "{error}");
    assert_eq!(fake.state().asked.len(), 0);
    for trust in [Trust::Fingerprint([0; 32]), Trust::Authority(Vec::new())] {
        let account = Account { trust, ..fake.account() };
        assert_eq!(Client::new(account).unwrap_err().kind, ErrorKind::Misconfigured);
    }
    for pem in ["", "no certificate"] {
        let trust = Trust::Authority(pem.into());
        let account = Account { url: "https://c1".into(), trust, ..fake.account() };
        assert_eq!(Client::new(account).unwrap_err().kind, ErrorKind::Misconfigured, "{pem}");
    }
}
