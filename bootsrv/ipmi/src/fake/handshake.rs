//! The controller's side of the handshake: Open Session and RAKP 1 to 4 (IPMI 2.0, sections 13.17 to
//! 13.24), with formulas of its own, so that a mistake in the client's does not cancel out.

use super::serve::Machine;
use super::session::Session;
use crate::address::Privilege;
use crate::error::{Malformed, SessionStatus};
use crate::wire::packet::{Payload, decode_plain, encode_plain};
use crate::wire::reader::Reader;
use crate::wire::suite::{CipherSuite, Keys};
use tokio::time::Instant;

const GUID: [u8; 16] = *b"simulated system";
/// The part of a role byte that is the privilege.
const PRIVILEGE: u8 = 0x0F;

/// The answer's payload; `None`: none is due.
type Payloads = Result<Option<Vec<u8>>, Malformed>;

impl Machine {
    /// The answer to a packet of the handshake. `None`: it is none, or has no answer.
    pub(super) fn handshake(
        &mut self,
        packet: &[u8],
        now: Instant,
    ) -> Result<Option<Vec<u8>>, Malformed> {
        if let Some(payload) = decode_plain(Payload::OpenRequest, packet)? {
            let answer = self.open(payload, now)?;
            return Ok(Some(encode_plain(Payload::OpenResponse, &answer)));
        }
        if let Some(payload) = decode_plain(Payload::Rakp1, packet)? {
            let answer = self.rakp1(payload, now)?;
            return Ok(answer.map(|answer| encode_plain(Payload::Rakp2, &answer)));
        }
        if let Some(payload) = decode_plain(Payload::Rakp3, packet)? {
            let answer = self.rakp3(payload, now)?;
            return Ok(answer.map(|answer| encode_plain(Payload::Rakp4, &answer)));
        }
        Ok(None)
    }

    fn open(&mut self, payload: &[u8], now: Instant) -> Result<Vec<u8>, Malformed> {
        let mut reader = Reader::new(payload);
        let [tag, _privilege, _, _] = reader.array("head")?;
        let console = reader.u32("console's session id")?;
        let algorithms = reader.rest();
        let mut named = [0; 3];
        for algorithm in &mut named {
            let [_kind, _, _, _length, number, ..] = reader.array::<8>("algorithm")?;
            *algorithm = number;
        }
        let refused =
            |status: SessionStatus| [&[tag, status.0, 0, 0], &console.to_le_bytes()[..]].concat();
        let known = CipherSuite::ALL.into_iter().find(|suite| suite.algorithms() == named);
        let Some(suite) = known.filter(|suite| self.settings.suites.contains(suite)) else {
            return Ok(refused(SessionStatus::NO_CIPHER_SUITE_MATCH));
        };
        let random = self.random.bytes();
        let [a, b, c, d, ..] = self.random.bytes();
        let session = Session::new(console, suite, random, now);
        let Some(id) = self.sessions.add(u32::from_le_bytes([a, b, c, d]), session) else {
            self.counters.full += 1;
            return Ok(refused(SessionStatus::INSUFFICIENT_RESOURCES));
        };
        let limit = self.settings.login_privilege.level();
        Ok([&[tag, 0, limit, 0], &console.to_le_bytes()[..], &id.to_le_bytes(), algorithms]
            .concat())
    }

    fn rakp1(&mut self, payload: &[u8], now: Instant) -> Payloads {
        let mut reader = Reader::new(payload);
        let [tag, _, _, _] = reader.array("head")?;
        let id = reader.u32("session id")?;
        let console_random = reader.array("random number")?;
        let [role, _, _, length] = reader.array("role and name's length")?;
        let name = reader.take(length.into(), "name")?;
        let Some(session) = self.sessions.get(id, now) else { return Ok(None) };
        let console = session.console.to_le_bytes();
        let refusal = if name != self.settings.user.as_bytes() {
            Some(SessionStatus::UNAUTHORIZED_NAME)
        } else if role & PRIVILEGE > self.settings.login_privilege.level() {
            Some(SessionStatus::UNAUTHORIZED_ROLE)
        } else {
            None
        };
        if let Some(status) = refusal {
            self.sessions.remove(id);
            self.counters.refused_logins += 1;
            return Ok(Some([&[tag, status.0, 0, 0], &console[..]].concat()));
        }
        session.console_random = console_random;
        session.identity = [&[role, length], name].concat();
        // Where a session starts, unless its login asks for less (IPMI 2.0, section 22.18).
        session.privilege = (role & PRIVILEGE).min(Privilege::User.level());
        let Session { suite, random, identity, .. } = session;
        let parts: [&[u8]; 6] =
            [&console, &id.to_le_bytes(), &console_random, random, &GUID, identity];
        let proof = suite.hmac(self.settings.password.as_bytes(), &parts);
        Ok(Some([&[tag, 0, 0, 0], &console[..], &*random, &GUID, &proof].concat()))
    }

    fn rakp3(&mut self, payload: &[u8], now: Instant) -> Payloads {
        let mut reader = Reader::new(payload);
        let [tag, status, _, _] = reader.array("head")?;
        let id = reader.u32("session id")?;
        let password = self.settings.password.as_bytes();
        let key = self.settings.controller_key.as_deref().unwrap_or(password);
        let Some(session) = self.sessions.get(id, now) else { return Ok(None) };
        let Session { console, suite, random, console_random, identity, .. } = session;
        let console = console.to_le_bytes();
        let proof = suite.hmac(password, &[random, &console, identity]);
        if status != 0 || identity.is_empty() || proof != reader.rest() {
            self.sessions.remove(id);
            self.counters.refused_logins += 1;
            let answer = [&[tag, SessionStatus::INVALID_INTEGRITY_VALUE.0, 0, 0], &console[..]];
            // A client that gave up itself hears nothing more.
            return Ok((status == 0).then(|| answer.concat()));
        }
        let key = suite.hmac(key, &[console_random, random, identity]);
        let mut proof = suite.hmac(&key, &[console_random, &id.to_le_bytes(), &GUID]);
        proof.truncate(suite.integrity_length());
        let keys = Keys::derive(*suite, &key);
        if session.keys.replace(keys).is_none() {
            self.counters.sessions += 1;
        }
        Ok(Some([&[tag, 0, 0, 0], &console[..], &proof].concat()))
    }
}
