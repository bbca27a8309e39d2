//! A session with one controller: the handshake that opens it, questions in it, and its end.
//!
//! Knows no command but the ones that belong to sessions themselves.

mod handshake;

use crate::address::ClientConfig;
use crate::error::{IpmiError, Malformed};
use crate::link::{Link, Question};
use crate::wire::message::{Request, Response};
use crate::wire::packet::{Envelope, PACKET_BYTES_MAX, Payload, seal, unseal};
use crate::wire::suite::Keys;
use crate::wire::window::Window;
pub(crate) use handshake::Login;
use handshake::handshake;
use std::fmt;
use tokio::time::Instant;

/// Network function "application".
pub(crate) const NET_FN_APP: u8 = 0x06;
const CLOSE_SESSION: u8 = 0x3C;
/// Six bits.
const REQUEST_SEQUENCE_MASK: u8 = 0x3F;

/// The part of a session that changes with every packet.
struct State {
    keys: Keys,
    /// Our id of the session.
    console: u32,
    /// The controller's id of it.
    controller: u32,
    /// Of the packet sent last.
    packet_sequence: u32,
    /// Of the question asked last.
    request_sequence: u8,
    window: Window,
}

impl State {
    fn new(keys: Keys, console: u32, controller: u32) -> Self {
        let window = Window::default();
        Self { keys, console, controller, packet_sequence: 0, request_sequence: 0, window }
    }

    fn seal(&mut self, kind: Payload, payload: &[u8]) -> Result<Vec<u8>, IpmiError> {
        let mut vector = [0; 16];
        getrandom::fill(&mut vector).map_err(IpmiError::Random)?;
        // 0 means "outside of a session".
        self.packet_sequence = self.packet_sequence.checked_add(1).unwrap_or(1);
        let envelope = Envelope { session: self.controller, sequence: self.packet_sequence, kind };
        Ok(seal(&self.keys, envelope, vector, payload))
    }

    /// What a new packet of this session carries. `None`: not of this session, or seen before.
    fn unseal(&mut self, packet: &[u8]) -> Result<Option<(Payload, Vec<u8>)>, Malformed> {
        let opened = unseal(&self.keys, self.console, packet)?;
        Ok(opened
            .filter(|(envelope, _)| self.window.admit(envelope.sequence))
            .map(|(envelope, payload)| (envelope.kind, payload)))
    }

    fn next_request_sequence(&mut self) -> u8 {
        self.request_sequence = self.request_sequence.wrapping_add(1) & REQUEST_SEQUENCE_MASK;
        self.request_sequence
    }
}

/// An open session. Dropping it tells the controller, whose few sessions would run out otherwise.
pub(crate) struct Session {
    link: Link,
    state: State,
    closed: bool,
}

impl Session {
    /// Opens a session on a socket of its own, so that no late packet of another one reaches it.
    pub(crate) async fn open(login: &Login<'_>, config: ClientConfig) -> Result<Self, IpmiError> {
        let link = Link::new(login.address.addr, config).await?;
        let state = handshake(&link, login).await?;
        Ok(Self { link, state, closed: false })
    }

    pub(crate) fn link(&self) -> &Link {
        &self.link
    }

    pub(crate) fn keys(&self) -> &Keys {
        &self.state.keys
    }

    /// Asks one question; the answer may hold an error of the command.
    pub(crate) async fn ask(
        &mut self,
        doing: &'static str,
        request: Request<'_>,
    ) -> Result<Response, IpmiError> {
        let tries = self.link.config().tries;
        self.ask_times(doing, request, tries).await
    }

    async fn ask_times(
        &mut self,
        doing: &'static str,
        request: Request<'_>,
        tries: u32,
    ) -> Result<Response, IpmiError> {
        let sequence = self.state.next_request_sequence();
        let message = request.encode(sequence);
        let (net_fn, command) = (request.net_fn, request.command);
        let state = &mut self.state;
        let mut question = InSession { state, doing, message, sequence, net_fn, command };
        Ok(self.link.ask(&mut question, tries).await?.answer)
    }

    /// Sends something of `kind` that has no answer of its own; it may be lost.
    pub(crate) fn send_now(&mut self, kind: Payload, payload: &[u8]) -> Result<(), IpmiError> {
        let packet = self.state.seal(kind, payload)?;
        self.link.send_now(&packet);
        Ok(())
    }

    /// Asks without waiting; [`Session::next`] gives the answer.
    pub(crate) fn ask_now(&mut self, request: Request<'_>) -> Result<(), IpmiError> {
        let message = request.encode(self.state.next_request_sequence());
        self.send_now(Payload::Message, &message)
    }

    /// The next packet of the session; `None`: none came in time. Nothing is lost if the wait is
    /// given up.
    pub(crate) async fn next(&mut self, deadline: Instant) -> Option<(Payload, Vec<u8>)> {
        let mut buffer = [0; PACKET_BYTES_MAX];
        loop {
            let length = self.link.receive(&mut buffer, deadline).await?;
            let packet = buffer.get(..length).unwrap_or_default();
            // What is malformed or not of this session is a stray: whoever sends it does not end it.
            if let Ok(Some(found)) = self.state.unseal(packet) {
                return Some(found);
            }
        }
    }

    /// Ends the session. Asked once only: an answer to a second try could not be told from none,
    /// because the session would be gone.
    pub(crate) async fn close(mut self) -> Result<(), IpmiError> {
        self.closed = true;
        let id = self.state.controller.to_le_bytes();
        self.ask_times("Close Session", close_request(&id), 1).await?;
        Ok(())
    }
}

fn close_request(id: &[u8]) -> Request<'_> {
    Request { net_fn: NET_FN_APP, lun: 0, command: CLOSE_SESSION, data: id }
}

impl Drop for Session {
    fn drop(&mut self) {
        if self.closed {
            return;
        }
        let id = self.state.controller.to_le_bytes();
        let message = close_request(&id).encode(self.state.next_request_sequence());
        if let Ok(packet) = self.state.seal(Payload::Message, &message) {
            self.link.send_now(&packet);
        }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("addr", &self.link.addr())
            .field("suite", &self.state.keys.suite())
            .finish_non_exhaustive()
    }
}

/// A question in a session. A second try has the same request sequence, so that any answer to any
/// try will do, but a new packet sequence, or the controller would take it for a replay.
struct InSession<'a> {
    state: &'a mut State,
    doing: &'static str,
    message: Vec<u8>,
    sequence: u8,
    net_fn: u8,
    command: u8,
}

impl Question for InSession<'_> {
    type Answer = Response;

    fn doing(&self) -> &'static str {
        self.doing
    }

    fn packet(&mut self) -> Result<Vec<u8>, IpmiError> {
        self.state.seal(Payload::Message, &self.message)
    }

    fn accept(&mut self, packet: &[u8]) -> Result<Option<Response>, Malformed> {
        // Serial data that comes meanwhile is not lost: the controller sends it again until it is
        // acknowledged.
        let Some((Payload::Message, message)) = self.state.unseal(packet)? else {
            return Ok(None);
        };
        let response = Response::decode(&message)?;
        let mine = response.sequence == self.sequence
            && response.net_fn == self.net_fn
            && response.command == self.command;
        Ok(mine.then_some(response))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::suite::CipherSuite;

    const SESSION: u32 = 0x0A0B_0C0D;

    fn answer(state: &State, packet: u32, sequence: u8, command: u8) -> Vec<u8> {
        let response =
            Response { net_fn: 0, command, sequence, completion: 0, data: vec![command] };
        let envelope = Envelope { session: SESSION, sequence: packet, kind: Payload::Message };
        seal(&state.keys, envelope, [1; 16], &response.encode())
    }

    #[test]
    fn only_the_answer_to_the_open_question_is_taken() {
        let keys = Keys::derive(CipherSuite::Sha256, &[1; 32]);
        let other = Keys::derive(CipherSuite::Sha256, &[2; 32]);
        let mut state = State::new(keys, SESSION, 2);
        state.packet_sequence = u32::MAX;
        let sequence = state.next_request_sequence();
        let late = answer(&state, 1, sequence - 1, 1);
        let other_command = answer(&state, 2, sequence, 2);
        let mine = answer(&state, 3, sequence, 1);
        let envelope = Envelope { session: SESSION, sequence: 4, kind: Payload::Message };
        let forged = seal(&other, envelope, [1; 16], b"forged");
        let message = Request { net_fn: 0, lun: 0, command: 1, data: &[] }.encode(sequence);
        let doing = "test";
        let mut question =
            InSession { state: &mut state, doing, message, sequence, net_fn: 0, command: 1 };

        assert_ne!(question.packet().unwrap(), question.packet().unwrap());
        assert_eq!(question.state.packet_sequence, 2, "0 is never used");
        assert_eq!(question.accept(&late), Ok(None));
        assert_eq!(question.accept(&other_command), Ok(None));
        assert_eq!(question.accept(&forged), Err(Malformed::Integrity));
        assert_eq!(question.accept(&mine).unwrap().unwrap().data, [1]);
        assert_eq!(question.accept(&mine), Ok(None), "a replay");
    }
}
