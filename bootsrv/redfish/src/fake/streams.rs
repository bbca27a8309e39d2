//! The streams of the made-up service's events, on the wire.

use super::answers::{Answered, Reply};
use super::state::State;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, header};
use axum::response::Response;
use futures_util::stream;
use serde_json::json;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// Opens one, which is a subscription too as long as it lasts.
pub(super) fn open(state: &mut State, headers: &HeaderMap) -> Answered {
    let refuse = |status, id, message| Answered::Whole(Reply::error(status, id, message));
    let accepts = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    if !accepts.is_none_or(|text| text.contains("text/event-stream") || text.contains("*/*")) {
        return refuse(406, "Base.1.8.HeaderInvalid", "It is a stream of events.");
    }
    if state.streams.len() >= state.streams_max {
        return refuse(503, "Base.1.8.EventSubscriptionLimitExceeded", "There are too many.");
    }
    let number = state.next_number();
    let (sender, receiver) = unbounded_channel();
    // Clients shall pass over comments.
    drop(sender.send(": stream\n\n".into()));
    state.streams.insert(number, sender);
    Answered::Stream(number, receiver)
}

/// The answer that does not end; its subscription ends with it.
pub(super) fn respond(
    state: &Arc<Mutex<State>>,
    number: u64,
    received: UnboundedReceiver<String>,
) -> Response {
    let open = Open { state: Arc::clone(state), number, received };
    let texts = stream::unfold(open, async |mut open| {
        let text = open.received.recv().await?;
        Some((Ok::<_, Infallible>(Bytes::from(text)), open))
    });
    let mut response = Response::new(Body::from_stream(texts));
    let kind = header::HeaderValue::from_static("text/event-stream");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

struct Open {
    state: Arc<Mutex<State>>,
    number: u64,
    received: UnboundedReceiver<String>,
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.streams.remove(&self.number);
    }
}

/// An event with one record, as it is sent.
pub(super) fn event(state: &mut State, severity: &str, message: &str) -> String {
    let id = state.next_number().to_string();
    let system = format!("/redfish/v1/Systems/{}", state.shape.names().system);
    let event = json!({"@odata.type": "#Event.v1_7_0.Event", "Id": id, "Name": "Event",
        "Events": [{"MemberId": "0", "EventType": "StatusChange", "EventId": id,
            "EventTimestamp": "2026-11-21T11:00:00Z", "MessageSeverity": severity,
            "Message": message, "MessageId": "ResourceEvent.1.3.ResourceStateChanged",
            "OriginOfCondition": {"@odata.id": system}}]});
    format!("id: {id}\ndata: {event}\n\n")
}
