//! What went wrong with a registry, in words: ours for what happened, the registry's own for why.

use super::reach::Local;
use crate::error::{Blame, PrepareError};
use reqwest::StatusCode;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use serde::Deserialize;
use std::error::Error as StdError;
use std::io;
use std::time::Duration;

/// Longest part of a registry's words that is shown, in characters.
const WORDS_MAX: usize = 300;

/// Whether it may be different the next time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Again {
    /// No.
    Never,
    /// Perhaps, after this time if the registry named one.
    Later(Option<Duration>),
}

/// A request that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) blame: Blame,
    /// What follows the image's name and a colon.
    pub(crate) text: String,
    pub(crate) again: Again,
}

impl Failure {
    /// Whoever named the image has to act.
    pub(crate) fn user(text: impl Into<String>) -> Self {
        Self { blame: Blame::User, text: text.into(), again: Again::Never }
    }

    /// The site or the registry's keeper has to act.
    pub(crate) fn site(text: impl Into<String>) -> Self {
        Self { blame: Blame::Site, text: text.into(), again: Again::Never }
    }

    /// It may pass by itself.
    pub(crate) fn passing(text: impl Into<String>) -> Self {
        Self { again: Again::Later(None), ..Self::site(text) }
    }

    /// What is missing is not the image but a part of it: the registry's keeper has to act.
    pub(crate) fn of_a_part(self) -> Self {
        Self { blame: Blame::Site, ..self }
    }

    /// An answer that is no success. `what` was asked for, e.g. `it` or `its layer sha256:…`.
    pub(crate) fn answered(
        registry: &str,
        what: &str,
        status: StatusCode,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Self {
        let words = words(body).map_or_else(String::new, |words| format!(": {words}"));
        let said = format!("({status}{words})");
        let later =
            Again::Later(headers.get(RETRY_AFTER).and_then(|value| asked(value.to_str().ok()?)));
        match status {
            StatusCode::NOT_FOUND => Self::user(format!("{registry} does not have {what} {said}")),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                Self::user(format!("{registry} does not give {what} {said}"))
            }
            StatusCode::TOO_MANY_REQUESTS => {
                Self { again: later, ..Self::site(format!("{registry} asks for patience {said}")) }
            }
            StatusCode::REQUEST_TIMEOUT => Self::passing(format!("{registry} was too slow {said}")),
            status if status.is_server_error() => {
                Self { again: later, ..Self::site(format!("{registry} has a failure {said}")) }
            }
            StatusCode::BAD_REQUEST => {
                Self::user(format!("{registry} does not understand the name {said}"))
            }
            _ => Self::site(format!("{registry} gave an unexpected answer {said}")),
        }
    }

    /// A host that is not asked ([`super::reach`]).
    pub(crate) fn local(registry: &str, cause: &str) -> Self {
        let registry = one_line(registry);
        Self::user(format!(
            "{registry} is not asked: {cause}; an administrator can allow that by a section \
             [application_images.registry.\"{registry}\"] of bootsrv.toml"
        ))
    }

    /// No answer, or no whole one.
    pub(crate) fn transport(registry: &str, idle: Duration, error: &reqwest::Error) -> Self {
        let cause = root_cause(error);
        if has::<Local>(error) {
            return Self::local(registry, &cause);
        }
        if has::<rustls::Error>(error) {
            return Self::site(tls_text(registry, &cause));
        }
        if error.is_connect() && error.is_timeout() {
            return Self::passing(format!("{registry} cannot be reached: no connection in time"));
        }
        if error.is_timeout() {
            return Self::passing(format!("{registry} sent nothing for {} s", idle.as_secs_f32()));
        }
        // The words of getaddrinfo(3) for a name that does not exist; others may pass.
        if cause.ends_with("Name or service not known") {
            return Self::user(format!("there is no host {registry} ({cause})"));
        }
        if error.is_connect() {
            return Self::passing(format!("{registry} cannot be reached: {cause}"));
        }
        if error.is_redirect() {
            return Self::site(format!("{registry} redirects where it is not followed: {cause}"));
        }
        Self::passing(format!("the connection to {registry} broke: {cause}"))
    }
}

impl From<Failure> for PrepareError {
    fn from(failure: Failure) -> Self {
        Self { blame: failure.blame, reason: failure.text }
    }
}

fn tls_text(registry: &str, cause: &str) -> String {
    let hint = if cause.contains("InvalidContentType") {
        "it may speak plain HTTP: insecure = true"
    } else {
        "an authority of its own is named by ca_file"
    };
    format!(
        "{registry} cannot be reached by TLS: {cause} ({hint} in \
         [application_images.registry.\"{registry}\"] of bootsrv.toml)"
    )
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

fn root_cause(error: &reqwest::Error) -> String {
    chain(error).last().map_or_else(String::new, |error| one_line(&error.to_string()))
}

fn has<E: StdError + 'static>(error: &reqwest::Error) -> bool {
    chain(error).any(|error| error.downcast_ref::<E>().is_some())
}

/// `Retry-After`: seconds or a date.
fn asked(value: &str) -> Option<Duration> {
    if let Ok(seconds) = value.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::parse(value.trim()).ok()?;
    let wait = date.timestamp().duration_since(jiff::Timestamp::now());
    Some(Duration::try_from(wait).unwrap_or_default())
}

/// The words in the body of a refusal: `errors[].message` by the distribution specification, or
/// what token servers say.
fn words(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Body {
        #[serde(default)]
        errors: Vec<One>,
        details: Option<String>,
        message: Option<String>,
        error_description: Option<String>,
    }
    #[derive(Deserialize)]
    struct One {
        code: Option<String>,
        message: Option<String>,
    }
    let body: Body = serde_json::from_slice(body).ok()?;
    let named = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
    let one = |one: One| named(one.message).or(one.code);
    let listed: Vec<String> = body.errors.into_iter().filter_map(one).collect();
    let listed = (!listed.is_empty()).then(|| listed.join("; "));
    let other = [body.details, body.message, body.error_description];
    listed.or_else(|| other.into_iter().find_map(named)).map(|text| one_line(&text))
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

    fn answered(status: u16, body: &str) -> Failure {
        let status = StatusCode::from_u16(status).unwrap();
        Failure::answered("r.io", "it", status, &HeaderMap::new(), body.as_bytes())
    }

    #[test]
    fn the_registrys_own_words_are_shown() {
        let body =
            r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown","detail":{}}]}"#;
        let error = PrepareError::from(answered(404, body)).about(&"docker://r.io/x:1");
        assert_eq!(
            error.reason,
            "docker://r.io/x:1: r.io does not have it (404 Not Found: manifest unknown)"
        );
        assert_eq!(error.blame, Blame::User);
        assert!(answered(403, r#"{"errors":[{"code":"DENIED"}]}"#).text.contains("DENIED"));
        assert!(answered(401, r#"{"details":"incorrect password"}"#).text.contains("incorrect"));
        let html = answered(502, "<html>nginx</html>");
        assert_eq!(html.text, "r.io has a failure (502 Bad Gateway)");
        assert_eq!(html.again, Again::Later(None));
    }

    #[test]
    fn foreign_words_stay_one_short_line() {
        let body = format!(r#"{{"errors":[{{"message":"a\nb\u001b[31m{}"}}]}}"#, "x".repeat(1000));
        let text = answered(404, &body).text;
        assert!(!text.chars().any(char::is_control) && text.len() < 400, "{text}");
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        assert_eq!(asked("17"), Some(Duration::from_secs(17)));
        assert_eq!(asked("Fri, 31 Dec 1999 23:59:59 GMT"), Some(Duration::ZERO));
        let far = asked("Tue, 31 Dec 2999 23:59:59 GMT").unwrap();
        assert!(far > Duration::from_secs(1 << 32));
        assert_eq!(asked("soon"), None);
    }
}
