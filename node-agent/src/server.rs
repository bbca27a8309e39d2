//! What the agent asks bootsrv, over one pinned server's HTTPS.
//!
//! One method per URL, each a single attempt; who calls decides about repeating. The boot token
//! goes into a header and nowhere else.

use crate::tls::PinnedTls;
use anyhow::{Context as _, Result, bail};
use protocol::application::{APPLICATION_PATH, ApplicationPlan};
use protocol::boot::{
    AHEAD_HEADER, BOOT_ID_HEADER, BootPlan, HEARTBEAT_PATH, Heartbeat, HeartbeatReply, ORDERS_PATH,
    ORDERS_SECONDS, Orders, PLAN_PATH, SECRETS_PATH, Secrets, TOKEN_HEADER,
};
use protocol::error::ApiError;
use protocol::names::{Digest, Secret};
use serde::de::DeserializeOwned;
use std::io::Read;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use ureq::config::Config;
use ureq::http::{Response, StatusCode, Uri};
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{Connector as _, NextTimeout, TcpConnector};
use ureq::{Agent, Body};

/// Longest plan or bundle of secrets taken, in bytes; site files are part of it.
const ANSWER_BYTES_MAX: u64 = 16 << 20;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// For a question that bootsrv keeps open.
const ORDERS_TIMEOUT: Duration =
    ANSWER_TIMEOUT.saturating_add(Duration::from_secs(ORDERS_SECONDS as u64));
/// Longest silence in the middle of an artifact.
const READ_TIMEOUT: Duration = Duration::from_secs(20);

/// What bootsrv says of the job's application image.
#[derive(Debug)]
pub(crate) enum Application {
    /// How it is set up.
    Plan(Box<ApplicationPlan>),
    /// It is on its way to bootsrv.
    NotYet,
    /// The job has none.
    None,
}

/// bootsrv, as one deployment of this node may talk to it.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    agent: Agent,
    base: String,
    artifacts: String,
    token: Secret,
}

impl Server {
    /// `base` and `artifacts` are the URLs of the kernel arguments; nothing is sent yet.
    pub(crate) fn new(
        base: &str,
        artifacts: &str,
        certificate_pem: &[u8],
        token: Secret,
    ) -> Result<Self> {
        let tls = PinnedTls::new(certificate_pem)?;
        let config = Agent::config_builder()
            .https_only(true)
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .user_agent("node-agent")
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .build();
        let connector = ().chain(TcpConnector::default()).chain(tls);
        let agent = Agent::with_parts(config, connector, AddressOnly);
        Ok(Self { agent, base: base.to_owned(), artifacts: artifacts.to_owned(), token })
    }

    /// The same server for another deployment; connections are shared.
    pub(crate) fn with_token(&self, token: Secret) -> Self {
        Self { token, ..self.clone() }
    }

    /// The plan of this boot.
    pub(crate) fn plan(&self) -> Result<BootPlan> {
        let request = self.agent.get(self.url(PLAN_PATH)).header(TOKEN_HEADER, self.token.expose());
        let answer = request.config().timeout_global(Some(ANSWER_TIMEOUT)).build().call();
        json(answer.context("asking for the plan")?).context("reading the plan")
    }

    /// The secrets of this boot. bootsrv answers this to one boot only.
    pub(crate) fn secrets(&self, boot_id: &str) -> Result<Secrets> {
        let request = self
            .agent
            .post(self.url(SECRETS_PATH))
            .header(TOKEN_HEADER, self.token.expose())
            .header(BOOT_ID_HEADER, boot_id);
        let answer = request.config().timeout_global(Some(ANSWER_TIMEOUT)).build().send_empty();
        json(answer.context("asking for the secrets")?).context("reading the secrets")
    }

    /// The application image of this boot's job.
    pub(crate) fn application(&self) -> Result<Application> {
        let request =
            self.agent.get(self.url(APPLICATION_PATH)).header(TOKEN_HEADER, self.token.expose());
        let answer = request.config().timeout_global(Some(ANSWER_TIMEOUT)).build().call();
        let answer = answer.context("asking for the application image")?;
        match answer.status() {
            StatusCode::ACCEPTED => Ok(Application::NotYet),
            StatusCode::NO_CONTENT => Ok(Application::None),
            _ => json(answer).map(Application::Plan).context("asking for the application image"),
        }
    }

    /// What the node is to do next; takes up to [`ORDERS_SECONDS`].
    /// `ahead`: the kernel that was fetched ahead.
    pub(crate) fn orders(&self, boot_id: &str, ahead: Option<&Digest>) -> Result<Orders> {
        let ahead = ahead.map_or_else(String::new, Digest::to_string);
        let request = self
            .agent
            .get(self.url(ORDERS_PATH))
            .header(TOKEN_HEADER, self.token.expose())
            .header(BOOT_ID_HEADER, boot_id)
            .header(AHEAD_HEADER, ahead);
        let answer = request.config().timeout_global(Some(ORDERS_TIMEOUT)).build().call();
        json(answer.context("asking for orders")?).context("reading the orders")
    }

    /// Delivers a report.
    pub(crate) fn heartbeat(&self, heartbeat: &Heartbeat) -> Result<HeartbeatReply> {
        let body = serde_json::to_vec(heartbeat)?;
        let request = self
            .agent
            .post(self.url(HEARTBEAT_PATH))
            .header(TOKEN_HEADER, self.token.expose())
            .header("Content-Type", "application/json");
        let answer = request.config().timeout_global(Some(ANSWER_TIMEOUT)).build().send(&body);
        json(answer.context("sending a heartbeat")?).context("reading the answer to a heartbeat")
    }

    /// The content of an artifact from a byte on. No token: who knows the digest may have it. Plain
    /// HTTP is allowed, since the caller proves the content.
    pub(crate) fn artifact(&self, digest: &Digest, offset: u64) -> Result<impl Read + use<>> {
        let mut request = self.agent.get(format!("{}/artifacts/{digest}", self.artifacts));
        if offset > 0 {
            request = request.header("Range", format!("bytes={offset}-"));
        }
        let answer = request
            .config()
            .https_only(false)
            .timeout_per_read(Some(READ_TIMEOUT))
            .build()
            .call()?;
        let expected = if offset > 0 { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
        if answer.status() != expected {
            bail!(refusal(answer));
        }
        Ok(answer.into_body().into_with_config().limit(u64::MAX).reader())
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }
}

fn json<T: DeserializeOwned>(mut answer: Response<Body>) -> Result<T> {
    if answer.status() != StatusCode::OK {
        bail!(refusal(answer));
    }
    let body = answer.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec()?;
    Ok(serde_json::from_slice(&body)?)
}

/// An answer that is not what was asked for.
#[derive(Debug, thiserror::Error)]
#[error("bootsrv refused with {}{}{message}", status.as_u16(), if message.is_empty() { "" } else { ": " })]
struct Refused {
    status: StatusCode,
    /// Its sentence; empty: it gave none.
    message: String,
}

fn refusal(mut answer: Response<Body>) -> Refused {
    let status = answer.status();
    let body = answer.body_mut().with_config().limit(64 << 10).read_to_vec().unwrap_or_default();
    let message =
        serde_json::from_slice(&body).map_or_else(|_| String::new(), |e: ApiError| e.message);
    Refused { status, message }
}

/// Whether the answer will be the same next time: anything else (no connection, a broken one, a
/// server or a cache that is just starting) is worth another attempt.
pub(crate) fn is_refused(error: &anyhow::Error) -> bool {
    let for_now =
        [StatusCode::REQUEST_TIMEOUT, StatusCode::CONFLICT, StatusCode::TOO_MANY_REQUESTS];
    error.chain().any(|cause| {
        let refused = cause.downcast_ref::<Refused>();
        refused.is_some_and(|r| r.status.is_client_error() && !for_now.contains(&r.status))
    })
}

/// Takes addresses as they are: the agent has no name service.
#[derive(Debug)]
struct AddressOnly;

impl Resolver for AddressOnly {
    fn resolve(
        &self,
        uri: &Uri,
        _config: &Config,
        _timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let mut addresses = self.empty();
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
        let host: IpAddr = host.parse().map_err(|_| ureq::Error::HostNotFound)?;
        let default_port = if uri.scheme_str() == Some("https") { 443 } else { 80 };
        addresses.push(SocketAddr::new(host, uri.port_u16().unwrap_or(default_port)));
        Ok(addresses)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_refusal_of_the_request_itself_is_final() {
        let refused = |status: u16| {
            let status = StatusCode::from_u16(status).unwrap();
            anyhow::Error::from(Refused { status, message: "no".into() }).context("asking")
        };
        for status in [400, 403, 404, 416] {
            assert!(is_refused(&refused(status)), "{status}");
        }
        for status in [409, 429, 500, 502, 503] {
            assert!(!is_refused(&refused(status)), "{status}");
        }
        assert!(!is_refused(&ureq::Error::ConnectionFailed.into()));
        assert_eq!(format!("{:#}", refused(403)), "asking: bootsrv refused with 403: no");
    }
}
