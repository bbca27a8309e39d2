//! The handshake: Open Session and RAKP 1 to 4 (IPMI 2.0, sections 13.17 to 13.24), its proofs and
//! the session's keys. Pure: random numbers and packets come from outside.

use crate::error::{Malformed, SessionStatus};
use crate::wire::reader::Reader;
use crate::wire::suite::{CipherSuite, Keys};

/// Find the account by its name alone, not by name and privilege.
const NAME_ONLY_LOOKUP: u8 = 0x10;

/// What the console brings to a handshake. It holds secrets, so it has no `Debug`.
pub(crate) struct Console<'a> {
    pub(crate) suite: CipherSuite,
    /// Our id of the session, not 0.
    pub(crate) session: u32,
    /// 16 random bytes.
    pub(crate) random: [u8; 16],
    /// Privilege level asked for.
    pub(crate) privilege: u8,
    /// At most 16 bytes.
    pub(crate) user: &'a str,
    pub(crate) password: &'a str,
    /// K_G; the password takes its place where the site has set none.
    pub(crate) controller_key: Option<&'a [u8]>,
}

/// What the controller brings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Controller {
    /// Its id of the session.
    pub(crate) session: u32,
    pub(crate) random: [u8; 16],
    pub(crate) guid: [u8; 16],
}

/// An answer of the handshake: the fields, or the controller's reason why there are none.
pub(crate) type Answer<T> = Result<T, SessionStatus>;

/// What a decoder makes of a payload. `None`: it answers another question.
type Decoded<T> = Result<Option<Answer<T>>, Malformed>;

/// Reads the first fields of all answers: tag, status, and our session id. `None`: the answer
/// belongs to another question.
fn begin(tag: u8, session: u32, payload: &[u8]) -> Decoded<Reader<'_>> {
    let mut reader = Reader::new(payload);
    let found_tag = reader.u8("message tag")?;
    let status = SessionStatus(reader.u8("status")?);
    if found_tag != tag {
        return Ok(None);
    }
    if status != SessionStatus(0) {
        // Some controllers leave the session id out of an answer with an error, or 0.
        let found = reader.u16("").and_then(|_| reader.u32("")).unwrap_or(0);
        return Ok((found == session || found == 0).then_some(Err(status)));
    }
    // The privilege granted or reserved, by the kind of answer; RAKP 1 asks for the privilege.
    reader.u16("reserved bytes")?;
    let found = reader.u32("console's session id")?;
    Ok((found == session).then_some(Ok(reader)))
}

impl Console<'_> {
    /// The part of RAKP 1 that all proofs cover: privilege and name.
    fn identity(&self) -> Vec<u8> {
        // The client has refused names of more than 16 bytes before.
        let length = u8::try_from(self.user.len()).unwrap_or(u8::MAX);
        [&[self.role(), length], self.user.as_bytes()].concat()
    }

    fn role(&self) -> u8 {
        NAME_ONLY_LOOKUP | self.privilege
    }

    pub(crate) fn open_request(&self, tag: u8) -> Vec<u8> {
        // Privilege 0 asks for the highest the algorithms allow; RAKP 1 names the one we want.
        let mut payload = vec![tag, 0, 0, 0];
        payload.extend(self.session.to_le_bytes());
        for (kind, algorithm) in (0u8..).zip(self.suite.algorithms()) {
            payload.extend([kind, 0, 0, 8, algorithm, 0, 0, 0]);
        }
        payload
    }

    /// The controller's id of the session.
    pub(crate) fn open_response(&self, tag: u8, payload: &[u8]) -> Decoded<u32> {
        let mut reader = match begin(tag, self.session, payload)? {
            Some(Ok(reader)) => reader,
            Some(Err(status)) => return Ok(Some(Err(status))),
            None => return Ok(None),
        };
        let session = reader.u32("controller's session id")?;
        if session == 0 {
            return Err(Malformed::Value { field: "controller's session id", found: 0 });
        }
        // The algorithms must be the ones we named: anything else would be a downgrade.
        for (kind, wanted) in (0u8..).zip(self.suite.algorithms()) {
            reader.expect_u8("algorithm's kind", kind)?;
            reader.array::<2>("reserved bytes")?;
            reader.expect_u8("algorithm's length", 8)?;
            reader.expect_u8("algorithm", wanted)?;
            reader.array::<3>("reserved bytes")?;
        }
        Ok(Some(Ok(session)))
    }

    pub(crate) fn rakp1(&self, tag: u8, controller_session: u32) -> Vec<u8> {
        let mut payload = vec![tag, 0, 0, 0];
        payload.extend(controller_session.to_le_bytes());
        payload.extend(self.random);
        payload.extend([self.role(), 0, 0]);
        payload.extend(self.identity().get(1..).unwrap_or_default());
        payload
    }

    /// The controller's part and its proof that it knows the password, not yet checked.
    pub(crate) fn rakp2(
        &self,
        tag: u8,
        controller_session: u32,
        payload: &[u8],
    ) -> Decoded<(Controller, Vec<u8>)> {
        let mut reader = match begin(tag, self.session, payload)? {
            Some(Ok(reader)) => reader,
            Some(Err(status)) => return Ok(Some(Err(status))),
            None => return Ok(None),
        };
        let random = reader.array("controller's random number")?;
        let guid = reader.array("controller's GUID")?;
        let proof = reader.take(self.suite.proof_length(), "proof")?;
        let controller = Controller { session: controller_session, random, guid };
        Ok(Some(Ok((controller, proof.to_vec()))))
    }

    /// Does the controller know the password?
    pub(crate) fn rakp2_is_proven(&self, controller: &Controller, proof: &[u8]) -> bool {
        let parts: [&[u8]; 6] = [
            &self.session.to_le_bytes(),
            &controller.session.to_le_bytes(),
            &self.random,
            &controller.random,
            &controller.guid,
            &self.identity(),
        ];
        proof.len() == self.suite.proof_length()
            && self.suite.hmac_is(self.password.as_bytes(), &parts, proof)
    }

    pub(crate) fn rakp3(&self, tag: u8, controller: &Controller) -> Vec<u8> {
        let parts: [&[u8]; 3] = [&controller.random, &self.session.to_le_bytes(), &self.identity()];
        let mut payload = vec![tag, 0, 0, 0];
        payload.extend(controller.session.to_le_bytes());
        payload.extend(self.suite.hmac(self.password.as_bytes(), &parts));
        payload
    }

    /// Tells the controller that its proof was wrong, so that it frees the session at once.
    pub(crate) fn rakp3_refusal(tag: u8, controller: &Controller) -> Vec<u8> {
        let mut payload = vec![tag, SessionStatus::INVALID_INTEGRITY_VALUE.0, 0, 0];
        payload.extend(controller.session.to_le_bytes());
        payload
    }

    fn session_integrity_key(&self, controller: &Controller) -> Vec<u8> {
        let key = self.controller_key.unwrap_or(self.password.as_bytes());
        self.suite.hmac(key, &[&self.random, &controller.random, &self.identity()])
    }

    /// The controller's proof that it has the same session key, not yet checked.
    pub(crate) fn rakp4(&self, tag: u8, payload: &[u8]) -> Decoded<Vec<u8>> {
        let mut reader = match begin(tag, self.session, payload)? {
            Some(Ok(reader)) => reader,
            Some(Err(status)) => return Ok(Some(Err(status))),
            None => return Ok(None),
        };
        let proof = reader.take(self.suite.integrity_length(), "proof")?;
        Ok(Some(Ok(proof.to_vec())))
    }

    /// The session's keys, if the controller's proof shows that it has the same.
    pub(crate) fn keys(&self, controller: &Controller, proof: &[u8]) -> Option<Keys> {
        let key = self.session_integrity_key(controller);
        let parts: [&[u8]; 3] = [&self.random, &controller.session.to_le_bytes(), &controller.guid];
        let proven =
            proof.len() == self.suite.integrity_length() && self.suite.hmac_is(&key, &parts, proof);
        proven.then(|| Keys::derive(self.suite, &key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
            .collect()
    }

    fn counted(from: u8) -> [u8; 16] {
        std::array::from_fn(|index| from + u8::try_from(index).unwrap())
    }

    fn console(suite: CipherSuite) -> Console<'static> {
        Console {
            suite,
            session: 0x0102_0304,
            random: counted(0),
            privilege: 4,
            user: "admin",
            password: "s3cretpw",
            controller_key: None,
        }
    }

    fn controller() -> Controller {
        Controller { session: 0x0506_0708, random: counted(16), guid: counted(32) }
    }

    /// Proofs and keys, computed from the formulas of the specification by another program
    /// (Python's hmac module).
    struct Vector {
        suite: CipherSuite,
        controller_key: Option<&'static [u8]>,
        rakp2: &'static str,
        rakp3: &'static str,
        rakp4: &'static str,
        k1: &'static str,
        k2: &'static str,
    }

    const VECTORS: [Vector; 4] = [
        Vector {
            suite: CipherSuite::Sha1,
            controller_key: None,
            rakp2: "95061525e2937ebb082b2ee35be7b1690f01ac8d",
            rakp3: "69a347869b29e09ac06dc8efc4ed8c68de02ade0",
            rakp4: "ea7a2bc40d412bdb22e7f3f7",
            k1: "bff59a3d538d94be564bc0ef26d5d2d1f7739f00",
            k2: "e89eacd406800d276ec3f2fd7144bfde",
        },
        Vector {
            suite: CipherSuite::Sha1,
            controller_key: Some(b"the-key"),
            rakp2: "95061525e2937ebb082b2ee35be7b1690f01ac8d",
            rakp3: "69a347869b29e09ac06dc8efc4ed8c68de02ade0",
            rakp4: "ce8ab15a5ef236a076404a82",
            k1: "27f81bb127defe01f9d83f36958046246f941d89",
            k2: "e66e975a4dd52641e131055caa898da6",
        },
        Vector {
            suite: CipherSuite::Sha256,
            controller_key: None,
            rakp2: "bf4fab83af3699a645b5420d801b2e7451759d2035d7dae7f4776cb405e7d8fe",
            rakp3: "604230dcedba8b35a71fa904000e68f61ed2799dbb7c627be8d10bef3532a4eb",
            rakp4: "a1250e6b73c3a179286fd1c1be2a0147",
            k1: "77e898f34d790055a156bd5730b3d7b395bbabec4af22efcfa8e57b8f54f717a",
            k2: "5a07d593cb73ff52314e71eae90a23e6",
        },
        Vector {
            suite: CipherSuite::Sha256,
            controller_key: Some(b"the-key"),
            rakp2: "bf4fab83af3699a645b5420d801b2e7451759d2035d7dae7f4776cb405e7d8fe",
            rakp3: "604230dcedba8b35a71fa904000e68f61ed2799dbb7c627be8d10bef3532a4eb",
            rakp4: "e93d90e27c8edb78564cc67a79d1370e",
            k1: "a9f1d9d4bde17e7fa2e674bcd5564002e7f41633dbd05533fb112c2df6beed82",
            k2: "ac8106ef04c9743fef8d436196e2a821",
        },
    ];

    #[test]
    fn proofs_and_keys_are_as_specified() {
        for vector in &VECTORS {
            let mut console = console(vector.suite);
            console.controller_key = vector.controller_key;
            let controller = controller();
            assert!(console.rakp2_is_proven(&controller, &hex(vector.rakp2)));
            assert!(!console.rakp2_is_proven(&controller, &hex(vector.rakp2)[1..]));
            assert_eq!(console.rakp3(3, &controller)[8..], hex(vector.rakp3));
            let keys = console.keys(&controller, &hex(vector.rakp4)).unwrap();
            assert!(console.keys(&controller, &[]).is_none());
            assert_eq!(keys.parts(), (&hex(vector.k1)[..], &hex(vector.k2)[..]));
            console.password = "wrong";
            assert!(!console.rakp2_is_proven(&controller, &hex(vector.rakp2)));
            if vector.controller_key.is_some() {
                console.password = "s3cretpw";
                console.controller_key = None;
                assert!(console.keys(&controller, &hex(vector.rakp4)).is_none(), "needs K_G");
            }
        }
    }

    #[test]
    fn rakp1_asks_for_the_name_alone() {
        let payload = console(CipherSuite::Sha1).rakp1(2, 0x0506_0708);
        assert_eq!(payload[..8], [2, 0, 0, 0, 8, 7, 6, 5]);
        assert_eq!(payload[8..24], counted(0));
        assert_eq!(payload[24..], *b"\x14\0\0\x05admin");
    }

    #[test]
    fn weaker_algorithms_than_asked_for_are_refused() {
        let console = console(CipherSuite::Sha256);
        let request = console.open_request(1);
        let mut answer = vec![1, 0, 4, 0, 4, 3, 2, 1, 8, 7, 6, 5];
        answer.extend(&request[8..]);
        assert_eq!(console.open_response(1, &answer), Ok(Some(Ok(0x0506_0708))));
        for offset in [16, 24, 32] {
            let mut weaker = answer.clone();
            weaker[offset] = 0;
            assert!(console.open_response(1, &weaker).is_err(), "byte {offset}");
        }
        assert_eq!(console.open_response(2, &answer), Ok(None), "another question's");
        answer[1] = 4;
        assert_eq!(console.open_response(1, &answer[..8]), Ok(Some(Err(SessionStatus(4)))));
        assert_eq!(console.open_response(1, &answer[..2]), Ok(Some(Err(SessionStatus(4)))));
        answer[4] = 5;
        assert_eq!(console.open_response(1, &answer[..8]), Ok(None), "another session's");
    }
}
