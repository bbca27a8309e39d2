//! The time limit of a started program: it holds even while nobody waits for the program's end, e.g.
//! while somebody reads what it writes.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Kills the program's process group when its time is over.
#[derive(Debug)]
pub(super) struct Watchdog {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

/// How far the program is.
#[derive(Debug, Default)]
pub(super) struct State {
    /// It was waited for: its number may be another program's now, and must not be used any more.
    pub(super) reaped: bool,
    /// Its time was over before.
    pub(super) expired: bool,
}

impl Watchdog {
    /// Watches the group that this process leads, on a thread of its own.
    pub(super) fn start(group: u32, limit: Duration) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let watched = shared.clone();
        let watch = move || {
            let state = watched.state.lock().unwrap_or_else(PoisonError::into_inner);
            let waited = watched.changed.wait_timeout_while(state, limit, |state| !state.reaped);
            let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
            if !state.reaped {
                state.expired = true;
                kill(group);
            }
        };
        std::thread::Builder::new().name("watchdog".into()).spawn(watch)?;
        Ok(Self { shared })
    }

    /// Nobody else looks after the program as long as this is held.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The program was waited for.
    pub(super) fn reaped(&self, mut state: MutexGuard<'_, State>) {
        state.reaped = true;
        self.shared.changed.notify_all();
    }
}

/// Ends a program and its helpers; it must not have been waited for.
pub(super) fn kill(group: u32) {
    let group = i32::try_from(group).ok().and_then(rustix::process::Pid::from_raw);
    let killed = group
        .map(|group| rustix::process::kill_process_group(group, rustix::process::Signal::KILL));
    if let Some(Err(error)) = killed {
        log::warn!("kill a program: {error}");
    }
}
