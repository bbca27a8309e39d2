//! Follows a console in the background while a system boots, through lost sessions and restarted
//! controllers.

use super::{Heard, SerialConsole, has_console};
use crate::address::{ClientConfig, ControllerAddress};
use crate::client::Client;
use crate::error::{IpmiError, Trouble};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

/// The pause before a console that could not be had is asked for again. Longer after more trouble:
/// a site may have nobody free the console for days.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// How long the end of a capture may wait for the controller.
const STOP_MAX: Duration = Duration::from_secs(3);

/// How a capture goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CaptureState {
    /// It logs in.
    Connecting,
    /// It has the console.
    Open,
    /// Another session has the console; it is asked for again.
    InUse,
    /// The console was lost or never had, for this reason; it is asked for again.
    Lost(String),
    /// The console cannot be had, for this reason: the controller lacks it, or refuses us.
    Failed(String),
}

/// What a capture tells, as it comes.
#[derive(Debug, PartialEq, Eq)]
pub enum CaptureEvent<'a> {
    /// What the console wrote: never empty, at most a packet.
    Bytes(&'a [u8]),
    /// The session that has the console now is ours, and the controller names it so.
    Session(u32),
    /// How it goes, when that changes.
    State(&'a CaptureState),
}

/// Who hears it. Short: the console waits.
type Ear = Box<dyn FnMut(CaptureEvent<'_>) + Send>;

/// A running capture; dropping it ends it without a word to the controller but the session's end.
#[derive(Debug)]
pub struct ConsoleCapture {
    state: Arc<Mutex<CaptureState>>,
    /// The capture ends with it.
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl ConsoleCapture {
    /// Starts to follow the console. Must be called in a tokio runtime.
    ///
    /// It takes the console from no other session, but once from one of its own that is dead and that
    /// the controller still keeps: `former`, of an earlier run of the program, or one that was lost.
    #[must_use]
    pub fn start(
        address: ControllerAddress,
        config: ClientConfig,
        former: Option<u32>,
        ear: impl FnMut(CaptureEvent<'_>) + Send + 'static,
    ) -> Self {
        let state = Arc::new(Mutex::new(CaptureState::Connecting));
        let (stop, stopped) = oneshot::channel();
        let follower = Follower {
            address,
            config,
            state: Arc::clone(&state),
            ear: Box::new(ear),
            former,
            may_take: true,
        };
        Self { state, stop: Some(stop), task: tokio::spawn(follower.run(stopped)) }
    }

    /// How it goes.
    #[must_use]
    pub fn state(&self) -> CaptureState {
        lock(&self.state).clone()
    }

    /// Gives the console back, within three seconds.
    pub async fn stop(mut self) {
        drop(self.stop.take());
        // Without an answer in time, dropping the task ends the session.
        drop(timeout(STOP_MAX, &mut self.task).await);
    }
}

impl Drop for ConsoleCapture {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn lock(state: &Mutex<CaptureState>) -> MutexGuard<'_, CaptureState> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Follower {
    address: ControllerAddress,
    config: ClientConfig,
    state: Arc<Mutex<CaptureState>>,
    ear: Ear,
    /// Our session that had the console last, as the controller names it.
    former: Option<u32>,
    /// The console was not taken from a dead session of ours yet.
    may_take: bool,
}

impl Follower {
    async fn run(mut self, mut stopped: oneshot::Receiver<()>) {
        let mut pause = PAUSE_MIN;
        loop {
            let opened = tokio::select! {
                opened = self.open() => opened,
                _ = &mut stopped => return,
            };
            let error = match opened {
                Err(error) => error,
                Ok(mut console) => {
                    self.set(CaptureState::Open);
                    let opened = Instant::now();
                    let error = tokio::select! {
                        error = self.read(&mut console) => error,
                        _ = &mut stopped => {
                            // Nobody is left to be told.
                            drop(console.close().await);
                            return;
                        }
                    };
                    // One that ends at once each time is trouble as well.
                    if opened.elapsed() >= PAUSE_MAX {
                        pause = PAUSE_MIN;
                    }
                    error
                }
            };
            let state = after(&error);
            let failed = matches!(state, CaptureState::Failed(_));
            self.set(state);
            if failed {
                return;
            }
            tokio::select! {
                () = sleep(pause) => {}
                _ = &mut stopped => return,
            }
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    async fn open(&mut self) -> Result<SerialConsole, IpmiError> {
        match SerialConsole::open(self.connect().await?).await {
            Err(IpmiError::ConsoleInUse { .. }) if self.may_take && self.former.is_some() => {
                self.take_from_the_dead().await
            }
            opened => opened,
        }
    }

    /// Takes the console from our own dead session, if it is that one that has it.
    async fn take_from_the_dead(&mut self) -> Result<SerialConsole, IpmiError> {
        let mut client = self.connect().await?;
        // Not every controller tells.
        if has_console(&mut client).await.ok().flatten() != self.former {
            return Err(IpmiError::ConsoleInUse { addr: client.addr() });
        }
        self.may_take = false;
        SerialConsole::take_over(client).await
    }

    async fn connect(&mut self) -> Result<Client, IpmiError> {
        Client::connect_with(&self.address, self.config).await
    }

    /// Reads until the console is lost.
    async fn read(&mut self, console: &mut SerialConsole) -> IpmiError {
        loop {
            match console.next().await {
                Ok(Heard::Bytes(bytes)) => (self.ear)(CaptureEvent::Bytes(&bytes)),
                Ok(Heard::Holder(session)) => {
                    self.former = Some(session);
                    (self.ear)(CaptureEvent::Session(session));
                }
                Err(error) => return error,
            }
        }
    }

    fn set(&mut self, state: CaptureState) {
        let before = std::mem::replace(&mut *lock(&self.state), state.clone());
        if before != state {
            (self.ear)(CaptureEvent::State(&state));
        }
    }
}

/// Whether it is worth asking again: never after a refusal, which may count towards a lock.
fn after(error: &IpmiError) -> CaptureState {
    if matches!(error, IpmiError::ConsoleInUse { .. }) {
        return CaptureState::InUse;
    }
    let mut reason = error.to_string();
    if let Some(source) = std::error::Error::source(error) {
        reason = format!("{reason}: {source}");
    }
    match error.trouble() {
        Trouble::Refused | Trouble::Unsupported => CaptureState::Failed(reason),
        Trouble::NoAnswer | Trouble::Busy | Trouble::Broken => CaptureState::Lost(reason),
    }
}
