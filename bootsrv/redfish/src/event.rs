//! What a service tells of by itself (Event, DSP0268).

use crate::document::text;
use crate::refusal::one_line;
use serde_json::Value;

/// Largest event, in bytes; those of real services have one to a few records of 1 KiB. So much is kept for
/// each stream at most, and there may be a thousand.
pub(crate) const EVENT_BYTES_MAX: usize = 64 << 10;
/// Most records of one event; more are left out.
const RECORDS_MAX: usize = 64;

/// Something happened. It is a reason to look, and no proof: events come late, twice or not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// What happened, in the service's order.
    pub records: Vec<EventRecord>,
}

/// One thing that happened. Properties that the service does not give are `None`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventRecord {
    /// `OK`, `Warning` or `Critical`.
    pub severity: Option<String>,
    /// Which message of a registry, e.g. `ResourceEvent.1.2.ResourceChanged`.
    pub message_id: Option<String>,
    /// For people, in one line.
    pub message: Option<String>,
}

impl Event {
    /// Reads what a service sent; `None`: it is something else, e.g. a metric report.
    pub(crate) fn read(payload: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(payload).ok()?;
        let events = value.pointer("/Events")?.as_array()?;
        Some(Self { records: events.iter().take(RECORDS_MAX).map(EventRecord::of).collect() })
    }
}

impl EventRecord {
    fn of(record: &Value) -> Self {
        let line = |pointer| text(record, pointer).map(one_line);
        Self {
            // The older of the two has another set of words in some versions.
            severity: line("/MessageSeverity").or_else(|| line("/Severity")),
            message_id: line("/MessageId"),
            message: line("/Message"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn both_generations_of_events_are_read() {
        let new = json!({"Events": [{"MessageSeverity": "Critical", "Severity": "Warning",
            "MessageId": "Power.1.0.Off", "Message": "It\nis off"}]});
        let event = Event::read(&new.to_string()).unwrap();
        assert_eq!(event.records.len(), 1);
        let record = &event.records[0];
        assert_eq!(record.severity.as_deref(), Some("Critical"));
        assert_eq!(record.message_id.as_deref(), Some("Power.1.0.Off"));
        assert_eq!(record.message.as_deref(), Some("It is off"));
        let old = json!({"Events": [{"Context": "n2", "Severity": "OK"}]});
        let event = Event::read(&old.to_string()).unwrap();
        assert_eq!(event.records[0].severity.as_deref(), Some("OK"));
        assert_eq!(event.records[0].message, None);
    }

    #[test]
    fn what_is_no_event_is_none_and_a_long_one_is_cut() {
        for text in ["", "{", "{}", "[]", "7", r#"{"Events": {}}"#, r#"{"MetricValues": []}"#] {
            assert_eq!(Event::read(text), None, "{text}");
        }
        assert_eq!(Event::read(&"[".repeat(100_000)), None);
        let many = json!({"Events": vec![json!(7); 1000]}).to_string();
        let event = Event::read(&many).unwrap();
        assert_eq!(event.records.len(), RECORDS_MAX);
        assert_eq!(event.records[0].message, None);
    }
}
