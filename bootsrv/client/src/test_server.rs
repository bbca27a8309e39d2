//! A bootsrv of a few lines for tests: speaks enough HTTP/1.1 on a loopback port, checks every
//! credential against a munged of its own, remembers what was asked, answers what the test says.
//!
//! Behind the feature `test-server`; no product program has it.

use crate::transport::hash;
use munge::test_daemon::PrivateMunged;
use protocol::api::credential_payload;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A request as it arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Body.
    pub body: Vec<u8>,
    /// The port the caller used: the same for two requests over one connection.
    pub from_port: u16,
}

/// What a test answers: status code and body.
pub type Answer = (u16, String);

/// A running server; its thread ends with the process.
#[derive(Debug)]
pub struct TestServer {
    address: SocketAddr,
    munged: PrivateMunged,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl TestServer {
    /// Starts one. `None` where munged is not installed, see [`PrivateMunged::start`].
    ///
    /// # Errors
    /// When no loopback port can be had.
    pub fn start(
        answer: impl Fn(&Seen) -> Answer + Send + Sync + 'static,
    ) -> std::io::Result<Option<Self>> {
        let Some(munged) = PrivateMunged::start() else { return Ok(None) };
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (log, socket) = (Arc::clone(&seen), munged.socket().to_owned());
        let answer = Arc::new(answer);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (log, socket, answer) = (Arc::clone(&log), socket.clone(), Arc::clone(&answer));
                std::thread::spawn(move || serve(&stream, &socket, &log, &*answer));
            }
        });
        Ok(Some(Self { address, munged, seen }))
    }

    /// The first lines of a `client.toml` for it; the test adds what it needs.
    #[must_use]
    pub fn client_toml(&self) -> String {
        let socket = self.munged.socket().display();
        format!("server = \"http://{}\"\nmunge_socket = \"{socket}\"\n", self.address)
    }

    /// Everything asked so far.
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        lock(&self.seen).clone()
    }
}

fn lock(seen: &Mutex<Vec<Seen>>) -> MutexGuard<'_, Vec<Seen>> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(
    stream: &TcpStream,
    socket: &Path,
    log: &Mutex<Vec<Seen>>,
    answer: &dyn Fn(&Seen) -> Answer,
) {
    let mut reader = BufReader::new(stream);
    while let Some((seen, authorization)) = read_request(&mut reader, stream) {
        let expected = credential_payload(&seen.method, &seen.path, &hash(&seen.body));
        let credential = authorization.strip_prefix("MUNGE ").unwrap_or_default();
        let (status, body) = match munge::decode(credential, Some(socket)) {
            Ok(decoded) if decoded.payload == expected.as_bytes() => answer(&seen),
            refused => (403, format!("credential: {refused:?}, expected {expected}")),
        };
        lock(log).push(seen);
        let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n", body.len());
        let mut stream = stream;
        if stream.write_all(format!("{head}{body}").as_bytes()).is_err() {
            return;
        }
    }
}

fn read_request(reader: &mut impl BufRead, stream: &TcpStream) -> Option<(Seen, String)> {
    let mut words = line(reader)?.split(' ').map(str::to_owned).collect::<Vec<_>>().into_iter();
    let (method, path) = (words.next()?, words.next()?);
    let (mut bytes, mut chunked, mut authorization) = (0, false, String::new());
    loop {
        let header = line(reader)?;
        let Some((name, value)) = header.split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => bytes = value.parse().ok()?,
            "transfer-encoding" => chunked = value == "chunked",
            "authorization" => value.clone_into(&mut authorization),
            _ => {}
        }
    }
    let mut body = Vec::new();
    if chunked {
        loop {
            let size = u64::from_str_radix(&line(reader)?, 16).ok()?;
            reader.by_ref().take(size).read_to_end(&mut body).ok()?;
            line(reader)?;
            if size == 0 {
                break;
            }
        }
    } else {
        reader.by_ref().take(bytes).read_to_end(&mut body).ok()?;
    }
    let from_port = stream.peer_addr().ok()?.port();
    Some((Seen { method, path, body, from_port }, authorization))
}

fn line(reader: &mut impl BufRead) -> Option<String> {
    let mut line = String::new();
    let bytes = reader.read_line(&mut line).ok()?;
    (bytes > 0).then(|| line.trim_end().to_owned())
}
