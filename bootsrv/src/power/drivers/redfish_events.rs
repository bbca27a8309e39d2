//! A Redfish service's stream of events, as the reason for a look. It shares the driver's session, is opened
//! only after the driver's own questions were answered for a while, and gives way as soon as one is not.

use crate::power::driver::{Cue, Trouble};
use protocol::names::NodeName;
use redfish::{Client, Error, ErrorKind, Event, EventRecord};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::sync::watch::error::RecvError;
use tokio::time::{Instant, timeout_at};

/// Between two lines in the log about one node's events.
const LINE: Duration = Duration::from_secs(60);

/// How often the stream is asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// First pause after a stream broke; doubled each time. So long the driver's questions have to be
    /// answered before a stream is asked for: it does not come into the recovery of a controller.
    first: Duration,
    /// Longest such pause.
    longest: Duration,
    /// A stream that lasted so long was a good one.
    good: Duration,
    /// Where none is offered, or it is refused to our account, and none ever was open.
    not_offered: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            first: seconds(10),
            longest: seconds(3_600),
            good: seconds(600),
            not_offered: seconds(6 * 3_600),
        }
    }
}

/// How a stream ended.
#[derive(Debug)]
enum Ended {
    NotOffered,
    /// The driver comes first: it is in trouble, or has to log in anew.
    GaveWay,
    Failed(Error),
}

impl Ended {
    /// What the service asked for; at most 10 min, as the client reads it.
    fn retry_after(&self) -> Duration {
        let Self::Failed(error) = self else { return Duration::ZERO };
        let ErrorKind::Busy { retry_after } = error.kind else { return Duration::ZERO };
        retry_after.unwrap_or_default()
    }
}

impl From<Error> for Ended {
    fn from(error: Error) -> Self {
        let is_the_drivers = error.kind == ErrorKind::LoggedOut;
        if is_the_drivers { Self::GaveWay } else { Self::Failed(error) }
    }
}

impl Pace {
    /// The pause before the next attempt, and what the pause after that grows from. `was_open`: this
    /// service has had a stream; one that has none now may be starting.
    fn after(
        &self,
        ended: &Ended,
        lasted: Duration,
        grown: Duration,
        was_open: bool,
    ) -> (Duration, Duration) {
        let is_lacking = match ended {
            Ended::NotOffered => true,
            Ended::GaveWay => false,
            Ended::Failed(error) => {
                matches!(error.kind, ErrorKind::Refused | ErrorKind::Unsupported)
            }
        };
        if is_lacking && !was_open {
            return (self.not_offered, self.first);
        }
        let pause = if lasted >= self.good { self.first } else { grown.max(self.first) };
        let pause = pause.min(self.longest);
        let next = match ended {
            // Nothing is wrong with the stream.
            Ended::GaveWay => pause,
            Ended::NotOffered | Ended::Failed(_) => pause.saturating_mul(2).min(self.longest),
        };
        (pause.max(ended.retry_after()), next)
    }
}

/// The driver's end: it says how its own questions fare. The listening ends with it.
#[derive(Debug)]
pub(super) struct Listening {
    cue: Cue,
    may_listen: watch::Sender<bool>,
    /// Until the first question is answered.
    waiting: Option<(Arc<Client>, NodeName, Pace)>,
}

impl Listening {
    /// Nothing is asked before the driver's first question was answered.
    pub(super) fn new(client: &Arc<Client>, node: &NodeName, pace: Pace) -> Self {
        Self {
            cue: Cue::default(),
            may_listen: watch::Sender::new(false),
            waiting: Some((Arc::clone(client), node.clone(), pace)),
        }
    }

    /// What is given when an event came.
    pub(super) fn cue(&self) -> Cue {
        self.cue.clone()
    }

    /// The driver asks for the power, or commands it: that comes before the stream.
    pub(super) fn under_way(&mut self) -> UnderWay<'_> {
        UnderWay(Some(self))
    }

    fn note(&mut self, trouble: Option<Trouble>) {
        let may_listen = match trouble {
            None => true,
            Some(Trouble::Busy | Trouble::NoAnswer | Trouble::Refused) => false,
            Some(Trouble::Unsupported | Trouble::Broken) => return,
        };
        self.may_listen.send_if_modified(|may| std::mem::replace(may, may_listen) != may_listen);
        if may_listen && let Some((client, node, pace)) = self.waiting.take() {
            let (cue, may_listen) = (self.cue.clone(), self.may_listen.subscribe());
            let listener = Listener { client, node, pace, cue, said: None, was_open: false };
            tokio::spawn(listener.run(may_listen));
        }
    }
}

/// A question or command that is not over. If it is dropped, somebody's patience was at its end.
#[derive(Debug)]
pub(super) struct UnderWay<'a>(Option<&'a mut Listening>);

impl UnderWay<'_> {
    /// How it fared.
    pub(super) fn over(mut self, trouble: Option<Trouble>) {
        if let Some(listening) = self.0.take() {
            listening.note(trouble);
        }
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        if let Some(listening) = self.0.take() {
            listening.note(Some(Trouble::NoAnswer));
        }
    }
}

struct Listener {
    client: Arc<Client>,
    node: NodeName,
    pace: Pace,
    cue: Cue,
    /// When the log got its last line.
    said: Option<Instant>,
    /// A stream was open once.
    was_open: bool,
}

impl Listener {
    async fn run(mut self, mut may_listen: watch::Receiver<bool>) {
        // Nodes that are defined together do not ask together.
        let mut pause = self.pace.first.mul_f64(rand::random_range(1.0..2.0));
        let mut grown = self.pace.first;
        loop {
            if self.wait(&mut may_listen, pause).await.is_err() {
                return;
            }
            let start = Instant::now();
            let ended = tokio::select! {
                ended = self.listen() => ended,
                changed = may_listen.wait_for(|may| !*may) => match changed {
                    Ok(_) => Ended::GaveWay,
                    Err(_) => return,
                }
            };
            let node = &self.node;
            if let Ended::Failed(error) = &ended {
                log::debug!("node={node}: its controller's events: {}", crate::chain(error));
            }
            (pause, grown) = self.pace.after(&ended, start.elapsed(), grown, self.was_open);
            pause = pause.mul_f64(rand::random_range(1.0..1.5));
        }
    }

    /// Waits so long, and until the driver was answered for [`Pace::first`] without a failure. An error:
    /// the driver is no more.
    async fn wait(
        &self,
        may_listen: &mut watch::Receiver<bool>,
        pause: Duration,
    ) -> Result<(), RecvError> {
        let due = Instant::now() + pause;
        loop {
            drop(may_listen.wait_for(|may| *may).await?);
            let calm = due.max(Instant::now() + self.pace.first);
            match timeout_at(calm, may_listen.wait_for(|may| !*may)).await {
                Err(_) => return Ok(()),
                Ok(trouble) => drop(trouble?),
            }
        }
    }

    async fn listen(&mut self) -> Ended {
        let mut stream = match self.client.events().await {
            Ok(Some(stream)) => stream,
            Ok(None) => return Ended::NotOffered,
            Err(error) => return error.into(),
        };
        self.was_open = true;
        log::debug!("node={}: its controller's events are listened to", self.node);
        // Something may have happened since the last look.
        self.cue.give();
        loop {
            match stream.next().await {
                Ok(event) => {
                    self.cue.give();
                    self.say(&event);
                }
                Err(error) => return error.into(),
            }
        }
    }

    /// What a controller finds bad is worth a line, now and then.
    fn say(&mut self, event: &Event) {
        let Some(record) = event.records.iter().max_by_key(|record| rank(record)) else { return };
        let is_due = self.said.is_none_or(|at| at.elapsed() >= LINE);
        if rank(record) > 0 && is_due {
            self.said = Some(Instant::now());
            log::warn!("node={}: its controller reports: {}", self.node, line(record));
        }
    }
}

fn rank(record: &EventRecord) -> u8 {
    match record.severity.as_deref() {
        Some("Critical") => 2,
        Some("Warning") => 1,
        _ => 0,
    }
}

fn line(record: &EventRecord) -> String {
    let texts = [&record.severity, &record.message, &record.message_id];
    let known: Vec<&str> = texts.into_iter().flatten().map(String::as_str).collect();
    known.join(" ")
}

#[cfg(test)]
#[path = "redfish_events_tests.rs"]
mod tests;
