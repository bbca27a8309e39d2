//! What the made-up service remembers, with knobs for faults and counters for tests.

use super::shape::Shape;
use super::streams;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::mpsc::UnboundedSender;

/// A fault of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// This status; not carried out.
    Status(u16),
    /// 503, with seconds to wait; not carried out.
    Busy(u64),
    /// Carried out, and the connection breaks in the middle of the answer.
    Cut,
    /// Carried out, and answered after this time.
    Slow(Duration),
    /// Never answered; not carried out.
    Hang,
    /// 200 and this text.
    Text(String),
    /// 200 and more than any client should read.
    Endless,
}

/// Everything; its fields are the knobs and the counters.
#[derive(Debug)]
pub struct State {
    /// Cannot be changed once it runs.
    pub(super) shape: Shape,
    /// Knob: `false`: it has no SessionService, and wants HTTP basic authentication.
    pub has_sessions: bool,
    /// Knob: more sessions are refused.
    pub sessions_max: usize,
    /// Knob: the next so many requests whose path contains the text get the fault.
    pub faults: Vec<(String, u32, Fault)>,
    /// Knob: its events stream; without, it has an EventService all the same.
    pub has_stream: bool,
    /// Knob: more streams are refused.
    pub streams_max: usize,
    /// Knob: so many resets are accepted and not carried out.
    pub resets_ignored: u32,
    /// Knob: so many times after a reset the power state is the one before it.
    pub stale_reads: u32,
    /// Knob: changes need If-Match, with the version as it was named, which is a weak one.
    pub wants_version: bool,
    /// Knob: they need its strong form, as RFC 9110 has it.
    pub wants_strong_version: bool,
    /// Knob: the boot device is changed in a document of its own, as AMI's MegaRAC does it.
    pub has_settings: bool,
    /// Knob: the boot mode cannot be changed.
    pub has_fixed_mode: bool,
    /// Knob: the chassis holds another system too.
    pub has_shared_chassis: bool,
    /// Knob: how many systems there are; only the first is ours.
    pub systems: usize,
    /// Whether the node has power.
    pub is_on: bool,
    /// Its meter; `None`: no reading.
    pub watts: Option<f64>,
    /// Its energy since the meter was reset; `None`: no reading.
    pub joules: Option<f64>,
    /// BootSourceOverrideEnabled, -Target and -Mode.
    pub boot: [String; 3],
    /// Version of the system's document.
    pub version: u64,
    /// Of the log: Created, Severity and Message, the oldest first.
    pub log: Vec<[String; 3]>,
    /// Open sessions: number and token.
    pub sessions: BTreeMap<u64, String>,
    /// Open streams of events: number, and what is sent on it.
    pub streams: BTreeMap<u64, UnboundedSender<String>>,
    /// Counter: method and path of every request.
    pub asked: Vec<String>,
    /// Counter: the values of ResetType that were accepted.
    pub resets: Vec<String>,
    pub(super) number: u64,
    pub(super) stale: u32,
    pub(super) was_on: bool,
}

impl State {
    pub(super) fn new(shape: Shape) -> Self {
        let entry = |minute: u32, severity: &str, message: &str| {
            [format!("2026-11-21T10:{minute:02}:00Z"), severity.into(), message.into()]
        };
        Self {
            shape,
            has_sessions: true,
            sessions_max: 4,
            faults: Vec::new(),
            has_stream: true,
            streams_max: 2,
            resets_ignored: 0,
            stale_reads: 0,
            wants_version: false,
            wants_strong_version: false,
            has_settings: false,
            has_fixed_mode: false,
            has_shared_chassis: false,
            systems: 1,
            is_on: false,
            watts: Some(12.0),
            joules: Some(7.2e6),
            boot: ["Disabled".into(), "None".into(), "UEFI".into()],
            version: 1,
            log: (0..10).map(|minute| entry(minute, "OK", &format!("entry {minute}"))).collect(),
            sessions: BTreeMap::new(),
            streams: BTreeMap::new(),
            asked: Vec::new(),
            resets: Vec::new(),
            number: 0,
            stale: 0,
            was_on: false,
        }
    }

    /// Counts requests whose text (`METHOD path`) contains that.
    #[must_use]
    pub fn count(&self, text: &str) -> usize {
        self.asked.iter().filter(|asked| asked.contains(text)).count()
    }

    /// Ends all sessions, as a restart of the controller does.
    pub fn end_sessions(&mut self) {
        self.sessions.clear();
    }

    /// Ends all streams of events, as a restart of the controller does.
    pub fn end_streams(&mut self) {
        self.streams.clear();
    }

    /// Sends this on every stream as it is, which may be anything.
    pub fn send(&mut self, text: &str) {
        self.streams.retain(|_, stream| stream.send(text.to_owned()).is_ok());
    }

    /// Sends an event with one record on every stream.
    pub fn tell(&mut self, severity: &str, message: &str) {
        let event = streams::event(self, severity, message);
        self.send(&event);
    }

    /// The next `times` requests whose path contains `path` get this fault.
    pub fn fail(&mut self, path: &str, times: u32, fault: Fault) {
        self.faults.push((path.into(), times, fault));
    }

    /// The fault that this request gets.
    pub(super) fn fault(&mut self, path: &str) -> Option<Fault> {
        let due = |fault: &&mut (String, u32, Fault)| fault.1 > 0 && path.contains(&fault.0);
        let found = self.faults.iter_mut().find(due)?;
        found.1 -= 1;
        Some(found.2.clone())
    }

    /// The power as it is shown, which may lag behind.
    pub(super) fn shown_power(&mut self) -> &'static str {
        let is_on = if self.stale > 0 { self.was_on } else { self.is_on };
        self.stale = self.stale.saturating_sub(1);
        if is_on { "On" } else { "Off" }
    }

    pub(super) fn reset(&mut self, reset_type: &str) {
        self.resets.push(reset_type.to_owned());
        if self.resets_ignored > 0 {
            self.resets_ignored -= 1;
            return;
        }
        (self.was_on, self.stale) = (self.is_on, self.stale_reads);
        self.is_on = !matches!(reset_type, "ForceOff" | "GracefulShutdown");
        let power = if self.is_on { "On" } else { "Off" };
        self.tell("OK", &format!("The power state is {power}."));
    }

    pub(super) fn next_number(&mut self) -> u64 {
        self.number += 1;
        self.number
    }
}
