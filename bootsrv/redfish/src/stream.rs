//! A service's events as they happen: server-sent events (DSP0266, "Server-sent events"), which is one
//! answer that does not end.
//!
//! We ask and the service answers, so nothing here listens, and what comes is as trustworthy as any other
//! answer of that service. The stream shares the client's session, and never opens one.

use crate::address::location;
use crate::client::Client;
use crate::discovery::ROOT;
use crate::document::{link, text};
use crate::event::{EVENT_BYTES_MAX, Event};
use crate::refusal::transport;
use crate::wire::{Ask, Authorization};
use crate::{Error, ErrorKind};
use bytes::Bytes;
use reqwest::Response;
use reqwest::header::CONTENT_TYPE;
use serde_json::Value;
use sse_core::{SseDecoder, SseEvent};
use std::fmt;
use std::num::NonZeroUsize;
use std::time::Duration;
use tokio::time::Instant;

const EVENT_BYTES: NonZeroUsize = NonZeroUsize::new(EVENT_BYTES_MAX).unwrap();
/// Most that a stream may bring within [`WINDOW`], in bytes: a thousand events.
const WINDOW_BYTES_MAX: usize = 1 << 20;
const WINDOW: Duration = Duration::from_secs(60);
/// A stream ends after this time even if the service keeps it open, because one whose subscription the
/// service has forgotten looks like one without news.
const LIFE: Duration = Duration::from_secs(3600);

/// An open stream; dropping it closes the connection, by which the service notices.
pub struct EventStream {
    host: String,
    asked: String,
    response: Response,
    decoder: SseDecoder,
    /// What the decoder has not taken yet.
    unread: Bytes,
    budget: Budget,
}

/// What a stream may still bring.
#[derive(Debug)]
struct Budget {
    since: Instant,
    bytes: usize,
}

impl Budget {
    fn new() -> Self {
        Self { since: Instant::now(), bytes: 0 }
    }

    /// Whether so many more bytes are within it.
    fn allows(&mut self, bytes: usize) -> bool {
        if self.since.elapsed() >= WINDOW {
            *self = Self::new();
        }
        self.bytes = self.bytes.saturating_add(bytes);
        self.bytes <= WINDOW_BYTES_MAX
    }
}

impl Client {
    /// Opens the stream of the service's events; `None`: it offers none. The service is asked anew each
    /// time: a new firmware may offer it, and an administrator may have switched it off.
    ///
    /// # Errors
    /// Every kind. It logs in nowhere: [`ErrorKind::LoggedOut`] before another call has done so, and after
    /// the service has not known that session, until another call has logged in anew.
    pub async fn events(&self) -> Result<Option<EventStream>, Error> {
        self.within("EventService", async {
            let Some(who) = self.session.current().await else {
                let what = "nobody has logged in";
                return Err(self.error("EventService", ErrorKind::LoggedOut, what));
            };
            match self.events_as(&who).await {
                Err(error)
                    if error.status == Some(401) && matches!(who, Authorization::Token(_)) =>
                {
                    self.session.doubt(&who).await;
                    Err(error.with_kind(ErrorKind::LoggedOut))
                }
                done => done,
            }
        })
        .await
    }

    async fn events_as(&self, who: &Authorization) -> Result<Option<EventStream>, Error> {
        let root = self.get_as(ROOT, &Authorization::None).await?;
        let Some(path) = link(&root.value, "/EventService") else { return Ok(None) };
        let service = match self.get_as(&path, who).await {
            Err(error) if error.kind == ErrorKind::Unsupported => return Ok(None),
            done => done?,
        };
        let is_off = service.value.pointer("/ServiceEnabled") == Some(&Value::Bool(false));
        let uri = text(&service.value, "/ServerSentEventUri").filter(|_| !is_off);
        let Some(path) = uri.and_then(location) else { return Ok(None) };
        let ask = Ask::get(&path);
        let response = self.wire.open(&ask, who, LIFE).await?;
        let kind = response.headers().get(CONTENT_TYPE).map(|value| value.as_bytes());
        if !kind.is_some_and(|kind| kind.starts_with(b"text/event-stream")) {
            let what = "the answer is no stream of events";
            return Err(self.error(&ask.shown(), ErrorKind::Malformed, what));
        }
        Ok(Some(EventStream {
            host: self.host().to_owned(),
            asked: ask.shown(),
            response,
            decoder: SseDecoder::with_limit(EVENT_BYTES),
            unread: Bytes::new(),
            budget: Budget::new(),
        }))
    }
}

impl EventStream {
    /// Waits for the next event. What is none (keep-alives, metric reports) is passed over. Nothing is
    /// lost if it is dropped while it waits.
    ///
    /// # Errors
    /// The stream has ended, or is of no use: an event of more than 64 KiB, or more than 1 MiB within a
    /// minute. It has to be opened anew.
    pub async fn next(&mut self) -> Result<Event, Error> {
        loop {
            while let Some(decoded) = self.decoder.next(&mut self.unread) {
                let Ok(decoded) = decoded else {
                    let what = format!("an event has more than {EVENT_BYTES_MAX} bytes");
                    return Err(self.error(ErrorKind::Malformed, what));
                };
                let SseEvent::Message(message) = decoded else { continue };
                if let Some(event) = Event::read(&message.data) {
                    return Ok(event);
                }
            }
            let chunk = self.response.chunk().await;
            let chunk = chunk.map_err(|error| transport(&self.host, self.asked.clone(), error))?;
            let Some(chunk) = chunk else {
                return Err(self.error(ErrorKind::NoAnswer, "the service ended the stream"));
            };
            if !self.budget.allows(chunk.len()) {
                let what = format!("more than {WINDOW_BYTES_MAX} bytes within a minute");
                return Err(self.error(ErrorKind::Malformed, what));
            }
            self.unread = chunk;
        }
    }

    fn error(&self, kind: ErrorKind, what: impl Into<String>) -> Error {
        Error::new(&self.host, &self.asked, kind, what)
    }
}

impl fmt::Debug for EventStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventStream")
            .field("host", &self.host)
            .field("asked", &self.asked)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_minute_has_its_bytes() {
        let mut budget = Budget::new();
        assert!(budget.allows(WINDOW_BYTES_MAX));
        assert!(!budget.allows(1));
        tokio::time::advance(WINDOW).await;
        assert!(budget.allows(WINDOW_BYTES_MAX));
        assert!(!budget.allows(usize::MAX), "it does not wrap");
    }
}
