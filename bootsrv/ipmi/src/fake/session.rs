//! A simulated controller's table of sessions.

use crate::wire::suite::{CipherSuite, Keys};
use crate::wire::window::Window;
use std::collections::HashMap;
use std::time::Duration;
use tokio::time::Instant;

/// One session, from Open Session on.
#[derive(Debug)]
pub(super) struct Session {
    /// The client's id of it.
    pub(super) console: u32,
    pub(super) suite: CipherSuite,
    /// The controller's random number.
    pub(super) random: [u8; 16],
    /// The client's.
    pub(super) console_random: [u8; 16],
    /// Role, name's length and name, as RAKP 1 has them; empty before.
    pub(super) identity: Vec<u8>,
    /// Present once RAKP 3 proved the password.
    pub(super) keys: Option<Keys>,
    /// Privilege level in force.
    pub(super) privilege: u8,
    /// Of the packet sent last.
    pub(super) sequence: u32,
    pub(super) window: Window,
    /// When the client was heard last.
    pub(super) heard: Instant,
}

impl Session {
    pub(super) fn new(console: u32, suite: CipherSuite, random: [u8; 16], heard: Instant) -> Self {
        Self {
            console,
            suite,
            random,
            console_random: [0; 16],
            identity: Vec::new(),
            keys: None,
            privilege: 0,
            sequence: 0,
            window: Window::default(),
            heard,
        }
    }
}

/// The open sessions by the controller's id of them.
#[derive(Debug)]
pub(super) struct Sessions {
    open: HashMap<u32, Session>,
    max: usize,
    idle: Duration,
}

impl Sessions {
    pub(super) fn new(max: usize, idle: Duration) -> Self {
        Self { open: HashMap::new(), max, idle }
    }

    /// Takes a session in, under an id derived from `wish`. `None`: all are taken.
    pub(super) fn add(&mut self, wish: u32, session: Session) -> Option<u32> {
        let (now, idle) = (session.heard, self.idle);
        self.open.retain(|_, session| now.duration_since(session.heard) < idle);
        if self.open.len() >= self.max {
            return None;
        }
        let mut id = wish.max(1);
        while self.open.contains_key(&id) {
            id = id.wrapping_add(1).max(1);
        }
        self.open.insert(id, session);
        Some(id)
    }

    /// The session with that id, heard now, unless it was silent for too long.
    pub(super) fn get(&mut self, id: u32, now: Instant) -> Option<&mut Session> {
        let session = self.open.get_mut(&id)?;
        if now.duration_since(session.heard) >= self.idle {
            self.open.remove(&id);
            return None;
        }
        let session = self.open.get_mut(&id)?;
        session.heard = now;
        Some(session)
    }

    pub(super) fn remove(&mut self, id: u32) {
        self.open.remove(&id);
    }

    pub(super) fn clear(&mut self) {
        self.open.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_are_few_and_end_by_silence() {
        let now = Instant::now();
        let session = |heard| Session::new(7, CipherSuite::Sha1, [0; 16], heard);
        let mut sessions = Sessions::new(2, Duration::from_secs(60));
        assert_eq!(sessions.add(5, session(now)), Some(5));
        assert_eq!(sessions.add(5, session(now)), Some(6));
        assert_eq!(sessions.add(5, session(now)), None);
        let later = now + Duration::from_secs(59);
        assert!(sessions.get(5, later).is_some());
        let last = now + Duration::from_secs(60);
        assert!(sessions.get(6, last).is_none(), "silent for 60 s");
        assert!(sessions.get(5, last).is_some());
        assert!(sessions.add(9, session(last)).is_some());
        sessions.remove(9);
        assert!(sessions.get(9, last).is_none());
    }
}
