//! The server's side of digest authentication (RFC 2617, RFC 7616), by formulas of its own.

use super::settings::{Algorithm, FakeSettings};
use http_auth::{ChallengeRef, parse_challenges};
use md5::Md5;
use sha2::{Digest, Sha256};
use std::collections::VecDeque;
use std::fmt::Write as _;
use std::time::Instant;

/// Most nonces that are remembered; the oldest goes first.
const NONCES_MAX: usize = 64;
/// As AMT's: the word and 32 hexadecimal digits.
const REALM: &str = "Digest:A4070000000000000000000000000000";

/// Who may pass.
#[derive(Debug)]
pub(super) struct Guard {
    settings: FakeSettings,
    nonces: VecDeque<Nonce>,
}

#[derive(Debug)]
struct Nonce {
    text: String,
    given: Instant,
    /// Highest count so far.
    count: u32,
}

/// What becomes of a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Passed,
    /// No login in it.
    NoLogin,
    /// Right, but for the nonce.
    Stale,
    Wrong,
}

impl Guard {
    pub(super) fn new(settings: FakeSettings) -> Self {
        Self { settings, nonces: VecDeque::new() }
    }

    pub(super) fn forget(&mut self) {
        self.nonces.clear();
    }

    /// A challenge with a new nonce. AMT names no algorithm, and quotes `stale`.
    pub(super) fn challenge(&mut self, stale: bool) -> String {
        let mut random = [0; 16];
        // A nonce of zeros would still be a nonce; this is a fake.
        getrandom::fill(&mut random).ok();
        let text = hex(&random);
        if self.nonces.len() >= NONCES_MAX {
            self.nonces.pop_front();
        }
        let qop = &self.settings.qop;
        let algorithm = match self.settings.algorithm {
            Algorithm::Md5 => "",
            Algorithm::Sha256 => ",algorithm=SHA-256",
        };
        let challenge = format!(
            "Digest realm=\"{REALM}\", nonce=\"{text}\",stale=\"{stale}\",qop=\"{qop}\"{algorithm}"
        );
        self.nonces.push_back(Nonce { text, given: Instant::now(), count: 0 });
        challenge
    }

    /// Judges the Authorization header of a POST to `uri`.
    pub(super) fn judge(&mut self, header: Option<&str>, uri: &str) -> Verdict {
        let Some(header) = header else { return Verdict::NoLogin };
        let Ok(logins) = parse_challenges(header) else { return Verdict::Wrong };
        let [login] = logins.as_slice() else { return Verdict::Wrong };
        match self.check(login, uri) {
            Some(verdict) => verdict,
            None => Verdict::Wrong,
        }
    }

    /// `None`: something is missing or wrong.
    fn check(&mut self, login: &ChallengeRef<'_>, uri: &str) -> Option<Verdict> {
        let get = |name: &str| {
            let found = login.params.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
            found.map(|(_, value)| value.to_unescaped())
        };
        let FakeSettings { user, password, algorithm, .. } = &self.settings;
        let hash = |parts: &[&str]| digest(*algorithm, parts.join(":").as_bytes());
        let (nonce, count, client) = (get("nonce")?, get("nc")?, get("cnonce")?);
        let qop = get("qop")?;
        let named = get("algorithm").unwrap_or_else(|| "MD5".into());
        let wanted = match algorithm {
            Algorithm::Md5 => "MD5",
            Algorithm::Sha256 => "SHA-256",
        };
        if !login.scheme.eq_ignore_ascii_case("digest") || qop != "auth" || named != wanted {
            return None;
        }
        if get("username")? != *user || get("realm")? != REALM || get("uri")? != uri {
            return None;
        }
        let secret = hash(&[user, REALM, password]);
        let request = hash(&["POST", uri]);
        let expected = hash(&[&secret, &nonce, &count, &client, &qop, &request]);
        if get("response")? != expected {
            return None;
        }
        let count = u32::from_str_radix(&count, 16).ok()?;
        Some(self.use_nonce(&nonce, count))
    }

    fn use_nonce(&mut self, text: &str, count: u32) -> Verdict {
        let FakeSettings { nonce_life, nonce_uses, .. } = self.settings;
        let Some(nonce) = self.nonces.iter_mut().find(|nonce| nonce.text == text) else {
            return Verdict::Stale;
        };
        // A count that does not rise is a replay.
        if nonce.given.elapsed() > nonce_life || count > nonce_uses || count <= nonce.count {
            return Verdict::Stale;
        }
        nonce.count = count;
        Verdict::Passed
    }
}

fn digest(algorithm: Algorithm, bytes: &[u8]) -> String {
    match algorithm {
        Algorithm::Md5 => hex(&Md5::digest(bytes)),
        Algorithm::Sha256 => hex(&Sha256::digest(bytes)),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        write!(text, "{byte:02x}").ok();
        text
    })
}
