//! A simulated controller's socket: what comes in, what is lost, what is answered and when.

use super::chassis::{Chassis, Effect};
use super::log::Log;
use super::random::Random;
use super::session::{Session, Sessions};
use super::wire::{Asked, decode_sessionless, encode_sessionless};
use super::{Commands, Counters, Knobs, Power, Settings};
use crate::error::Malformed;
use crate::wire::packet::{Envelope, PACKET_BYTES_MAX, Payload, seal, session_of, unseal};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

/// Answers and effects that wait for their time; more are lost.
const WAITING_MAX: usize = 4096;

/// All of a controller but its socket.
pub(super) struct Machine {
    pub(super) settings: Settings,
    pub(super) knobs: Knobs,
    pub(super) counters: Counters,
    pub(super) chassis: Chassis,
    pub(super) sessions: Sessions,
    pub(super) log: Log,
    pub(super) commands: Option<Commands>,
    pub(super) random: Random,
}

/// What a packet led to.
#[derive(Default)]
struct Reaction {
    answer: Option<Vec<u8>>,
    effects: Vec<Effect>,
}

impl Machine {
    pub(super) fn new(settings: Settings, power: watch::Sender<Power>) -> Self {
        Self {
            knobs: Knobs::default(),
            counters: Counters::default(),
            chassis: Chassis::new(power),
            sessions: Sessions::new(settings.sessions_max, settings.session_idle),
            log: Log::default(),
            commands: None,
            random: Random::new(settings.seed),
            settings,
        }
    }

    fn receive(&mut self, packet: &[u8], now: Instant) -> Reaction {
        self.counters.packets += 1;
        if self.knobs.silent {
            return Reaction::default();
        }
        if self.random.happens(self.knobs.lost_percent) {
            self.counters.lost += 1;
            return Reaction::default();
        }
        let mut reaction = self.react(packet, now).unwrap_or_default();
        if reaction.answer.is_none() {
            self.counters.strays += 1;
        } else if self.random.happens(self.knobs.lost_percent) {
            self.counters.lost += 1;
            reaction.answer = None;
        }
        reaction
    }

    fn react(&mut self, packet: &[u8], now: Instant) -> Result<Reaction, Malformed> {
        if let Some(asked) = decode_sessionless(packet)? {
            let message = self.sessionless(&asked).map(|answer| asked.answered(answer));
            let answer = message.map(|message| encode_sessionless(&message));
            return Ok(Reaction { answer, effects: Vec::new() });
        }
        let id = session_of(packet)?;
        if id == 0 {
            let answer = self.handshake(packet, now)?;
            return Ok(Reaction { answer, effects: Vec::new() });
        }
        let Some(session) = self.sessions.get(id, now) else { return Ok(Reaction::default()) };
        let Session { console, keys: Some(keys), window, privilege, .. } = session else {
            return Ok(Reaction::default());
        };
        let Some((envelope, message)) = unseal(keys, id, packet)? else {
            return Ok(Reaction::default());
        };
        if !window.admit(envelope.sequence) || envelope.kind != Payload::Message {
            return Ok(Reaction::default());
        }
        let asked = Asked::decode(&message)?;
        let (console, privilege, keys) = (*console, *privilege, keys.clone());
        session.sequence = session.sequence.wrapping_add(1).max(1);
        let envelope =
            Envelope { session: console, sequence: session.sequence, kind: Payload::Message };
        let vector = self.random.bytes();
        self.counters.commands += 1;
        let (answer, effects) = self.command(id, privilege, &asked);
        let answer = seal(&keys, envelope, vector, &asked.answered(answer));
        Ok(Reaction { answer: Some(answer), effects })
    }
}

fn lock(machine: &Mutex<Machine>) -> MutexGuard<'_, Machine> {
    machine.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) async fn serve(socket: UdpSocket, machine: Arc<Mutex<Machine>>) {
    let socket = Arc::new(socket);
    let mut waiting = JoinSet::new();
    let mut buffer = [0; PACKET_BYTES_MAX];
    loop {
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else {
            // Nothing that a simulated controller could do about it, but not in a hot loop.
            sleep(Duration::from_millis(10)).await;
            continue;
        };
        while waiting.try_join_next().is_some() {}
        let packet = buffer.get(..length).unwrap_or_default();
        let (Reaction { answer, effects }, delay) = {
            let mut machine = lock(&machine);
            let reaction = machine.receive(packet, Instant::now());
            for effect in reaction.effects.iter().filter(|effect| effect.after.is_zero()) {
                machine.chassis.change(effect.what);
            }
            (reaction, machine.knobs.delay)
        };
        if waiting.len() >= WAITING_MAX {
            continue;
        }
        for effect in effects.into_iter().filter(|effect| !effect.after.is_zero()) {
            let machine = Arc::clone(&machine);
            waiting.spawn(async move {
                sleep(effect.after).await;
                lock(&machine).chassis.change(effect.what);
            });
        }
        let Some(answer) = answer else { continue };
        if delay.is_zero() {
            // A lost answer is what UDP promises.
            drop(socket.send_to(&answer, from).await);
        } else {
            let socket = Arc::clone(&socket);
            waiting.spawn(async move {
                sleep(delay).await;
                drop(socket.send_to(&answer, from).await);
            });
        }
    }
}
