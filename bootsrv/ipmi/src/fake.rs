//! A controller for tests of what ipmi_sim does not do: cipher suite 17, refused privileges, busy
//! answers, small pieces of records. It computes the proofs from its own copy of the formulas.

use crate::wire::message::Response;
use crate::wire::packet::{Payload, decode_plain, encode_plain, seal, unseal};
use crate::wire::suite::{CipherSuite, Keys};
use crate::{Client, ClientConfig, ControllerAddress, Error};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

const PASSWORD: &str = "password";
const SESSION: u32 = 0x1122_3344;
const RANDOM: [u8; 16] = [0xAA; 16];
const GUID: [u8; 16] = [0xBB; 16];

/// Answers a command: network function, command, data → completion code, data.
pub(crate) type Answer = Box<dyn FnMut(u8, u8, &[u8]) -> (u8, Vec<u8>) + Send>;

/// What the controller allows.
pub(crate) struct Rules {
    pub(crate) suite: CipherSuite,
    /// Highest privilege that RAKP 1 may ask for.
    pub(crate) login_privilege: u8,
    /// Highest privilege that Set Session Privilege Level gives.
    pub(crate) session_privilege: u8,
    pub(crate) answer: Answer,
}

/// A running controller; ends with the value.
pub(crate) struct Fake {
    addr: SocketAddr,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct State {
    console: Vec<u8>,
    random: Vec<u8>,
    identity: Vec<u8>,
    keys: Option<Keys>,
    sequence: u32,
}

impl Fake {
    pub(crate) async fn start(rules: Rules) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let addr = socket.local_addr().unwrap();
        Self { addr, task: tokio::spawn(serve(socket, rules)) }
    }

    pub(crate) async fn connect(&self) -> Result<Client, Error> {
        let address = ControllerAddress::new(self.addr, "admin".to_owned(), PASSWORD.to_owned());
        let config = ClientConfig {
            reply_timeout: Duration::from_secs(2),
            tries: 1,
            busy_tries: 2,
            busy_pause: Duration::from_millis(1),
        };
        Client::connect_with(&address, config).await
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(socket: UdpSocket, mut rules: Rules) {
    let mut state = State::default();
    let mut buffer = [0; 1024];
    loop {
        let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
        let answer = answer(&mut rules, &mut state, &buffer[..length]);
        socket.send_to(&answer, from).await.unwrap();
    }
}

fn answer(rules: &mut Rules, state: &mut State, packet: &[u8]) -> Vec<u8> {
    if let Ok(Some(payload)) = decode_plain(Payload::OpenRequest, packet) {
        encode_plain(Payload::OpenResponse, &open(rules, state, payload))
    } else if let Ok(Some(payload)) = decode_plain(Payload::Rakp1, packet) {
        encode_plain(Payload::Rakp2, &rakp2(rules, state, payload))
    } else if let Ok(Some(payload)) = decode_plain(Payload::Rakp3, packet) {
        encode_plain(Payload::Rakp4, &rakp4(rules, state, payload))
    } else {
        command(rules, state, packet)
    }
}

fn open(rules: &Rules, state: &mut State, payload: &[u8]) -> Vec<u8> {
    *state = State { console: payload[4..8].to_vec(), ..State::default() };
    if [payload[12], payload[20], payload[28]] != rules.suite.algorithms() {
        return vec![payload[0], 0x11];
    }
    [&[payload[0], 0, 4, 0], &payload[4..8], &SESSION.to_le_bytes(), &payload[8..32]].concat()
}

fn rakp2(rules: &Rules, state: &mut State, payload: &[u8]) -> Vec<u8> {
    if payload[24] & 0x0F > rules.login_privilege {
        return [&[payload[0], 0x0A, 0, 0], &state.console[..]].concat();
    }
    state.random = payload[8..24].to_vec();
    state.identity = [&payload[24..25], &payload[27..]].concat();
    let session = SESSION.to_le_bytes();
    let parts: [&[u8]; 6] =
        [&state.console, &session, &state.random, &RANDOM, &GUID, &state.identity];
    let proof = rules.suite.hmac(PASSWORD.as_bytes(), &parts);
    [&[payload[0], 0, 0, 0], &state.console[..], &RANDOM, &GUID, &proof].concat()
}

fn rakp4(rules: &Rules, state: &mut State, payload: &[u8]) -> Vec<u8> {
    let parts: [&[u8]; 3] = [&RANDOM, &state.console, &state.identity];
    assert_eq!(payload[8..], rules.suite.hmac(PASSWORD.as_bytes(), &parts), "RAKP 3's proof");
    let key = rules.suite.hmac(PASSWORD.as_bytes(), &[&state.random, &RANDOM, &state.identity]);
    let proof = rules.suite.hmac(&key, &[&state.random, &SESSION.to_le_bytes(), &GUID]);
    state.keys = Some(Keys::derive(rules.suite, &key));
    let proof = &proof[..rules.suite.integrity_length()];
    [&[payload[0], 0, 0, 0], &state.console[..], proof].concat()
}

fn command(rules: &mut Rules, state: &mut State, packet: &[u8]) -> Vec<u8> {
    let keys = state.keys.as_ref().unwrap();
    let (_number, message) = unseal(keys, SESSION, packet).unwrap().unwrap();
    let (net_fn, command) = (message[1] >> 2, message[5]);
    let data = &message[6..message.len() - 1];
    let (completion, data) = match (net_fn, command) {
        (0x06, 0x3B) if data[0] > rules.session_privilege => (0x81, vec![]),
        (0x06, 0x3B) => (0, data.to_vec()),
        (0x06, 0x3C) => (0, vec![]),
        _ => (rules.answer)(net_fn, command, data),
    };
    let sequence = message[4] >> 2;
    let response = Response { net_fn, command, sequence, completion, data };
    state.sequence += 1;
    let console = u32::from_le_bytes(state.console[..4].try_into().unwrap());
    seal(keys, console, state.sequence, [6; 16], &response.encode())
}
