//! Reading the meter of an active node, and looking now and then at the power of each.

use super::Worker;
use crate::clock::now_unix_ns;
use crate::deployment::State;
use energy::Sample;
use std::time::Duration;
use tokio::time::Instant;

/// Between two readings of an active node; a little off a second, so that the sampling does not
/// lock onto a controller's own refresh.
const SAMPLE: Duration = Duration::from_millis(987);
/// Between two looks at a node that is not being switched, and between two readings from a controller that is away.
const IDLE_LOOK: Duration = Duration::from_secs(30);
/// A meter that takes longer gives way to commands.
const QUICK: Duration = Duration::from_secs(1);
/// Readings that must agree within [`SETTLED_MILLIWATTS`] for the power to count as settled.
const SETTLED_READINGS: u32 = 3;
const SETTLED_MILLIWATTS: i64 = 1_000;

/// When the meter is read next, and what it showed.
#[derive(Debug)]
pub(super) struct Sampling {
    pub(super) next: Instant,
    /// When the power was looked at last.
    pub(super) looked: Option<Instant>,
    last: Option<Sample>,
    alike: u32,
    /// Between two readings: longer where the controller does not answer.
    pause: Duration,
    /// How long the last reading took.
    took: Duration,
}

impl Sampling {
    pub(super) fn new() -> Self {
        Self {
            next: Instant::now(),
            looked: None,
            last: None,
            alike: 0,
            pause: SAMPLE,
            took: Duration::ZERO,
        }
    }

    /// Whether it is time for a reading while a command takes effect.
    pub(super) fn is_due_meanwhile(&self) -> bool {
        Instant::now() >= self.next && self.took < QUICK
    }
}

impl Worker {
    pub(super) async fn sample(&mut self) {
        let state = *self.active.borrow();
        if state == State::Released {
            self.sampling.next = Instant::now() + IDLE_LOOK;
            self.look().await;
            return;
        }
        if self.sampling.looked.is_none_or(|at| at.elapsed() >= IDLE_LOOK) {
            self.look().await;
        }
        self.sampling.next = Instant::now() + self.sampling.pause;
        let start = Instant::now();
        let before = now_unix_ns();
        let can_read = self.node.abilities().meter && !self.outlet_is_off;
        let reading = if can_read { self.node.reading().await } else { Ok(None) };
        let after = now_unix_ns();
        self.sampling.took = start.elapsed();
        let is_silent = reading.is_err() && self.node.is_silent();
        self.sampling.pause =
            if is_silent { (self.sampling.pause * 2).min(IDLE_LOOK) } else { SAMPLE };
        // No answer is no end of the readings: the next may come.
        let has_meter = reading.as_ref().map_or(true, Option::is_some);
        let reading = reading.ok().flatten();
        let watts = reading.map(|reading| (reading.milliwatts + 500) / 1_000);
        self.observed.send_modify(|seen| seen.watts = watts);
        let sample = reading.map(|reading| {
            // The controller read its meter somewhere between question and answer.
            let unix_ns = before + (after - before) / 2;
            (Sample { unix_ns, milliwatts: i64::from(reading.milliwatts) }, reading.meter)
        });
        self.note(sample, has_meter, state);
    }

    fn note(&mut self, sample: Option<(Sample, &str)>, has_meter: bool, state: State) {
        let Some(listener) = self.listener().cloned() else { return };
        let name = &self.definition.name;
        if let Some((sample, meter)) = sample {
            listener.reading(name, sample, meter);
            let alike = self.sampling.last.is_some_and(|last| {
                (last.milliwatts - sample.milliwatts).abs() <= SETTLED_MILLIWATTS
            });
            let settling = alike && state == State::Settling;
            self.sampling.alike = if settling { self.sampling.alike + 1 } else { 0 };
            self.sampling.last = Some(sample);
        }
        let settled = !has_meter || self.sampling.alike >= SETTLED_READINGS;
        if state == State::Settling && settled {
            self.sampling.alike = 0;
            listener.settled(name);
        }
    }
}
