//! One connection's work: posts a message with a login, within limits of time and size.

use crate::address::ControllerAddress;
use crate::client::ClientConfig;
use crate::digest::{Login, LoginError};
use crate::error::Cause;
use crate::soap;
use crate::tls::{self, TrustError};
use crate::xml::Element;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE};
use reqwest::{Response, StatusCode, redirect};
use std::time::Duration;
use tokio::sync::Mutex;

/// Where WS-Management is on every controller.
const PATH: &str = "/wsman";
/// Longest answer, in bytes; the longest one that is asked for has about 10,000.
const ANSWER_BYTES_MAX: usize = 128 << 10;
/// Most challenges of one question: the first one, and one because the nonce is stale.
const CHALLENGES_MAX: u32 = 2;
/// How long an unused connection stays open: through a sequence of questions, and no longer, since
/// the firmware has few of them.
const IDLE: Duration = Duration::from_secs(2);

/// The way to a controller.
#[derive(Debug)]
pub(crate) struct Connection {
    http: reqwest::Client,
    url: String,
    reply_timeout: Duration,
    login: Mutex<Login>,
}

impl Connection {
    pub(crate) fn new(
        address: &ControllerAddress,
        config: ClientConfig,
    ) -> Result<Self, TrustError> {
        // The program's main may have done so already; the second is told so, and nothing changes.
        drop(rustls::crypto::ring::default_provider().install_default());
        let builder = reqwest::Client::builder()
            .connect_timeout(config.connect_timeout)
            .pool_max_idle_per_host(1)
            .pool_idle_timeout(IDLE)
            // A proxy is for the world outside; a redirect would take the login elsewhere.
            .no_proxy()
            .redirect(redirect::Policy::none())
            .referer(false);
        let builder = match &address.trust {
            Some(trust) => trust.configure(builder)?.https_only(true),
            None => builder,
        };
        Ok(Self {
            http: builder.build().map_err(|error| TrustError::Setup(error.into()))?,
            url: format!("{}{PATH}", address.origin()),
            reply_timeout: config.reply_timeout,
            login: Mutex::new(Login::new(address.user.clone(), address.password.clone())),
        })
    }

    /// Sends a message; gives the body of the answer. Others wait: firmware takes one at a time.
    pub(crate) async fn exchange(&self, message: String) -> Result<Element, Cause> {
        let limit = self.reply_timeout;
        let answered = tokio::time::timeout(limit, self.post(message)).await;
        answered.unwrap_or(Err(Cause::Late(limit)))
    }

    /// Posts a message, with a login when one is asked for.
    async fn post(&self, message: String) -> Result<Element, Cause> {
        let mut login = self.login.lock().await;
        let mut challenges = 0;
        loop {
            let authorization = login.authorization(PATH);
            let mut request = self.http.post(&self.url).body(message.clone());
            request = request.header(CONTENT_TYPE, "application/soap+xml;charset=UTF-8");
            if let Some(authorization) = authorization.map_err(Cause::Login)? {
                request = request.header(AUTHORIZATION, authorization);
            }
            let response = request.send().await.map_err(tls::why)?;
            let (status, headers) = (response.status(), response.headers().clone());
            let bytes = read_limited(response).await?;
            if status != StatusCode::UNAUTHORIZED {
                return understand(status, &bytes);
            }
            let stale = login.take_challenge(&headers).map_err(Cause::Login)?;
            // A nonce of an earlier question may be gone; one that has just been given may be stale
            // once; else it is the password.
            if challenges > 0 && (!stale || challenges >= CHALLENGES_MAX) {
                login.forget();
                let always = Cause::Login(LoginError::AlwaysStale);
                return Err(if stale { always } else { Cause::Credentials });
            }
            challenges += 1;
        }
    }
}

/// A fault comes with status 400 or 500; its words say more than the number.
fn understand(status: StatusCode, bytes: &[u8]) -> Result<Element, Cause> {
    match soap::read(bytes) {
        Err(Cause::Fault(fault)) => Err(Cause::Fault(fault)),
        _ if !status.is_success() => Err(Cause::Http(status)),
        read => read,
    }
}

async fn read_limited(mut response: Response) -> Result<Vec<u8>, Cause> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(tls::why)? {
        if bytes.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Err(Cause::TooLong(ANSWER_BYTES_MAX));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}
