//! The system's serial console over the network (serial over LAN, IPMI 2.0, chapter 15): only read,
//! never written to.

mod capture;
mod lines;
mod packet;

use crate::client::Client;
use crate::completion::CompletionCode;
use crate::error::IpmiError;
use crate::session::NET_FN_APP;
use crate::wire::message::{Request, Response};
use crate::wire::packet::Payload;
use crate::wire::reader::Reader;
pub use capture::{CaptureEvent, CaptureState, ConsoleCapture};
pub use lines::ConsoleLines;
use packet::{Arrived, Received};
use tokio::time::Instant;

const ACTIVATE_PAYLOAD: u8 = 0x48;
const DEACTIVATE_PAYLOAD: u8 = 0x49;
const GET_PAYLOAD_INSTANCE: u8 = 0x4B;
/// Payload type "serial over LAN", its first instance: controllers have one.
const SERIAL: [u8; 2] = [1, 1];
/// Encrypted and authenticated; serial alerts wait; the line stays as the system has it.
const ENCRYPTED_AND_SIGNED: u8 = 0xC0;
const ALERTS_DEFERRED: u8 = 0x04;
/// Completion codes of Activate Payload: another session has it, or all instances are taken
/// (IPMI 2.0, section 24.1).
const IN_USE: [CompletionCode; 2] = [CompletionCode(0x80), CompletionCode(0x82)];
/// Completion code of Deactivate Payload: it was not active (section 24.2).
const NOT_ACTIVE: CompletionCode = CompletionCode(0x80);

/// What comes of an open console.
#[derive(Debug)]
enum Heard {
    Bytes(Vec<u8>),
    /// How the controller names the session that has the console: ours.
    Holder(u32),
}

/// An open serial console. It needs a session of its own; dropping it ends the session, and with it
/// the console.
#[derive(Debug)]
pub struct SerialConsole {
    client: Client,
    /// The session that has the console, as the controller names it: ours, unless that changes.
    /// `None`: the controller did not tell.
    holder: Option<u32>,
    received: Received,
    /// When something was sent last that keeps the session alive.
    sent: Instant,
    /// How often the controller was asked since it was heard last.
    unanswered: u32,
    /// The controller said that it was the end, perhaps together with last bytes.
    ended: bool,
}

impl SerialConsole {
    /// Opens the console.
    ///
    /// # Errors
    /// [`IpmiError::ConsoleInUse`] if another session has it; others see [`IpmiError`].
    pub async fn open(mut client: Client) -> Result<Self, IpmiError> {
        let [kind, instance] = SERIAL;
        let data = [kind, instance, ENCRYPTED_AND_SIGNED | ALERTS_DEFERRED, 0, 0, 0];
        // The answer's sizes are limits for what we send, and its port is ours: both do not matter.
        match client.ask("Activate Payload", app(ACTIVATE_PAYLOAD, &data)).await {
            Ok(_) => {}
            Err(IpmiError::Completion { code, .. }) if IN_USE.contains(&code) => {
                return Err(IpmiError::ConsoleInUse { addr: client.addr() });
            }
            Err(error) => return Err(error),
        }
        // Not waited for: the console's first bytes may come before the answer.
        client.session().ask_now(who_has_it())?;
        let (holder, received, sent) = (None, Received::default(), Instant::now());
        Ok(Self { client, holder, received, sent, unanswered: 0, ended: false })
    }

    /// Takes the console away from whoever has it, and opens it.
    ///
    /// # Errors
    /// As [`SerialConsole::open`].
    pub async fn take_over(mut client: Client) -> Result<Self, IpmiError> {
        deactivate(&mut client).await?;
        Self::open(client).await
    }

    /// Waits for the next bytes of the console, as they came. Nothing is lost if the wait is given up.
    ///
    /// # Errors
    /// [`IpmiError::ConsoleEnded`] if the controller ended it; [`IpmiError::Timeout`] if the
    /// session is lost.
    pub async fn read(&mut self) -> Result<Vec<u8>, IpmiError> {
        loop {
            if let Heard::Bytes(bytes) = self.next().await? {
                return Ok(bytes);
            }
        }
    }

    /// As [`SerialConsole::read`], with what else there is to know.
    async fn next(&mut self) -> Result<Heard, IpmiError> {
        while !self.ended {
            let deadline = self.deadline();
            match self.client.session().next(deadline).await {
                None => self.keep_alive()?,
                Some((Payload::Serial, packet)) => {
                    self.unanswered = 0;
                    // What is no serial packet was not for us to understand: the session is good.
                    let Ok(Arrived { data, ack, ended }) = self.received.take(&packet) else {
                        continue;
                    };
                    if let Some(ack) = ack {
                        self.client.session().send_now(Payload::Serial, &ack)?;
                        self.sent = Instant::now();
                    }
                    self.ended = ended;
                    if !data.is_empty() {
                        return Ok(Heard::Bytes(data));
                    }
                }
                Some((_, message)) => {
                    self.unanswered = 0;
                    let known = self.holder;
                    self.ended = self.has_another_holder(&message);
                    if let (None, Some(session)) = (known, self.holder) {
                        return Ok(Heard::Holder(session));
                    }
                }
            }
        }
        Err(IpmiError::ConsoleEnded { addr: self.client.addr() })
    }

    /// Closes the console and the session.
    ///
    /// # Errors
    /// When the controller did not confirm it; the session is of no use in any case.
    pub async fn close(mut self) -> Result<(), IpmiError> {
        deactivate(&mut self.client).await?;
        self.client.close().await
    }

    fn deadline(&mut self) -> Instant {
        let config = self.client.session().link().config();
        let wait = if self.unanswered > 0 { config.reply_timeout } else { config.keep_alive };
        self.sent + wait
    }

    /// Not every controller tells the old holder when another session takes the console. The first
    /// answer says how the controller names our session.
    fn has_another_holder(&mut self, message: &[u8]) -> bool {
        let Ok(Response { command: GET_PAYLOAD_INSTANCE, completion: 0, data, .. }) =
            Response::decode(message)
        else {
            return false;
        };
        let now = holder(&data);
        if self.holder.is_none() {
            self.holder = now.filter(|session| *session != 0);
        }
        self.holder.is_some() && now.is_some() && now != self.holder
    }

    /// Asks who has the console: the controller keeps the session, and we learn if it has not.
    fn keep_alive(&mut self) -> Result<(), IpmiError> {
        let session = self.client.session();
        let (config, addr) = (session.link().config(), session.link().addr());
        if self.unanswered >= config.tries {
            let (doing, tries) = ("Serial Over LAN", self.unanswered);
            return Err(IpmiError::Timeout { addr, doing, tries, source: None });
        }
        session.ask_now(who_has_it())?;
        self.unanswered += 1;
        self.sent = Instant::now();
        Ok(())
    }
}

/// The session that has the console, as the controller names it; `None`: nobody, or it does not tell.
async fn has_console(client: &mut Client) -> Result<Option<u32>, IpmiError> {
    let told = client.ask("Get Payload Instance Info", who_has_it()).await?;
    Ok(holder(&told).filter(|session| *session != 0))
}

fn who_has_it() -> Request<'static> {
    app(GET_PAYLOAD_INSTANCE, &SERIAL)
}

/// The session's id in an answer to Get Payload Instance Info; 0: nobody (section 24.3).
fn holder(data: &[u8]) -> Option<u32> {
    Reader::new(data).u32("session id").ok()
}

async fn deactivate(client: &mut Client) -> Result<(), IpmiError> {
    let [kind, instance] = SERIAL;
    let data = [kind, instance, 0, 0, 0, 0];
    match client.ask("Deactivate Payload", app(DEACTIVATE_PAYLOAD, &data)).await {
        Err(IpmiError::Completion { code: NOT_ACTIVE, .. }) => Ok(()),
        done => done.map(drop),
    }
}

fn app(command: u8, data: &[u8]) -> Request<'_> {
    Request { net_fn: NET_FN_APP, lun: 0, command, data }
}
