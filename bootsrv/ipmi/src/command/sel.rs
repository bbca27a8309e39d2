//! The system event log: why a node died or did not boot (SEL, IPMI 2.0, chapter 31).
//!
//! Walks from the newest record backwards and stops early: a full log has thousands of records, and
//! a controller takes tens of milliseconds for each.

mod names;
mod record;
#[cfg(test)]
mod tests;

use super::sdr::storage;
use crate::client::Client;
use crate::completion::CompletionCode;
use crate::error::{IpmiError, Malformed};
use crate::wire::reader::Reader;
pub use record::SystemEvent;
use record::{RECORD_BYTES, stamp};
use std::time::{SystemTime, UNIX_EPOCH};

const GET_INFO: u8 = 0x40;
const RESERVE: u8 = 0x42;
const GET_ENTRY: u8 = 0x43;
const GET_TIME: u8 = 0x48;
/// The id that asks for the newest record.
const NEWEST: u16 = 0xFFFF;
/// Most events that one call gives.
const EVENTS_MAX: usize = 64;
/// Ids may have gaps: records were deleted, or a controller counts in steps of a record's size.
const GAP_MAX: u32 = 64;
/// Questions of one walk: some seconds on a slow controller.
const QUESTIONS_MAX: u32 = 512;
/// How often a record's pieces may lose their reservation to another client.
const RESERVATIONS_MAX: u32 = 4;
/// Bytes asked for at once of a controller that does not give the whole record.
const PIECE_BYTES: u8 = 8;
/// The controller's clock counts whole seconds, and asking for it takes time.
const CLOCK_SLACK_S: i64 = 2;

/// How a walk reads records.
#[derive(Debug, Clone, Copy)]
struct Walk {
    asked: u32,
    reservation: u16,
    reservations: u32,
    /// Bytes to ask for at once.
    piece: u8,
    /// What to add to the controller's clock to get ours, in seconds.
    behind_s: i64,
}

impl Client {
    /// The newest events since a moment of our clock, newest first, at most `events_max` and 64.
    ///
    /// The controller's own clock is asked for and its time stamps are put right by it. Events
    /// without a usable time stamp count as new when newer ones follow none that is too old.
    /// May miss events behind a gap of more than 64 record ids.
    ///
    /// # Errors
    /// See [`IpmiError`]; `INVALID_COMMAND` if the controller keeps no log.
    pub async fn newest_events(
        &mut self,
        since: SystemTime,
        events_max: usize,
    ) -> Result<Vec<SystemEvent>, IpmiError> {
        let since = unix_s(since).saturating_sub(CLOCK_SLACK_S);
        let events_max = events_max.min(EVENTS_MAX);
        let mut events = Vec::new();
        if events_max == 0 || self.entries().await? == 0 {
            return Ok(events);
        }
        let behind_s = self.clock_behind().await?;
        let mut walk =
            Walk { asked: 0, reservation: 0, reservations: 0, piece: RECORD_BYTES, behind_s };
        let (mut id, mut gap) = (NEWEST, 0);
        while id != 0 && gap < GAP_MAX && walk.asked < QUESTIONS_MAX {
            let Some(record) = self.entry(&mut walk, id).await? else {
                if id == NEWEST {
                    break;
                }
                (id, gap) = (id - 1, gap + 1);
                continue;
            };
            let event = SystemEvent::parse(&record, walk.behind_s)
                .map_err(IpmiError::malformed("Get SEL Entry"))?;
            if id != NEWEST && event.record != id {
                let source = Malformed::Value { field: "record id", found: event.record.into() };
                return Err(IpmiError::Malformed { doing: "Get SEL Entry", source });
            }
            if event.unix_s.is_some_and(|time| time < since) {
                break;
            }
            (id, gap) = (event.record.saturating_sub(1), 0);
            events.push(event);
            if events.len() >= events_max {
                break;
            }
        }
        Ok(events)
    }

    /// How many records the log has.
    async fn entries(&mut self) -> Result<u16, IpmiError> {
        let doing = "Get SEL Info";
        let data = self.ask(doing, storage(GET_INFO, &[])).await?;
        let mut reader = Reader::new(&data);
        reader
            .u8("version")
            .and_then(|_version| reader.u16("number of entries"))
            .map_err(IpmiError::malformed(doing))
    }

    /// How many seconds the controller's clock is behind ours; 0 if it does not say or was never set.
    async fn clock_behind(&mut self) -> Result<i64, IpmiError> {
        let doing = "Get SEL Time";
        match self.ask(doing, storage(GET_TIME, &[])).await {
            Ok(data) => {
                let time = Reader::new(&data).u32("time").map_err(IpmiError::malformed(doing))?;
                let ours = unix_s(SystemTime::now());
                Ok(stamp(time).map_or(0, |theirs| ours.saturating_sub(theirs)))
            }
            Err(IpmiError::Completion { .. }) => Ok(0),
            Err(error) => Err(error),
        }
    }

    /// A record's 16 bytes; `None`: there is none with this id.
    async fn entry(&mut self, walk: &mut Walk, id: u16) -> Result<Option<Vec<u8>>, IpmiError> {
        let mut bytes = Vec::new();
        loop {
            let offset = u8::try_from(bytes.len()).unwrap_or(u8::MAX);
            let Some(left) = RECORD_BYTES.checked_sub(offset).filter(|left| *left > 0) else {
                return Ok(Some(bytes));
            };
            walk.asked += 1;
            match self.entry_piece(walk, id, offset, left.min(walk.piece)).await {
                Ok(piece) => bytes.extend(piece),
                Err(IpmiError::Completion { code, .. }) => match code {
                    code if code.is_not_there() && offset == 0 => return Ok(None),
                    CompletionCode::CANNOT_RETURN_REQUESTED_BYTES if walk.piece > PIECE_BYTES => {
                        walk.piece = PIECE_BYTES;
                    }
                    // Pieces of a record need a reservation; whole records do not.
                    CompletionCode::RESERVATION_CANCELLED
                        if walk.reservations < RESERVATIONS_MAX =>
                    {
                        self.reserve_log(walk).await?;
                        bytes.clear();
                    }
                    code => return Err(IpmiError::Completion { command: "Get SEL Entry", code }),
                },
                Err(error) => return Err(error),
            }
        }
    }

    /// 1 to `wanted` bytes of record `id`.
    async fn entry_piece(
        &mut self,
        walk: &Walk,
        id: u16,
        offset: u8,
        wanted: u8,
    ) -> Result<Vec<u8>, IpmiError> {
        let [r0, r1] = walk.reservation.to_le_bytes();
        let [i0, i1] = id.to_le_bytes();
        let doing = "Get SEL Entry";
        let data = self.ask(doing, storage(GET_ENTRY, &[r0, r1, i0, i1, offset, wanted])).await?;
        let mut reader = Reader::new(&data);
        reader.u16("next record id").map_err(IpmiError::malformed(doing))?;
        let piece = reader.rest();
        if piece.is_empty() || piece.len() > usize::from(wanted) {
            let source = Malformed::Length { field: "piece of a record" };
            return Err(IpmiError::Malformed { doing, source });
        }
        Ok(piece.to_vec())
    }

    async fn reserve_log(&mut self, walk: &mut Walk) -> Result<(), IpmiError> {
        let doing = "Reserve SEL";
        let data = self.ask(doing, storage(RESERVE, &[])).await?;
        walk.reservation =
            Reader::new(&data).u16("reservation").map_err(IpmiError::malformed(doing))?;
        walk.reservations += 1;
        Ok(())
    }
}

fn unix_s(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
