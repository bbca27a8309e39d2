//! A simulated controller's event log (IPMI 2.0, chapter 31).

use crate::completion::CompletionCode;
use std::collections::VecDeque;
use std::time::{SystemTime, UNIX_EPOCH};

/// Network function "storage".
pub(super) const NET_FN: u8 = 0x0A;
/// The oldest record goes when so many are there.
const RECORDS_MAX: usize = 512;
/// Record ids that mean "first" and "last".
const FIRST: u16 = 0;
const LAST: u16 = 0xFFFF;

/// Seconds since 1970, as a controller's clock counts them.
pub(super) fn now() -> u32 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u32::try_from(since.as_secs()).unwrap_or(u32::MAX)
}

/// Records, oldest first; their ids rise, but a record may have gone.
#[derive(Debug, Default)]
pub(super) struct Log {
    records: VecDeque<(u16, [u8; 16])>,
    id: u16,
    reservation: u16,
}

impl Log {
    pub(super) fn add(&mut self, mut record: [u8; 16]) -> u16 {
        if self.records.len() >= RECORDS_MAX {
            self.records.pop_front();
        }
        self.id = if self.id >= LAST - 1 { 1 } else { self.id + 1 };
        let [low, high] = self.id.to_le_bytes();
        let [first, second, ..] = &mut record;
        (*first, *second) = (low, high);
        self.records.push_back((self.id, record));
        self.id
    }

    pub(super) fn answer(&mut self, command: u8, data: &[u8]) -> Result<Vec<u8>, CompletionCode> {
        match command {
            0x40 => {
                let count = u16::try_from(self.records.len()).unwrap_or(u16::MAX).to_le_bytes();
                // Version 1.5, 16 KiB free, times of the last changes unknown, can be reserved.
                Ok([&[0x51], &count[..], &[0, 0x40], &[0xFF; 8], &[0x02]].concat())
            }
            0x42 => {
                self.reservation = self.reservation.wrapping_add(1).max(1);
                Ok(self.reservation.to_le_bytes().to_vec())
            }
            0x43 => self.entry(data),
            0x44 => {
                let record = data.try_into().map_err(|_length| CompletionCode::REQUEST_LENGTH)?;
                Ok(self.add(record).to_le_bytes().to_vec())
            }
            0x48 => Ok(now().to_le_bytes().to_vec()),
            _ => Err(CompletionCode::INVALID_COMMAND),
        }
    }

    fn entry(&self, data: &[u8]) -> Result<Vec<u8>, CompletionCode> {
        let [r0, r1, i0, i1, offset, wanted] =
            *data.first_chunk().ok_or(CompletionCode::REQUEST_LENGTH)?;
        let reservation = u16::from_le_bytes([r0, r1]);
        if offset != 0 && reservation != self.reservation {
            return Err(CompletionCode::RESERVATION_CANCELLED);
        }
        let at = match u16::from_le_bytes([i0, i1]) {
            FIRST => Some(0),
            LAST => self.records.len().checked_sub(1),
            id => self.records.iter().position(|(found, _)| *found == id),
        };
        let at = at.ok_or(CompletionCode::NOT_PRESENT)?;
        let (_, record) = self.records.get(at).ok_or(CompletionCode::NOT_PRESENT)?;
        let next = self.records.get(at + 1).map_or(LAST, |(id, _)| *id);
        let piece = record.iter().skip(offset.into()).take(wanted.into());
        Ok(next.to_le_bytes().into_iter().chain(piece.copied()).collect())
    }
}
