//! Logging in: what a registry asks for in `WWW-Authenticate`, and the token for it.
//!
//! Basic, and the token flow of the distribution project (with a password, a refresh token, or
//! nothing for public images). Passwords go to the registry and to the realm it names, by TLS unless
//! the site allows plain HTTP there.

use super::endpoint::{Endpoint, Login, Whose};
use super::failure::{Again, Failure};
use crate::credentials::Credential;
use crate::error::Blame;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_auth::ChallengeRef;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use reqwest::{RequestBuilder, Url};
use serde::Deserialize;

/// Longest answer of a token server, in bytes.
const TOKEN_BYTES_MAX: u64 = 1 << 20;

/// How the registry wants it.
#[derive(Debug, PartialEq, Eq)]
enum Challenge {
    Basic,
    Bearer { realm: String, service: Option<String>, scope: Option<String> },
}

/// What [`Challenge::Bearer`] gets.
#[derive(Deserialize)]
struct TokenAnswer {
    token: Option<String>,
    access_token: Option<String>,
}

/// The challenge that can be met, of those in the headers.
fn challenge(headers: &HeaderMap) -> Option<Challenge> {
    let texts = headers.get_all(WWW_AUTHENTICATE).into_iter();
    let texts: Vec<&str> = texts.filter_map(|value| value.to_str().ok()).collect();
    let all = texts.iter().filter_map(|text| http_auth::parse_challenges(text).ok()).flatten();
    let mut basic = None;
    for one in all {
        if one.scheme.eq_ignore_ascii_case("bearer") {
            return bearer(&one);
        }
        if one.scheme.eq_ignore_ascii_case("basic") {
            basic = Some(Challenge::Basic);
        }
    }
    basic
}

fn bearer(challenge: &ChallengeRef<'_>) -> Option<Challenge> {
    let value = |name: &str| {
        let found = challenge.params.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.to_unescaped())
    };
    Some(Challenge::Bearer {
        realm: value("realm")?,
        service: value("service"),
        scope: value("scope"),
    })
}

/// Answers a 401: the `Authorization` for the next try.
pub(super) async fn log_in(
    endpoint: &Endpoint,
    headers: &HeaderMap,
) -> Result<HeaderValue, Failure> {
    let name = &endpoint.name;
    match challenge(headers) {
        Some(Challenge::Basic) => match &endpoint.login {
            Some(Login { credential: Credential::Password { user, password }, .. }) => {
                secret("Basic", &STANDARD.encode(format!("{user}:{password}")))
            }
            Some(_) => {
                Err(Failure::user(format!("{name} wants a password, and no identity token")))
            }
            None => Err(needs_login(name)),
        },
        Some(Challenge::Bearer { realm, service, scope }) => {
            let own = format!("repository:{}:pull", endpoint.repository);
            let scope = scope.unwrap_or(own);
            token(endpoint, &realm, service.as_deref(), &scope).await
        }
        None => {
            Err(Failure::site(format!("{name} wants a login of a kind that is not known here")))
        }
    }
}

fn needs_login(name: &str) -> Failure {
    Failure::user(format!("{name} wants a login (log in to {name} where you submit the job)"))
}

fn secret(scheme: &str, text: &str) -> Result<HeaderValue, Failure> {
    let mut value = HeaderValue::from_str(&format!("{scheme} {text}"))
        .map_err(|_| Failure::site("its token cannot be sent in a header"))?;
    value.set_sensitive(true);
    Ok(value)
}

async fn token(
    endpoint: &Endpoint,
    realm: &str,
    service: Option<&str>,
    scope: &str,
) -> Result<HeaderValue, Failure> {
    let name = &endpoint.name;
    let realm = Url::parse(realm)
        .ok()
        .filter(Url::has_host)
        .ok_or_else(|| Failure::site(format!("{name} names no valid address for its tokens")))?;
    if realm.scheme() != "https" && endpoint.is_tls() {
        let host = realm.host_str().unwrap_or_default();
        let text = format!("{name} wants its login sent without TLS, to {host}: that is not done");
        return Err(Failure::site(text));
    }
    endpoint.check(&realm)?;
    let request = token_request(endpoint, realm, service, scope);
    let response =
        request.send().await.map_err(|error| Failure::transport(name, endpoint.idle, &error))?;
    let (status, headers) = (response.status(), response.headers().clone());
    let body = endpoint.read_all(response, TOKEN_BYTES_MAX).await?;
    if !status.is_success() {
        let failure = Failure::answered(name, "a token", status, &headers, &body);
        return Err(refused(endpoint.login.as_ref(), status.is_client_error(), failure));
    }
    let no_token = || Failure::site(format!("{name}'s token server sent no token"));
    let answer: TokenAnswer = serde_json::from_slice(&body).map_err(|_| no_token())?;
    let token = answer.token.or(answer.access_token).filter(|token| !token.is_empty());
    secret("Bearer", &token.ok_or_else(no_token)?)
}

fn token_request(
    endpoint: &Endpoint,
    mut realm: Url,
    service: Option<&str>,
    scope: &str,
) -> RequestBuilder {
    let service = service.unwrap_or_default();
    if let Some(Login { credential: Credential::IdentityToken(token), .. }) = &endpoint.login {
        return endpoint.caller.poster.post(realm).form(&[
            ("grant_type", "refresh_token"),
            ("service", service),
            ("client_id", "bare-metal-container"),
            ("scope", scope),
            ("refresh_token", token),
        ]);
    }
    realm.query_pairs_mut().append_pair("service", service).append_pair("scope", scope);
    let request = endpoint.caller.client.get(realm);
    match &endpoint.login {
        Some(Login { credential: Credential::Password { user, password }, .. }) => {
            request.basic_auth(user, Some(password))
        }
        _ => request,
    }
}

/// Who has to act when a login is refused: the one whose it is.
pub(super) fn refused(login: Option<&Login>, by_login: bool, failure: Failure) -> Failure {
    if failure.again != Again::Never || !by_login {
        return failure;
    }
    match login.map(|login| login.whose) {
        None => Failure { text: format!("{}, without a login", failure.text), ..failure },
        Some(Whose::User) => {
            Failure { text: format!("{}, with your login", failure.text), ..failure }
        }
        Some(Whose::Site) => Failure {
            text: format!("{}, with the site's login", failure.text),
            blame: Blame::Site,
            ..failure
        },
    }
}

/// Puts what was got for the last 401 on a request.
pub(super) fn authorize(request: RequestBuilder, value: Option<HeaderValue>) -> RequestBuilder {
    match value {
        Some(value) => request.header(AUTHORIZATION, value),
        None => request,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(texts: &[&str]) -> Option<Challenge> {
        let mut headers = HeaderMap::new();
        for text in texts {
            headers.append(WWW_AUTHENTICATE, text.parse().unwrap());
        }
        challenge(&headers)
    }

    #[test]
    fn a_token_is_asked_for_before_a_password() {
        let bearer =
            r#"Bearer realm="https://a.io/token",service="r.io",scope="repository:x:pull""#;
        let expected = Challenge::Bearer {
            realm: "https://a.io/token".into(),
            service: Some("r.io".into()),
            scope: Some("repository:x:pull".into()),
        };
        assert_eq!(parse(&[r#"Basic realm="x""#, bearer]), Some(expected));
        assert_eq!(parse(&[r#"basic realm="x""#]), Some(Challenge::Basic));
        assert_eq!(parse(&["Negotiate"]), None);
        assert_eq!(parse(&["Bearer service=\"x\""]), None, "no realm");
        assert_eq!(parse(&[]), None);
    }
}
