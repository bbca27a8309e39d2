//! Where requests go: a registry, or a mirror of it.

use super::client::Caller;
use super::failure::{Again, Failure, one_line};
use super::{auth, manifest};
use crate::credentials::Credential;
use reqwest::header::{ACCEPT, HeaderValue, RANGE};
use reqwest::{Method, Response, StatusCode, Url};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::Mutex;

/// Longest body of a refusal that is read for its words, in bytes.
const REFUSAL_BYTES_MAX: u64 = 64 << 10;

/// Whose login it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whose {
    User,
    Site,
}

/// A credential and its owner.
#[derive(Debug, Clone)]
pub(crate) struct Login {
    pub(crate) credential: Credential,
    pub(crate) whose: Whose,
}

/// One place an image can be had from, for one session.
#[derive(Debug)]
pub(crate) struct Endpoint {
    /// For messages: `host[:port]` as it is written by those who name it.
    pub(crate) name: String,
    /// `scheme://host[:port]`, where the API is.
    pub(crate) base: String,
    /// There.
    pub(crate) repository: String,
    pub(super) caller: Caller,
    pub(crate) login: Option<Login>,
    /// Longest silence.
    pub(crate) idle: Duration,
    /// Over which the rate of a layer is taken.
    pub(crate) rate_window: Duration,
    /// What the last login got.
    pub(crate) authorization: Mutex<Option<HeaderValue>>,
    /// Not asked again in this session.
    pub(crate) given_up: AtomicBool,
}

/// A request, without where it goes.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    pub(crate) method: Method,
    /// Below the repository: `manifests/TAG`, `blobs/sha256:…`.
    pub(crate) path: String,
    /// For messages: `it`, `its layer sha256:…`.
    pub(crate) what: String,
    /// First byte that is wanted.
    pub(crate) from: u64,
}

impl Endpoint {
    pub(crate) fn is_tls(&self) -> bool {
        self.base.starts_with("https:")
    }

    pub(crate) fn is_given_up(&self) -> bool {
        self.given_up.load(Ordering::Relaxed)
    }

    pub(crate) fn give_up(&self) {
        self.given_up.store(true, Ordering::Relaxed);
    }

    /// One try, with a login if one is asked for. The answer is a success.
    pub(crate) async fn once(&self, ask: &Ask) -> Result<Response, Failure> {
        let mut logged_in = false;
        loop {
            let used = self.authorization.lock().await.clone();
            let response = self.send(ask, used.clone()).await?;
            let status = response.status();
            if status.is_success() {
                return Ok(response);
            }
            if status != StatusCode::UNAUTHORIZED || logged_in {
                return Err(self.refusal(ask, response).await);
            }
            logged_in = true;
            // Of several that are refused at once, the first logs in for all.
            let mut current = self.authorization.lock().await;
            if *current == used {
                *current = Some(auth::log_in(self, response.headers()).await?);
            }
        }
    }

    async fn send(&self, ask: &Ask, used: Option<HeaderValue>) -> Result<Response, Failure> {
        let text = format!("{}/v2/{}/{}", self.base, self.repository, ask.path);
        let url: Url = text
            .parse()
            .map_err(|error| Failure::user(format!("{} is not a host: {error}", self.name)))?;
        self.check(&url)?;
        let mut request = self.caller.client.request(ask.method.clone(), url);
        if ask.path.starts_with("manifests/") {
            request = request.header(ACCEPT, manifest::ACCEPT);
        }
        if ask.from > 0 {
            request = request.header(RANGE, format!("bytes={}-", ask.from));
        }
        let request = auth::authorize(request, used);
        request.send().await.map_err(|error| Failure::transport(&self.name, self.idle, &error))
    }

    /// Refuses to ask a host where only registries of the site's choice are.
    pub(super) fn check(&self, url: &Url) -> Result<(), Failure> {
        self.caller.check(url).map_err(|local| Failure::local(&self.name, &local.to_string()))
    }

    async fn refusal(&self, ask: &Ask, response: Response) -> Failure {
        let (status, headers) = (response.status(), response.headers().clone());
        let body = self.read_all(response, REFUSAL_BYTES_MAX).await.unwrap_or_default();
        let failure = Failure::answered(&self.name, &ask.what, status, &headers, &body);
        let by_login = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
        auth::refused(self.login.as_ref(), by_login, failure)
    }

    /// A small body, whole, within the longest silence.
    pub(crate) async fn read_all(
        &self,
        mut response: Response,
        bytes_max: u64,
    ) -> Result<Vec<u8>, Failure> {
        let read = async {
            let mut body = Vec::new();
            while let Some(chunk) = response
                .chunk()
                .await
                .map_err(|error| Failure::transport(&self.name, self.idle, &error))?
            {
                body.extend_from_slice(&chunk);
                if u64::try_from(body.len()).unwrap_or(u64::MAX) > bytes_max {
                    let text = format!("{} sent more than {bytes_max} bytes", self.name);
                    return Err(Failure::user(format!("{text} where a short document belongs")));
                }
            }
            Ok(body)
        };
        match tokio::time::timeout(self.idle, read).await {
            Ok(body) => body,
            Err(_) => Err(Failure { again: Again::Later(None), ..slow(&self.name, self.idle) }),
        }
    }
}

fn slow(name: &str, idle: Duration) -> Failure {
    Failure::site(format!("{} took longer than {} s", one_line(name), idle.as_secs_f32()))
}
