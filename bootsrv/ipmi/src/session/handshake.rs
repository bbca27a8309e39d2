//! Opens a session: Open Session, RAKP 1 and 2, RAKP 3 and 4. Decides what a failed step means.

use super::State;
use crate::address::ControllerAddress;
use crate::error::{IpmiError, Malformed, Refusal, SessionStatus};
use crate::link::{Link, Question};
use crate::wire::packet::{Payload, decode_plain, encode_plain};
use crate::wire::rakp::{Answer, Console};
use crate::wire::suite::CipherSuite;

/// How often a handshake is begun when a lost packet spoiled it.
const HANDSHAKES_MAX: u32 = 4;
/// How often RAKP 1 and RAKP 3 are sent in one handshake: some controllers answer each only once, so
/// that a new handshake helps sooner than more tries.
const RAKP_TRIES_MAX: u32 = 2;
const OPEN_SESSION: &str = "Open Session";
const RAKP1: &str = "RAKP 1";
const RAKP3: &str = "RAKP 3";

/// How to log in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Login<'a> {
    pub(crate) address: &'a ControllerAddress,
    pub(crate) suite: CipherSuite,
    /// Highest privilege level wanted of the session.
    pub(crate) privilege: u8,
}

/// Opens a session; begins anew if a packet had to be sent twice and the controller lost track.
pub(super) async fn handshake(link: &Link, login: &Login<'_>) -> Result<State, IpmiError> {
    let mut begun = 0;
    loop {
        begun += 1;
        // Random, because an answer with an error may have nothing else that proves it ours.
        let mut tag = [0];
        getrandom::fill(&mut tag).map_err(IpmiError::Random)?;
        let [tag] = tag;
        let mut attempt = Attempt { link, login: *login, tag, resent: false };
        match attempt.run().await {
            // A second RAKP 1 makes some controllers choose a new random number, so that the proof
            // built on the first answer fails: with the right password, too.
            Err(error) if begun < HANDSHAKES_MAX && spoiled(&error, attempt.resent) => {}
            done => return done,
        }
    }
}

/// Could a packet that was sent twice have caused this error?
fn spoiled(error: &IpmiError, resent: bool) -> bool {
    match error {
        // All tries of this question have been used up without an answer that makes sense.
        IpmiError::Timeout { doing, .. } | IpmiError::Malformed { doing, .. } => {
            *doing != OPEN_SESSION
        }
        IpmiError::SessionRefused { doing, .. } => resent && *doing != OPEN_SESSION,
        IpmiError::AuthenticationRefused { reason, .. } => match reason {
            Refusal::WrongPassword => false,
            Refusal::WrongControllerKey => resent,
            Refusal::ByController(status) => {
                resent && *status == SessionStatus::INVALID_INTEGRITY_VALUE
            }
        },
        IpmiError::Account(_)
        | IpmiError::Resolve { .. }
        | IpmiError::Socket { .. }
        | IpmiError::Random(_)
        | IpmiError::UnknownCipherSuite(_)
        | IpmiError::Completion { .. }
        | IpmiError::ConsoleInUse { .. }
        | IpmiError::ConsoleEnded { .. } => false,
    }
}

/// One walk through the steps.
struct Attempt<'a> {
    link: &'a Link,
    login: Login<'a>,
    /// Of the question asked last.
    tag: u8,
    /// A question had to be sent more than once.
    resent: bool,
}

impl<'a> Attempt<'a> {
    async fn run(&mut self) -> Result<State, IpmiError> {
        let console = self.console()?;
        let tag = self.next_tag();
        let payload = console.open_request(tag);
        let kinds = (Payload::OpenRequest, Payload::OpenResponse);
        let read = |bytes: &[u8]| console.open_response(tag, bytes);
        let session = self.step(OPEN_SESSION, kinds, payload, read).await?;

        let tag = self.next_tag();
        let payload = console.rakp1(tag, session);
        let kinds = (Payload::Rakp1, Payload::Rakp2);
        let read = |bytes: &[u8]| console.rakp2(tag, session, bytes);
        let (controller, proof) = self.step(RAKP1, kinds, payload, read).await?;
        if !console.rakp2_is_proven(&controller, &proof) {
            let farewell = Console::rakp3_refusal(self.next_tag(), &controller);
            self.link.send_now(&encode_plain(Payload::Rakp3, &farewell));
            return Err(self.refused(Refusal::WrongPassword));
        }

        let tag = self.next_tag();
        let payload = console.rakp3(tag, &controller);
        let kinds = (Payload::Rakp3, Payload::Rakp4);
        let read = |bytes: &[u8]| console.rakp4(tag, bytes);
        let proof = self.step(RAKP3, kinds, payload, read).await?;
        let keys = console
            .keys(&controller, &proof)
            .ok_or_else(|| self.refused(Refusal::WrongControllerKey))?;
        Ok(State::new(keys, console.session, controller.session))
    }

    fn console(&self) -> Result<Console<'a>, IpmiError> {
        let mut random = [0; 16];
        let mut session = [0; 4];
        getrandom::fill(&mut random).map_err(IpmiError::Random)?;
        getrandom::fill(&mut session).map_err(IpmiError::Random)?;
        let address = self.login.address;
        Ok(Console {
            suite: self.login.suite,
            session: u32::from_le_bytes(session).max(1),
            random,
            privilege: self.login.privilege,
            user: &address.user,
            password: &address.password,
            controller_key: address.controller_key.as_deref(),
        })
    }

    fn next_tag(&mut self) -> u8 {
        self.tag = self.tag.wrapping_add(1);
        self.tag
    }

    async fn step<T, F>(
        &mut self,
        doing: &'static str,
        (kind, answer_kind): (Payload, Payload),
        payload: Vec<u8>,
        read: F,
    ) -> Result<T, IpmiError>
    where
        F: Fn(&[u8]) -> Result<Option<Answer<T>>, Malformed>,
    {
        let mut step = Step { doing, packet: encode_plain(kind, &payload), answer_kind, read };
        let limit = if doing == OPEN_SESSION { u32::MAX } else { RAKP_TRIES_MAX };
        let tries = self.link.config().tries.min(limit);
        let answered = self.link.ask(&mut step, tries).await?;
        self.resent |= answered.sent > 1;
        answered.answer.map_err(|status| {
            if doing != OPEN_SESSION && status.is_about_account() {
                self.refused(Refusal::ByController(status))
            } else {
                IpmiError::SessionRefused { addr: self.link.addr(), doing, status }
            }
        })
    }

    fn refused(&self, reason: Refusal) -> IpmiError {
        let user = self.login.address.user.clone();
        IpmiError::AuthenticationRefused { addr: self.link.addr(), user, reason }
    }
}

/// One question of the handshake; its packet may be sent again as it is.
struct Step<F> {
    doing: &'static str,
    packet: Vec<u8>,
    answer_kind: Payload,
    read: F,
}

impl<T, F> Question for Step<F>
where
    F: Fn(&[u8]) -> Result<Option<Answer<T>>, Malformed>,
{
    type Answer = Answer<T>;

    fn doing(&self) -> &'static str {
        self.doing
    }

    fn packet(&mut self) -> Result<Vec<u8>, IpmiError> {
        Ok(self.packet.clone())
    }

    fn accept(&mut self, packet: &[u8]) -> Result<Option<Answer<T>>, Malformed> {
        match decode_plain(self.answer_kind, packet)? {
            Some(payload) => (self.read)(payload),
            None => Ok(None),
        }
    }
}
