//! One request and its answer: bounded in time and size, always to the service itself.

use crate::account::{Account, Patience};
use crate::address;
use crate::document::Document;
use crate::{Error, ErrorKind};
use crate::{refusal, trust};
use reqwest::header::{
    ACCEPT, AUTHORIZATION, CONTENT_TYPE, ETAG, HeaderMap, HeaderName, HeaderValue, IF_MATCH,
    LOCATION, RETRY_AFTER,
};
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url};
use serde_json::Value;
use std::time::Duration;

/// Largest document, in bytes: a page of a log with a thousand entries is the largest seen.
const BODY_BYTES_MAX: usize = 4 << 20;

pub(crate) const TOKEN: HeaderName = HeaderName::from_static("x-auth-token");

/// The way to one service.
#[derive(Debug)]
pub(crate) struct Wire {
    client: reqwest::Client,
    origin: Url,
    /// For messages.
    pub(crate) host: String,
}

/// A request.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    pub(crate) method: Method,
    /// On the service.
    pub(crate) path: String,
    pub(crate) body: Option<Value>,
    /// Only if the resource still has this version.
    pub(crate) if_match: Option<String>,
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Authorization {
    /// Nobody: the root, and a login.
    None,
    /// Whoever logged in.
    Token(HeaderValue),
    /// The account, each time.
    Basic(HeaderValue),
}

/// A success.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Ask {
    pub(crate) fn get(path: &str) -> Self {
        Self { method: Method::GET, path: path.to_owned(), body: None, if_match: None }
    }

    pub(crate) fn delete(path: &str) -> Self {
        Self { method: Method::DELETE, ..Self::get(path) }
    }

    pub(crate) fn post(path: &str, body: Value) -> Self {
        Self { method: Method::POST, body: Some(body), ..Self::get(path) }
    }

    pub(crate) fn patch(path: &str, body: Value) -> Self {
        Self { method: Method::PATCH, body: Some(body), ..Self::get(path) }
    }

    /// For messages.
    pub(crate) fn shown(&self) -> String {
        format!("{} {}", self.method, refusal::one_line(&self.path))
    }
}

impl Wire {
    pub(crate) fn new(account: &Account, patience: Patience) -> Result<Self, Error> {
        let origin = address::origin(&account.url)?;
        let client = trust::client(&origin, &account.trust, patience)?;
        let host = address::shown(&origin);
        Ok(Self { client, origin, host })
    }

    pub(crate) fn error(&self, asked: &str, kind: ErrorKind, what: impl Into<String>) -> Error {
        Error::new(&self.host, asked, kind, what)
    }

    /// Asks once. What is no success is an error.
    pub(crate) async fn send(&self, ask: &Ask, who: &Authorization) -> Result<Answer, Error> {
        let request = self.request(ask, who)?.header(ACCEPT, "application/json");
        let lost = |error| refusal::transport(&self.host, ask.shown(), error);
        let response = request.send().await.map_err(lost)?;
        self.answer(ask, response).await
    }

    /// Asks for a stream of events: an answer that may last for `life`, and whose beginning the caller
    /// waits for as long as it likes. What is no success is an error.
    pub(crate) async fn open(
        &self,
        ask: &Ask,
        who: &Authorization,
        life: Duration,
    ) -> Result<Response, Error> {
        let request = self.request(ask, who)?.header(ACCEPT, "text/event-stream");
        let lost = |error| refusal::transport(&self.host, ask.shown(), error);
        let response = request.timeout(life).send().await.map_err(lost)?;
        let status = response.status();
        if status == StatusCode::OK {
            return Ok(response);
        }
        self.answer(ask, response).await?;
        let what = format!("{status} is no stream of events");
        Err(self.error(&ask.shown(), ErrorKind::Malformed, what))
    }

    fn request(&self, ask: &Ask, who: &Authorization) -> Result<RequestBuilder, Error> {
        let Some(url) = address::at(&self.origin, &ask.path) else {
            return Err(self.error(
                &ask.shown(),
                ErrorKind::Malformed,
                "the service named no path",
            ));
        };
        let mut request =
            self.client.request(ask.method.clone(), url).header("OData-Version", "4.0");
        request = match who {
            Authorization::None => request,
            Authorization::Token(token) => request.header(TOKEN, token),
            Authorization::Basic(login) => request.header(AUTHORIZATION, login),
        };
        if let Some(etag) = &ask.if_match {
            request = request.header(IF_MATCH, etag);
        }
        if let Some(body) = &ask.body {
            request = request.header(CONTENT_TYPE, "application/json").body(body.to_string());
        }
        Ok(request)
    }

    async fn answer(&self, ask: &Ask, mut response: Response) -> Result<Answer, Error> {
        let lost = |error| refusal::transport(&self.host, ask.shown(), error);
        let body = read(&mut response).await.map_err(lost)?;
        let Some(body) = body else {
            let what = format!("the answer has more than {BODY_BYTES_MAX} bytes");
            return Err(self.error(&ask.shown(), ErrorKind::Malformed, what));
        };
        if response.status().is_success() {
            return Ok(Answer { headers: response.headers().clone(), body });
        }
        let retry_after = header(response.headers(), &RETRY_AFTER);
        let status = response.status();
        Err(refusal::answered(&self.host, ask.shown(), status, retry_after.as_deref(), &body))
    }

    /// The document of an answer to GET.
    pub(crate) fn document(&self, ask: &Ask, answer: &Answer) -> Result<Document, Error> {
        let malformed = |what: &str| self.error(&ask.shown(), ErrorKind::Malformed, what);
        let value: Value = serde_json::from_slice(&answer.body)
            .map_err(|error| malformed("the answer is no JSON").with_source(error))?;
        if !value.is_object() {
            return Err(malformed("the answer is no JSON object"));
        }
        Ok(Document { path: ask.path.clone(), value, etag: header(&answer.headers, &ETAG) })
    }
}

impl Answer {
    /// The path of what a POST made: of the header, or else of the body.
    pub(crate) fn made(&self) -> Option<String> {
        let named = header(&self.headers, &LOCATION).and_then(|text| address::location(&text));
        named.or_else(|| crate::document::link(&serde_json::from_slice(&self.body).ok()?, ""))
    }
}

pub(crate) fn header(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

/// The whole body; `None`: it is too large.
async fn read(response: &mut Response) -> Result<Option<Vec<u8>>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > BODY_BYTES_MAX {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Some(body))
}
