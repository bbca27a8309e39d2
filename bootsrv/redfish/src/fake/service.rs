//! The made-up service on the wire, with its faults.

use super::answers::{Answered, Asked, Reply, answer};
use super::state::{Fault, State};
use super::streams;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::response::Response;
use futures_util::stream;
use serde_json::Value;
use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

/// Largest request.
const REQUEST_BYTES_MAX: usize = 64 << 10;

pub(super) fn router(state: &Arc<Mutex<State>>) -> Router {
    let state = Arc::clone(state);
    Router::new().fallback(move |request: Request| serve(Arc::clone(&state), request))
}

async fn serve(state: Arc<Mutex<State>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, REQUEST_BYTES_MAX).await.unwrap_or_default();
    let path = parts.uri.path().trim_end_matches('/');
    let asked = Asked {
        path: path.strip_prefix("/redfish/v1").unwrap_or("?").trim_start_matches('/').to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        method: parts.method,
        headers: parts.headers,
        body: serde_json::from_slice(&body).unwrap_or_default(),
    };
    let (fault, answered) = {
        let mut locked = state.lock().unwrap_or_else(PoisonError::into_inner);
        locked.asked.push(format!("{} {}", asked.method, parts.uri.path()));
        let fault = locked.fault(parts.uri.path());
        let answered = match fault {
            None | Some(Fault::Cut | Fault::Slow(_)) => answer(&mut locked, &asked),
            Some(_) => Answered::Whole(Reply::new(200, None)),
        };
        (fault, answered)
    };
    match answered {
        Answered::Whole(reply) => respond(fault, reply).await,
        Answered::Stream(number, received) => streams::respond(&state, number, received),
    }
}

async fn respond(fault: Option<Fault>, reply: Reply) -> Response {
    let plain = |status: u16| Reply::error(status, "Base.1.8.InternalError", "It failed.");
    match fault {
        None => http(&reply),
        Some(Fault::Status(status)) => http(&plain(status)),
        Some(Fault::Busy(seconds)) => http(
            &Reply::error(503, "Base.1.8.ServiceTemporarilyUnavailable", "Try later.")
                .header("Retry-After", seconds.to_string()),
        ),
        Some(Fault::Cut) => {
            let start: Result<Bytes, io::Error> = Ok(Bytes::from_static(b"{\"Id\":"));
            let cut = Err(io::Error::from(io::ErrorKind::ConnectionReset));
            Response::new(Body::from_stream(stream::iter([start, cut])))
        }
        Some(Fault::Slow(time)) => {
            tokio::time::sleep(time).await;
            http(&reply)
        }
        Some(Fault::Hang) => std::future::pending().await,
        Some(Fault::Text(text)) => Response::new(text.into()),
        Some(Fault::Endless) => {
            let chunk: Result<Bytes, Infallible> = Ok(Bytes::from(vec![b' '; 64 << 10]));
            Response::new(Body::from_stream(stream::repeat(chunk)))
        }
    }
}

fn http(reply: &Reply) -> Response {
    let text = reply.body.as_ref().map(Value::to_string).unwrap_or_default();
    let mut builder =
        Response::builder().status(reply.status).header(header::CONTENT_TYPE, "application/json");
    for (name, value) in &reply.headers {
        builder = builder.header(*name, value);
    }
    builder.body(text.into()).unwrap_or_else(|_| {
        let mut broken = Response::new(Body::empty());
        *broken.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        broken
    })
}
