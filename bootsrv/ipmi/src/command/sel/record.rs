//! One record of the event log as one line (IPMI 2.0, tables 32-1 to 32-3 and 29-6).

use super::names::{Detail, event_name, sensor_name};
use crate::error::Malformed;
use crate::wire::reader::Reader;
use std::fmt;

/// Every record has so many bytes.
pub(super) const RECORD_BYTES: u8 = 16;
/// A record of a sensor.
const SYSTEM_EVENT: u8 = 0x02;
/// Records of the maker's own: with a time stamp, and without.
const OEM_STAMPED: u8 = 0xC0;
const OEM: u8 = 0xE0;
/// 1990-01-01: below is the time since the controller's start, when its clock was not set yet
/// (IPMI 2.0, section 37.1, has 0x20000000 as the limit), or a clock that was never set.
const STAMP_MIN: u32 = 631_152_000;
/// "Unspecified" by the same section.
const STAMP_UNSET: u32 = 0xFFFF_FFFF;

/// A time stamp in seconds since 1970, if it says anything.
pub(super) fn stamp(raw: u32) -> Option<i64> {
    (raw >= STAMP_MIN && raw != STAMP_UNSET).then_some(raw.into())
}

/// Something that the controller wrote down. Displays as one line: when and what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SystemEvent {
    /// The record's id in the log.
    pub record: u16,
    /// When, in seconds since 1970 of our clock; `None`: the controller's clock was not set.
    pub unix_s: Option<i64>,
    /// The record as it came.
    pub raw: [u8; RECORD_BYTES as usize],
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Sensor { sensor: u8, number: u8, gone: bool, event_type: u8, data: [u8; 3] },
    Other,
}

impl SystemEvent {
    /// `behind_s`: what to add to the controller's clock.
    pub(super) fn parse(bytes: &[u8], behind_s: i64) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let raw = reader.array::<{ RECORD_BYTES as usize }>("record")?;
        if !reader.rest().is_empty() {
            return Err(Malformed::Length { field: "record" });
        }
        let mut reader = Reader::new(&raw);
        let record = reader.u16("record id")?;
        let kind = reader.u8("record type")?;
        let time = stamp(reader.u32("time stamp")?).filter(|_| kind < OEM);
        reader.u16("generator")?;
        reader.u8("version")?;
        let [sensor, number, direction] = reader.array("sensor and event type")?;
        let data = reader.array("event data")?;
        let (gone, event_type) = (direction & 0x80 != 0, direction & 0x7F);
        let event = Kind::Sensor { sensor, number, gone, event_type, data };
        Ok(Self {
            record,
            unix_s: time.map(|time| time.saturating_add(behind_s)),
            raw,
            kind: if kind == SYSTEM_EVENT { event } else { Kind::Other },
        })
    }
}

impl fmt::Display for SystemEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.unix_s.and_then(|time| jiff::Timestamp::from_second(time).ok()) {
            Some(time) => write!(f, "{time}")?,
            None => f.write_str("at an unknown time")?,
        }
        let Kind::Sensor { sensor, number, gone, event_type, data } = self.kind else {
            let [_, _, kind, ..] = self.raw;
            let what =
                if kind >= OEM_STAMPED { "maker's own record" } else { "record of unknown kind" };
            return write!(f, " {what}: {}", Hex(&self.raw));
        };
        match sensor_name(sensor) {
            Some(name) => write!(f, " {name} 0x{number:02x}: ")?,
            None => write!(f, " sensor 0x{number:02x} of type 0x{sensor:02x}: ")?,
        }
        let [first, second, third] = data;
        let Some((name, detail)) = event_name(sensor, event_type, first & 0x0F) else {
            return write!(f, "event {}", Hex(&self.raw));
        };
        f.write_str(name)?;
        // What the other two bytes are stands in the first one's upper half (table 29-6).
        let (second_kind, third_kind) = (first >> 6, first >> 4 & 3);
        match detail {
            Detail::Second(words) if second_kind == 3 => match words(second) {
                Some(words) => write!(f, ", {words}")?,
                None => write!(f, ", code 0x{second:02x}")?,
            },
            Detail::Module if third_kind == 2 => write!(f, ", module {third}")?,
            Detail::None | Detail::Second(_) | Detail::Module => {}
        }
        if gone { f.write_str(" (over)") } else { Ok(()) }
    }
}

/// Bytes as two digits each.
struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            write!(f, "{}{byte:02x}", if index == 0 { "" } else { " " })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-21 19:20:00 UTC.
    const TIME: [u8; 4] = [0xE0, 0xEE, 0x01, 0x6B];

    fn record(kind: u8, time: [u8; 4], rest: [u8; 6]) -> Vec<u8> {
        [&[7, 0, kind], &time[..], &[0x20, 0, 4], &rest].concat()
    }

    #[test]
    fn events_are_one_line() {
        let check = |rest: [u8; 6], wanted: &str| {
            let event = SystemEvent::parse(&record(2, TIME, rest), 0).unwrap();
            assert_eq!(event.to_string(), format!("2026-11-21T19:20:00Z {wanted}"));
        };
        check([0x07, 0x10, 0x6F, 0x01, 0xFF, 0xFF], "processor 0x10: thermal trip");
        check([0x07, 0x10, 0xEF, 0x00, 0xFF, 0xFF], "processor 0x10: IERR (over)");
        check([0x0C, 3, 0x6F, 0x21, 0xFF, 5], "memory 0x03: uncorrectable ECC, module 5");
        check(
            [0x0F, 6, 0x6F, 0xC0, 1, 0xFF],
            "system firmware 0x06: POST error, no memory installed",
        );
        check([0x0F, 6, 0x6F, 0xC0, 0x77, 0xFF], "system firmware 0x06: POST error, code 0x77");
        check([0x0F, 6, 0x6F, 0x00, 1, 0xFF], "system firmware 0x06: POST error");
        check([0x01, 4, 0x01, 0x59, 90, 80], "temperature 0x04: upper critical, rising");
        check(
            [0x07, 0x10, 0x6F, 0x0F, 1, 2],
            "processor 0x10: event 07 00 02 e0 ee 01 6b 20 00 04 07 10 6f 0f 01 02",
        );
        check(
            [0xC3, 0x10, 0x70, 0x01, 1, 2],
            "sensor 0x10 of type 0xc3: event 07 00 02 e0 ee 01 6b 20 00 04 c3 10 70 01 01 02",
        );
    }

    #[test]
    fn a_time_that_was_never_set_is_none() {
        let time = |kind, time| {
            let event = SystemEvent::parse(&record(kind, time, [0x07, 1, 0x6F, 1, 0, 0]), 10);
            event.unwrap().unix_s
        };
        assert_eq!(time(2, TIME), Some(0x6B01_EEE0 + 10));
        assert_eq!(time(0xC0, TIME), Some(0x6B01_EEE0 + 10));
        assert_eq!(time(2, [0xFF; 4]), None);
        assert_eq!(time(2, [0; 4]), None);
        assert_eq!(time(2, 0x2000_0001u32.to_le_bytes()), None, "1987");
        assert_eq!(time(2, STAMP_MIN.to_le_bytes()), Some(631_152_010));
        assert_eq!(time(0xE0, TIME), None, "these have no time stamp");
        let oem = SystemEvent::parse(&record(0xE0, TIME, [1, 2, 3, 4, 5, 6]), 0).unwrap();
        assert_eq!(
            oem.to_string(),
            "at an unknown time maker's own record: 07 00 e0 e0 ee 01 6b 20 00 04 01 02 03 04 05 06"
        );
    }

    #[test]
    fn every_record_is_a_line_or_refused() {
        for length in [0, 1, 15, 17, 255] {
            assert!(SystemEvent::parse(&vec![2; length], 0).is_err(), "length {length}");
        }
        for sensor in 0..=u8::MAX {
            for direction in [0x00, 0x01, 0x02, 0x6F, 0x70, 0x81, 0xEF, 0xFF] {
                for first in 0..=u8::MAX {
                    let rest = [sensor, 1, direction, first, 0xFF, 0xFF];
                    let event = SystemEvent::parse(&record(2, [0xFE; 4], rest), i64::MAX).unwrap();
                    let line = event.to_string();
                    assert!(line.len() < 160 && !line.contains('\n'), "{line}");
                }
            }
        }
    }
}
