//! The HTTP side: who may come in, and what goes wrong on the way.

use super::answer::{self, Reply};
use super::digest::Verdict;
use super::settings::{Break, Refusal};
use super::{Shared, lock};
use futures_util::stream;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, Limited, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, WWW_AUTHENTICATE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};

/// Longest question, in bytes.
const QUESTION_BYTES_MAX: usize = 64 << 10;

type Answer = Response<BoxBody<Bytes, io::Error>>;

pub(super) async fn serve<S>(stream: S, shared: Arc<Shared>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let service = service_fn(|request| receive(Arc::clone(&shared), request));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), service);
    // It ends in an error where a knob breaks it, or where the client goes away.
    connection.await.ok();
}

async fn receive(shared: Arc<Shared>, request: Request<Incoming>) -> io::Result<Answer> {
    shared.count(|counters| counters.requests += 1);
    let (head, body) = request.into_parts();
    let uri = head.uri.path().to_owned();
    let knobs = shared.knobs();
    let Ok(body) = Limited::new(body, QUESTION_BYTES_MAX).collect().await else {
        return status(StatusCode::PAYLOAD_TOO_LARGE);
    };
    let body = body.to_bytes();
    tokio::time::sleep(knobs.slow).await;
    if knobs.breaks == Some(Break::BeforeAnswer) {
        return Err(io::Error::other("told to break"));
    }
    if uri != "/wsman" {
        return status(StatusCode::NOT_FOUND);
    }
    if head.method != Method::POST {
        return status(StatusCode::METHOD_NOT_ALLOWED);
    }
    let login = head.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let verdict = lock(&shared.guard).judge(login, &uri);
    if verdict != Verdict::Passed {
        return refuse(&shared, &verdict);
    }
    if let Some(Refusal::Http(code)) = knobs.refuses {
        return status(StatusCode::from_u16(code).map_err(io::Error::other)?);
    }
    let Reply { status, text } = answer::answer(&shared, &knobs, &body).await;
    let text = knobs.says.unwrap_or_else(|| text.into_bytes());
    let answer = Response::builder()
        .status(status)
        .header(CONTENT_TYPE, "application/soap+xml; charset=UTF-8");
    let answer = if knobs.breaks == Some(Break::InAnswer) {
        answer.header(CONTENT_LENGTH, text.len()).body(cut(&text))
    } else {
        answer.body(whole(text))
    };
    answer.map_err(io::Error::other)
}

fn refuse(shared: &Shared, verdict: &Verdict) -> io::Result<Answer> {
    shared.count(|counters| match verdict {
        Verdict::NoLogin => counters.challenges += 1,
        Verdict::Stale => counters.stale += 1,
        Verdict::Passed | Verdict::Wrong => counters.wrong_logins += 1,
    });
    let challenge = lock(&shared.guard).challenge(*verdict == Verdict::Stale);
    let answer = Response::builder()
        .status(StatusCode::UNAUTHORIZED)
        .header(WWW_AUTHENTICATE, challenge)
        .header(CONTENT_TYPE, "text/html")
        .body(whole(b"<html><body>Log on</body></html>".to_vec()));
    answer.map_err(io::Error::other)
}

fn status(status: StatusCode) -> io::Result<Answer> {
    Response::builder().status(status).body(whole(Vec::new())).map_err(io::Error::other)
}

fn whole(bytes: Vec<u8>) -> BoxBody<Bytes, io::Error> {
    Full::new(Bytes::from(bytes)).map_err(|never| match never {}).boxed()
}

/// Half of it, and then an error: the connection breaks.
fn cut(bytes: &[u8]) -> BoxBody<Bytes, io::Error> {
    let half = bytes.get(..bytes.len() / 2).unwrap_or_default();
    let frames =
        [Ok(Frame::data(Bytes::copy_from_slice(half))), Err(io::Error::other("told to break"))];
    BodyExt::boxed(StreamBody::new(stream::iter(frames)))
}
