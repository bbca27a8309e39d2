//! One request: sign it, send it, read the answer within its limits. Knows no call by name.

use crate::{ClientConfig, ClientError};
use munge::encode;
use protocol::api::credential_payload;
use protocol::error::ApiError;
use protocol::names::Digest;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};
use std::path::PathBuf;
use std::time::Duration;
use ureq::http::Request;
use ureq::{Agent, AsSendBody};

/// The content type of a file, which may be long.
pub(crate) const UPLOAD: &str = "application/octet-stream";

/// Largest answer that is read, in bytes: 10,000 nodes with their time lines are about 10 MiB.
const ANSWER_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// How much of a foreign answer stands in the error, in characters.
const FOREIGN_CHARACTERS_MAX: usize = 120;

/// How long a call may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// Until the connection stands, name look-up included.
    pub connect: Duration,
    /// The whole call, connection included.
    pub total: Duration,
}

impl Timeouts {
    /// The same limit for the connection and for the whole call.
    #[must_use]
    pub fn total(total: Duration) -> Self {
        Self { connect: total, total }
    }
}

impl Default for Timeouts {
    /// For people at a terminal: 5 s to connect, 60 s in all.
    fn default() -> Self {
        Self { connect: Duration::from_secs(5), total: Duration::from_secs(60) }
    }
}

/// A client of one bootsrv. Keeps its connection open between calls.
#[derive(Debug, Clone)]
pub struct Client {
    agent: Agent,
    server: String,
    munge_socket: Option<PathBuf>,
    timeouts: Timeouts,
}

impl Client {
    /// A client for the server the configuration names.
    #[must_use]
    pub fn new(config: &ClientConfig, timeouts: Timeouts) -> Self {
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            // The plugin runs in a user's environment: http_proxy is not for us.
            .proxy(None)
            .max_redirects(0)
            .user_agent(concat!("bare-metal-container/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(timeouts.connect))
            .timeout_resolve(Some(timeouts.connect))
            .build()
            .new_agent();
        Self {
            agent,
            server: config.server.clone(),
            munge_socket: config.munge_socket.clone(),
            timeouts,
        }
    }

    /// The same client, over the same connection, with another limit for the whole call.
    #[must_use]
    pub fn with_total(&self, total: Duration) -> Self {
        let mut client = self.clone();
        client.timeouts.total = total;
        client
    }

    /// The same with so much more time for the whole call.
    pub(crate) fn with_longer(&self, more: Duration) -> Self {
        self.with_total(self.timeouts.total.saturating_add(more))
    }

    pub(crate) fn get<A: DeserializeOwned>(&self, path: &str) -> Result<A, ClientError> {
        self.json("GET", path, &self.send("GET", path, &hash(b""), "", ())?)
    }

    pub(crate) fn get_text(&self, path: &str) -> Result<String, ClientError> {
        let answer = self.send("GET", path, &hash(b""), "", ())?;
        self.check(path, &answer)?;
        Ok(String::from_utf8_lossy(&answer.body).into_owned())
    }

    pub(crate) fn delete<A: DeserializeOwned>(&self, path: &str) -> Result<A, ClientError> {
        self.json("DELETE", path, &self.send("DELETE", path, &hash(b""), "", ())?)
    }

    /// A `DELETE` or `PUT` whose answer has nothing in it that anybody needs.
    pub(crate) fn without_answer<B: Serialize>(
        &self,
        method: &'static str,
        path: &str,
        body: Option<&B>,
    ) -> Result<(), ClientError> {
        let answer = match body {
            None => self.send(method, path, &hash(b""), "", ())?,
            Some(body) => self.send_json(method, path, body)?,
        };
        self.check(path, &answer)
    }

    pub(crate) fn with_body<B: Serialize, A: DeserializeOwned>(
        &self,
        method: &'static str,
        path: &str,
        body: &B,
    ) -> Result<A, ClientError> {
        let answer = self.send_json(method, path, body)?;
        self.json(method, path, &answer)
    }

    fn send_json<B: Serialize>(
        &self,
        method: &'static str,
        path: &str,
        body: &B,
    ) -> Result<Answer, ClientError> {
        let body = serde_json::to_vec(body)
            .map_err(|source| ClientError::Encode { url: self.url(path), source })?;
        self.send(method, path, &hash(&body), "application/json", body.as_slice())
    }

    /// Signs and sends; `content_type` empty: no body.
    pub(crate) fn send(
        &self,
        method: &'static str,
        path: &str,
        body_sha256: &Digest,
        content_type: &'static str,
        body: impl AsSendBody,
    ) -> Result<Answer, ClientError> {
        let transport =
            |source| ClientError::Transport { url: self.url(path), source: Box::new(source) };
        let payload = credential_payload(method, path, body_sha256);
        let credential = encode(payload.as_bytes(), self.munge_socket.as_deref())
            .map_err(|source| ClientError::Credential { url: self.url(path), source })?;
        let mut request = Request::builder()
            .method(method)
            .uri(self.url(path))
            .header("Authorization", format!("MUNGE {credential}"));
        if !content_type.is_empty() {
            request = request.header("Content-Type", content_type);
        }
        if content_type == UPLOAD {
            // Refused before it is sent: else the refusal is lost behind a broken pipe.
            request = request.header("Expect", "100-continue");
        }
        let request = request.body(body).map_err(|error| transport(error.into()))?;
        let request = self
            .agent
            .configure_request(request)
            .timeout_global(Some(self.timeouts.total))
            .allow_non_standard_methods(true)
            .build();
        let mut response = self.agent.run(request).map_err(transport)?;
        let status = response.status().as_u16();
        let body = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec();
        Ok(Answer { status, body: body.map_err(transport)? })
    }

    pub(crate) fn json<A: DeserializeOwned>(
        &self,
        method: &'static str,
        path: &str,
        answer: &Answer,
    ) -> Result<A, ClientError> {
        self.check(path, answer)?;
        serde_json::from_slice(&answer.body).map_err(|error| ClientError::Foreign {
            url: self.url(path),
            status: answer.status,
            what: format!("a body this version cannot read after {method} ({error})"),
        })
    }

    fn check(&self, path: &str, answer: &Answer) -> Result<(), ClientError> {
        if (200..300).contains(&answer.status) {
            return Ok(());
        }
        if let Ok(refused) = serde_json::from_slice::<ApiError>(&answer.body) {
            return Err(refused.into());
        }
        let text = String::from_utf8_lossy(&answer.body);
        let shown: String =
            text.chars().filter(|c| !c.is_control()).take(FOREIGN_CHARACTERS_MAX).collect();
        let what = if shown.is_empty() { "no body".to_owned() } else { format!("{shown:?}") };
        Err(ClientError::Foreign { url: self.url(path), status: answer.status, what })
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.server)
    }
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    status: u16,
    body: Vec<u8>,
}

pub(crate) fn hash(body: &[u8]) -> Digest {
    Digest(Sha256::digest(body).into())
}

/// A query value with everything but letters, digits and `-._~` percent-encoded (RFC 3986, 2.1).
pub(crate) fn percent_encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn query_values_cannot_leave_their_place() {
        assert_eq!(percent_encoded("bmc-1_x.~"), "bmc-1_x.~");
        assert_eq!(percent_encoded("a&b=c d/ä"), "a%26b%3Dc%20d%2F%C3%A4");
    }
}
