//! One question, one answer, over UDP: sends again when nothing comes, and discards whatever is not
//! the answer. Knows neither sessions nor commands.

use crate::address::ClientConfig;
use crate::error::{IpmiError, Malformed};
use crate::wire::packet::PACKET_BYTES_MAX;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout_at};

/// After so many packets that answer nothing, a question is given up: someone floods us.
const STRAYS_MAX: u32 = 4096;

/// Something to ask.
pub(crate) trait Question {
    /// What is in the answer.
    type Answer;

    /// Names the question in errors.
    fn doing(&self) -> &'static str;

    /// Makes the next packet; called once for every try, because no packet of a session may be
    /// sent twice.
    fn packet(&mut self) -> Result<Vec<u8>, IpmiError>;

    /// Looks at a packet that came in. `None`: it answers something else.
    fn accept(&mut self, packet: &[u8]) -> Result<Option<Self::Answer>, Malformed>;
}

/// A socket that hears one controller only.
#[derive(Debug)]
pub(crate) struct Link {
    socket: UdpSocket,
    addr: SocketAddr,
    config: ClientConfig,
}

/// An answer, and how often the question was sent for it.
#[derive(Debug)]
pub(crate) struct Answered<T> {
    pub(crate) answer: T,
    pub(crate) sent: u32,
}

impl Link {
    pub(crate) async fn new(addr: SocketAddr, config: ClientConfig) -> Result<Self, IpmiError> {
        let failed = |source| IpmiError::Socket { addr, source };
        let any: SocketAddr = match addr {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = UdpSocket::bind(any).await.map_err(failed)?;
        socket.connect(addr).await.map_err(failed)?;
        Ok(Self { socket, addr, config })
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub(crate) fn config(&self) -> ClientConfig {
        self.config
    }

    /// Asks up to `tries` times.
    pub(crate) async fn ask<Q: Question>(
        &self,
        question: &mut Q,
        tries: u32,
    ) -> Result<Answered<Q::Answer>, IpmiError> {
        let tries = tries.max(1);
        let mut heard = Heard::default();
        for sent in 1..=tries {
            let packet = question.packet()?;
            // An error here is often the report on an earlier packet ("port unreachable"), and a
            // controller that restarts looks just like that: so it costs one try, not all.
            if let Err(source) = self.socket.send(&packet).await {
                heard.trouble = Some(source);
            }
            heard.malformed = None;
            if let Some(answer) = self.listen(question, &mut heard).await {
                return Ok(Answered { answer, sent });
            }
        }
        let doing = question.doing();
        Err(match heard {
            Heard { strays: STRAYS_MAX.., .. } => {
                IpmiError::Malformed { doing, source: Malformed::Flood }
            }
            Heard { malformed: Some(source), .. } => IpmiError::Malformed { doing, source },
            Heard { trouble: source, .. } => {
                IpmiError::Timeout { addr: self.addr, doing, tries, source }
            }
        })
    }

    /// Waits for the answer for the time of one try.
    async fn listen<Q: Question>(&self, question: &mut Q, heard: &mut Heard) -> Option<Q::Answer> {
        let deadline = Instant::now() + self.config.reply_timeout;
        let mut buffer = [0; PACKET_BYTES_MAX];
        while heard.strays < STRAYS_MAX {
            match timeout_at(deadline, self.socket.recv(&mut buffer)).await {
                Err(_elapsed) => return None,
                Ok(Err(source)) => heard.trouble = Some(source),
                Ok(Ok(length)) => match question.accept(buffer.get(..length).unwrap_or_default()) {
                    Ok(Some(answer)) => return Some(answer),
                    Ok(None) => {}
                    Err(malformed) => heard.malformed = Some(malformed),
                },
            }
            heard.strays += 1;
        }
        None
    }

    /// The length of the next packet, whatever it is; `None`: none came in time.
    pub(crate) async fn receive(&self, buffer: &mut [u8], deadline: Instant) -> Option<usize> {
        // An error is a report on an earlier packet ("port unreachable"): the next one may do.
        loop {
            match timeout_at(deadline, self.socket.recv(buffer)).await {
                Err(_elapsed) => return None,
                Ok(Err(_report)) => {}
                Ok(Ok(length)) => return Some(length),
            }
        }
    }

    /// Sends without waiting, for a farewell that nobody waits for. It may be lost.
    pub(crate) fn send_now(&self, packet: &[u8]) {
        // The controller forgets an idle session by itself, within a minute or so.
        drop(self.socket.try_send(packet));
    }
}

/// What came instead of the answer.
#[derive(Debug, Default)]
struct Heard {
    strays: u32,
    malformed: Option<Malformed>,
    trouble: Option<std::io::Error>,
}
