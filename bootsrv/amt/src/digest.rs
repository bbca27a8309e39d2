//! Digest authentication (RFC 7616): answers challenges, keeps the nonce for the next question.
//!
//! Of what a controller offers, the strongest of SHA-512/256, SHA-256 and MD5 is answered; MD5 is
//! what AMT's firmware is known to offer. Not answered: challenges without `qop=auth` (without a qop,
//! RFC 2069, nothing counts the requests; for `auth-int` http-auth 0.1.10 does not hash the body as
//! RFC 7616 has it) and the `-sess` variants, for which there is nothing to prove them on.

use crate::error::Kind;
use http_auth::digest::{Algorithm, DigestClient, Qop};
use http_auth::{ChallengeRef, PasswordParams, parse_challenges};
use reqwest::header::{HeaderMap, HeaderValue, WWW_AUTHENTICATE};

/// Longest challenge, in bytes.
const CHALLENGE_BYTES_MAX: usize = 4096;
/// Most challenge lines of one answer.
const CHALLENGES_MAX: usize = 8;

/// No login is possible as the controller wants it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoginError {
    /// It asks for no login, but refuses.
    #[error("it refuses, and does not say which login it wants")]
    NoChallenge,
    /// Kerberos only, Basic only, or an unknown algorithm.
    #[error("it wants a login that is not digest authentication by MD5 or SHA-256 with qop=auth")]
    NotDigest,
    /// A header that cannot be read.
    #[error("its login challenge cannot be read")]
    Unreadable,
    /// New nonces without end.
    #[error("it calls each of its own nonces stale")]
    AlwaysStale,
    /// What we know cannot be put into a header.
    #[error("user, realm or password cannot be used for a login")]
    Unusable,
}

impl LoginError {
    pub(crate) const fn kind(&self) -> Kind {
        match self {
            Self::NotDigest => Kind::Unsupported,
            Self::NoChallenge | Self::Unreadable | Self::AlwaysStale => Kind::Malformed,
            Self::Unusable => Kind::Refused,
        }
    }
}

/// User, password, and the challenge that is answered.
pub(crate) struct Login {
    user: String,
    password: String,
    challenge: Option<DigestClient>,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login").field("user", &self.user).finish_non_exhaustive()
    }
}

impl Login {
    pub(crate) fn new(user: String, password: String) -> Self {
        Self { user, password, challenge: None }
    }

    /// The header for a POST; `None`: there was no challenge yet.
    pub(crate) fn authorization(&mut self, uri: &str) -> Result<Option<HeaderValue>, LoginError> {
        let Some(challenge) = &mut self.challenge else { return Ok(None) };
        let answer = challenge.respond(&PasswordParams {
            username: &self.user,
            password: &self.password,
            uri,
            method: "POST",
            body: None,
        });
        let answer = answer.map_err(|_why| LoginError::Unusable)?;
        let mut value = HeaderValue::try_from(answer).map_err(|_why| LoginError::Unusable)?;
        value.set_sensitive(true);
        Ok(Some(value))
    }

    /// Takes the challenge of a refusal; gives whether it calls the nonce stale.
    pub(crate) fn take_challenge(&mut self, headers: &HeaderMap) -> Result<bool, LoginError> {
        let mut lines = headers.get_all(WWW_AUTHENTICATE).iter().take(CHALLENGES_MAX).peekable();
        if lines.peek().is_none() {
            return Err(LoginError::NoChallenge);
        }
        let mut best: Option<DigestClient> = None;
        for line in lines {
            let line = line.to_str().map_err(|_why| LoginError::Unreadable)?;
            if line.len() > CHALLENGE_BYTES_MAX {
                return Err(LoginError::Unreadable);
            }
            let challenges = parse_challenges(line).map_err(|_why| LoginError::Unreadable)?;
            for challenge in challenges.iter().filter_map(usable) {
                if best.as_ref().is_none_or(|best| rank(best) < rank(&challenge)) {
                    best = Some(challenge);
                }
            }
        }
        let best = best.ok_or(LoginError::NotDigest)?;
        let stale = best.stale();
        self.challenge = Some(best);
        Ok(stale)
    }

    /// After a refusal: the next question starts without a login, so that it costs one wrong try.
    pub(crate) fn forget(&mut self) {
        self.challenge = None;
    }
}

/// A challenge that can be answered; others stand beside it.
fn usable(challenge: &ChallengeRef<'_>) -> Option<DigestClient> {
    let digest = DigestClient::try_from(challenge).ok()?;
    let known = !digest.rfc2069_compat() && !digest.session() && digest.qop() & Qop::Auth;
    known.then_some(digest)
}

fn rank(challenge: &DigestClient) -> u8 {
    match challenge.algorithm() {
        Algorithm::Sha512Trunc256 => 3,
        Algorithm::Sha256 => 2,
        Algorithm::Md5 => 1,
        // The crate may learn another.
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn challenged(lines: &[&str]) -> (Login, Result<bool, LoginError>) {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(WWW_AUTHENTICATE, HeaderValue::from_bytes(line.as_bytes()).unwrap());
        }
        let mut login = Login::new("admin".into(), "secret".into());
        let stale = login.take_challenge(&headers);
        (login, stale)
    }

    fn answer(login: &mut Login) -> String {
        let header = login.authorization("/wsman").unwrap().unwrap();
        header.to_str().unwrap().to_owned()
    }

    #[test]
    fn the_strongest_offer_is_taken_and_the_nonce_is_counted() {
        let md5 = "Digest realm=\"Digest:A4070000\", nonce=\"n1\",stale=\"false\",qop=\"auth\"";
        let sha = "Digest realm=\"r\", nonce=\"n2\", algorithm=SHA-256, qop=\"auth, auth-int\"";
        let (mut login, stale) = challenged(&["Negotiate", md5, sha]);
        assert_eq!(stale, Ok(false));
        let first = answer(&mut login);
        assert!(first.contains("algorithm=SHA-256") && first.contains("qop=auth,"), "{first}");
        assert!(first.contains("nc=00000001") && answer(&mut login).contains("nc=00000002"));
        let (mut login, _) = challenged(&[md5]);
        assert!(answer(&mut login).contains("algorithm=MD5"));
        login.forget();
        assert_eq!(login.authorization("/").unwrap(), None);
    }

    #[test]
    fn other_logins_are_named_as_what_they_are() {
        let long = format!("Digest realm=\"{}\"", "x".repeat(CHALLENGE_BYTES_MAX));
        for (lines, error) in [
            (&[][..], LoginError::NoChallenge),
            (&["Negotiate"], LoginError::NotDigest),
            (&["Basic realm=\"r\""], LoginError::NotDigest),
            (&["Digest realm=\"r\", nonce=\"n\""], LoginError::NotDigest),
            (&["Digest realm=\"r\", nonce=\"n\", qop=\"auth-int\""], LoginError::NotDigest),
            (
                &["Digest realm=\"r\", nonce=\"n\", qop=\"auth\", algorithm=X"],
                LoginError::NotDigest,
            ),
            (
                &["Digest realm=\"r\", nonce=\"n\", qop=\"auth\", algorithm=MD5-sess"],
                LoginError::NotDigest,
            ),
            (&["Digest realm=\"r"], LoginError::Unreadable),
            (&["Digest realm=\"\u{e9}\", nonce=\"n\""], LoginError::Unreadable),
            (&[long.as_str()], LoginError::Unreadable),
        ] {
            assert_eq!(challenged(lines).1, Err(error), "{lines:?}");
        }
    }

    #[test]
    fn a_password_is_not_shown() {
        assert!(!format!("{:?}", Login::new("u".into(), "hush".into())).contains("hush"));
    }
}
