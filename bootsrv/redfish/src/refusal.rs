//! What an answer that is no success, or no answer at all, means.

use crate::document::text;
use crate::{Error, ErrorKind};
use reqwest::StatusCode;
use serde_json::Value;
use std::error::Error as StdError;
use std::io;
use std::time::Duration;

/// Longest part of a service's words that is shown, in characters.
const WORDS_MAX: usize = 300;
/// Most messages of one answer that are shown.
const MESSAGES_MAX: usize = 3;
/// Longest time that a service may ask us to wait.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(600);

/// Messages of the Base registry (DSP8011) that say "later", whatever the status.
const LATER: [&str; 5] = [
    "SessionLimitExceeded",
    "ServiceTemporarilyUnavailable",
    "ServiceShuttingDown",
    "ResourceInUse",
    "ServiceInUnknownState",
];

/// An answer that is no success. `retry_after` is that header's text.
pub(crate) fn answered(
    host: &str,
    asked: String,
    status: StatusCode,
    retry_after: Option<&str>,
    body: &[u8],
) -> Error {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let said = words(&body).map_or_else(String::new, |words| format!(": {words}"));
    let kind = kind(status, &body, retry_after);
    Error::new(host, asked, kind, format!("{status}{said}")).with_status(status.as_u16())
}

fn kind(status: StatusCode, body: &Value, retry_after: Option<&str>) -> ErrorKind {
    let busy = ErrorKind::Busy { retry_after: retry_after.and_then(wait) };
    if messages(body).any(is_later) {
        return busy;
    }
    match status.as_u16() {
        408 | 409 | 423 | 429 | 502 | 503 | 504 => busy,
        401 | 403 | 407 => ErrorKind::Refused,
        404 | 405 | 410 | 501 => ErrorKind::Unsupported,
        300..=399 => ErrorKind::Malformed,
        _ => ErrorKind::Failed,
    }
}

/// `Base.1.8.ResourceInUse`: registry, version, message.
fn is_later(message: &Value) -> bool {
    let id = text(message, "/MessageId").unwrap_or_default();
    let name = id.rsplit('.').next().unwrap_or_default();
    LATER.contains(&name)
}

/// Seconds; a date is what no controller sends, as their clocks are wrong.
fn wait(text: &str) -> Option<Duration> {
    let seconds = text.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX))
}

fn messages(body: &Value) -> impl Iterator<Item = &Value> {
    let listed = body.pointer("/error/@Message.ExtendedInfo").and_then(Value::as_array);
    listed.into_iter().flatten()
}

/// The service's own words (DSP0266, "Error responses"): those of the messages, or else of the error.
fn words(body: &Value) -> Option<String> {
    let listed: Vec<&str> =
        messages(body).filter_map(|message| text(message, "/Message")).take(MESSAGES_MAX).collect();
    let said = match listed.is_empty() {
        true => text(body, "/error/message")?.to_owned(),
        false => listed.join(" "),
    };
    Some(one_line(&said))
}

/// No answer, or no whole one.
pub(crate) fn transport(host: &str, asked: String, error: reqwest::Error) -> Error {
    let cause = chain(&error).last().map_or_else(String::new, |error| one_line(&error.to_string()));
    let is_tls = chain(&error).any(|error| error.is::<rustls::Error>());
    let (kind, what) = if is_tls {
        (ErrorKind::Refused, format!("it is not the service we know, or has no TLS: {cause}"))
    } else if error.is_connect() && error.is_timeout() {
        (ErrorKind::NoAnswer, "no connection in time".into())
    } else if error.is_timeout() {
        (ErrorKind::NoAnswer, "no whole answer in time".into())
    } else if error.is_connect() {
        (ErrorKind::NoAnswer, format!("no connection: {cause}"))
    } else {
        (ErrorKind::NoAnswer, format!("the connection broke: {cause}"))
    };
    Error::new(host, asked, kind, what)
}

/// The errors from the outermost to the innermost. The standard library's I/O error stands for what
/// it holds.
fn chain<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn StdError + 'static)| {
        let error: &'a (dyn StdError + 'static) = *error;
        let held = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        held.map(|held| held as &(dyn StdError + 'static)).or_else(|| error.source())
    })
}

/// Foreign text in one line: no control characters, not too long.
pub(crate) fn one_line(text: &str) -> String {
    let text: String = text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    match text.char_indices().nth(WORDS_MAX) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(status: u16, retry_after: Option<&str>, body: &str) -> Error {
        let status = StatusCode::from_u16(status).unwrap();
        answered("c1", "POST /x".into(), status, retry_after, body.as_bytes())
    }

    #[test]
    fn errors_are_sorted_by_what_a_caller_would_do() {
        let busy = |seconds| ErrorKind::Busy { retry_after: seconds };
        for (status, kind) in [
            (503, busy(None)),
            (409, busy(None)),
            (429, busy(None)),
            (401, ErrorKind::Refused),
            (403, ErrorKind::Refused),
            (404, ErrorKind::Unsupported),
            (405, ErrorKind::Unsupported),
            (501, ErrorKind::Unsupported),
            (400, ErrorKind::Failed),
            (500, ErrorKind::Failed),
            (307, ErrorKind::Malformed),
        ] {
            assert_eq!(error(status, None, "").kind, kind, "{status}");
        }
        assert_eq!(error(503, Some("7"), "").kind, busy(Some(Duration::from_secs(7))));
        assert_eq!(error(503, Some("9999999"), "").kind, busy(Some(RETRY_AFTER_MAX)));
        assert_eq!(error(503, Some("soon"), "").kind, busy(None));
        let full = r#"{"error":{"@Message.ExtendedInfo":[{"MessageId":"Base.1.8.SessionLimitExceeded",
            "Message":"The session establishment failed."}]}}"#;
        assert_eq!(error(400, None, full).kind, busy(None));
    }

    #[test]
    fn the_services_words_are_shown_in_one_short_line() {
        let body = r#"{"error":{"code":"Base.1.8.GeneralError","message":"see below",
            "@Message.ExtendedInfo":[{"Message":"The value\n'Pxe' is\u001b[31m odd."},{"Message":"Ask."},7]}}"#;
        let text = error(400, None, body).to_string();
        assert_eq!(text, "c1: POST /x: 400 Bad Request: The value 'Pxe' is [31m odd. Ask.");
        let plain = error(500, None, r#"{"error":{"message":"it broke"}}"#).to_string();
        assert!(plain.ends_with("500 Internal Server Error: it broke"), "{plain}");
        let long = format!(r#"{{"error":{{"message":"{}"}}}}"#, "x".repeat(5000));
        assert!(error(500, None, &long).to_string().len() < 400);
        for odd in ["<html>", "[]", r#"{"error":"x"}"#, r#"{"error":{"@Message.ExtendedInfo":{}}}"#]
        {
            assert!(error(500, None, odd).to_string().ends_with("Error"), "{odd}");
        }
    }
}
