//! Finds the power meter among the controller's sensor records (SDR, IPMI 2.0, chapters 33 and 43).
//!
//! Reads records in pieces, because few controllers give a whole record at once, and only those
//! that may be a power meter.

mod record;

use crate::client::Client;
use crate::command::sensor::Conversion;
use crate::completion::CompletionCode;
use crate::error::{IpmiError, Malformed};
use crate::wire::message::Request;
use crate::wire::reader::Reader;
use record::{FULL_SENSOR, HEADER_BYTES, RecordHeader};

/// Network function "storage".
const NET_FN_STORAGE: u8 = 0x0A;
const RESERVE: u8 = 0x22;
const GET_SDR: u8 = 0x23;
/// The id that ends the list.
const LAST: u16 = 0xFFFF;
/// The largest repositories have a few hundred records.
const RECORDS_MAX: u32 = 2048;
/// Bytes of a record asked for at once: every controller tested gives these.
const PIECE_BYTES: u8 = 22;
const PIECE_BYTES_MIN: u8 = 5;
/// How often a walk may lose its reservation to another client.
const RESERVATIONS_MAX: u32 = 8;

/// A sensor that measures watts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PowerSensor {
    /// The name the controller gives it.
    pub name: String,
    /// The sensor's number.
    pub number: u8,
    /// The part of the controller it belongs to.
    pub lun: u8,
    /// What it measures the power of (IPMI 2.0, table 43-13): 7 is the system board.
    pub entity: u8,
    /// From its raw byte to watts.
    pub conversion: Conversion,
}

/// The sensor of the whole system among `sensors`: none rather than one of a part of it.
///
/// Controllers with one meter per power supply or processor have none for the system, unless the
/// site names one of them.
#[must_use]
pub fn choose_system_sensor(sensors: &[PowerSensor]) -> Option<&PowerSensor> {
    /// System board, power unit, power management board, system chassis.
    const SYSTEM: [u8; 4] = [0x07, 0x13, 0x15, 0x17];
    const PARTS: [&str; 9] = ["cpu", "proc", "mem", "dimm", "gpu", "fan", "hdd", "ps1", "ps2"];
    const WHOLE: [&str; 5] = ["total", "sys", "consumption", "node", "meter"];
    let holds = |sensor: &PowerSensor, words: &[&str]| {
        let name = sensor.name.to_ascii_lowercase();
        words.iter().any(|word| name.contains(word))
    };
    let candidates: Vec<_> = sensors
        .iter()
        .filter(|sensor| SYSTEM.contains(&sensor.entity) && !holds(sensor, &PARTS))
        .collect();
    let mut named = candidates.iter().filter(|sensor| holds(sensor, &WHOLE));
    match (candidates.as_slice(), named.next(), named.next()) {
        ([only], _, _) => Some(only),
        (_, Some(only), None) => Some(only),
        _ => None,
    }
}

/// A place in the walk through the records.
struct Walk {
    reservation: u16,
    reservations: u32,
    piece: u8,
}

impl Client {
    /// All sensors that measure watts, in the controller's order. Takes many questions (seconds on
    /// a slow controller): keep the result.
    ///
    /// # Errors
    /// See [`IpmiError`].
    pub async fn power_sensors(&mut self) -> Result<Vec<PowerSensor>, IpmiError> {
        let mut walk = Walk { reservation: 0, reservations: 0, piece: PIECE_BYTES };
        self.reserve(&mut walk).await?;
        let mut sensors = Vec::new();
        let mut id = 0;
        for _ in 0..RECORDS_MAX {
            let (next, bytes) = self.record(&mut walk, id).await?;
            // A record that we cannot read is no reason to give up the others.
            if let Some(sensor) =
                bytes.and_then(|bytes| record::power_sensor(&bytes).ok().flatten())
            {
                sensors.push(sensor);
            }
            if next == LAST {
                return Ok(sensors);
            }
            if next == id {
                let source = Malformed::Value { field: "next record id", found: next.into() };
                return Err(IpmiError::Malformed { doing: "Get SDR", source });
            }
            id = next;
        }
        Err(IpmiError::Malformed {
            doing: "Get SDR",
            source: Malformed::Length { field: "repository" },
        })
    }

    /// The next record's id, and this record if it is of a sensor with a value.
    async fn record(
        &mut self,
        walk: &mut Walk,
        id: u16,
    ) -> Result<(u16, Option<Vec<u8>>), IpmiError> {
        let (next, mut bytes) = self.piece(walk, id, 0, HEADER_BYTES).await?;
        let header = RecordHeader::parse(&bytes).map_err(IpmiError::malformed("Get SDR"))?;
        if header.kind != FULL_SENSOR {
            return Ok((next, None));
        }
        // The length counts from behind the header; 255 is the last offset that can be asked for.
        let end = header.length.saturating_add(HEADER_BYTES);
        let mut offset = HEADER_BYTES;
        while offset < end {
            let wanted = (end - offset).min(walk.piece);
            let (_next, piece) = self.piece(walk, id, offset, wanted).await?;
            offset = offset.saturating_add(u8::try_from(piece.len()).unwrap_or(u8::MAX));
            bytes.extend(piece);
        }
        Ok((next, Some(bytes)))
    }

    /// The next record's id and 1 to `wanted` bytes of record `id`.
    async fn piece(
        &mut self,
        walk: &mut Walk,
        id: u16,
        offset: u8,
        wanted: u8,
    ) -> Result<(u16, Vec<u8>), IpmiError> {
        let doing = "Get SDR";
        let mut wanted = wanted;
        loop {
            let [r0, r1] = walk.reservation.to_le_bytes();
            let [i0, i1] = id.to_le_bytes();
            let asked = self.ask(doing, storage(GET_SDR, &[r0, r1, i0, i1, offset, wanted])).await;
            match asked {
                Ok(data) => return parse_piece(&data, wanted).map_err(IpmiError::malformed(doing)),
                Err(IpmiError::Completion {
                    code: CompletionCode::RESERVATION_CANCELLED, ..
                }) if walk.reservations < RESERVATIONS_MAX => {
                    self.reserve(walk).await?;
                }
                Err(IpmiError::Completion {
                    code: CompletionCode::CANNOT_RETURN_REQUESTED_BYTES,
                    ..
                }) if wanted > PIECE_BYTES_MIN => {
                    wanted = (wanted / 2).max(PIECE_BYTES_MIN);
                    walk.piece = wanted;
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn reserve(&mut self, walk: &mut Walk) -> Result<(), IpmiError> {
        let doing = "Reserve SDR Repository";
        let data = self.ask(doing, storage(RESERVE, &[])).await?;
        walk.reservation =
            Reader::new(&data).u16("reservation").map_err(IpmiError::malformed(doing))?;
        walk.reservations += 1;
        Ok(())
    }
}

/// A question about the controller's stores.
pub(crate) fn storage(command: u8, data: &[u8]) -> Request<'_> {
    Request { net_fn: NET_FN_STORAGE, lun: 0, command, data }
}

fn parse_piece(data: &[u8], wanted: u8) -> Result<(u16, Vec<u8>), Malformed> {
    let mut reader = Reader::new(data);
    let next = reader.u16("next record id")?;
    let piece = reader.rest();
    if piece.is_empty() || piece.len() > usize::from(wanted) {
        return Err(Malformed::Length { field: "piece of a record" });
    }
    Ok((next, piece.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::sensor::RawFormat;
    use crate::fake::{Fake, Settings};

    fn sensor(name: &str, entity: u8) -> PowerSensor {
        let format = RawFormat::Unsigned;
        let conversion = Conversion { format, m: 1, b: 0, b_exponent: 0, result_exponent: 0 };
        PowerSensor { name: name.to_owned(), number: 1, lun: 0, entity, conversion }
    }

    #[test]
    fn the_meter_of_the_system_is_chosen_or_none() {
        let check = |sensors: &[(&str, u8)], wanted: Option<&str>| {
            let sensors: Vec<_> = sensors.iter().map(|(name, id)| sensor(name, *id)).collect();
            let found = choose_system_sensor(&sensors).map(|sensor| sensor.name.as_str());
            assert_eq!(found, wanted, "{sensors:?}");
        };
        check(&[], None);
        check(&[("Pwr Consumption", 7)], Some("Pwr Consumption"));
        check(&[("PS1 Input Power", 10), ("PS2 Input Power", 10)], None);
        check(&[("CPU Power", 7), ("Sys Power", 0x15), ("Mem Power", 0x15)], Some("Sys Power"));
        check(&[("A", 7), ("B", 7)], None);
        check(&[("A", 7), ("Total Power", 7)], Some("Total Power"));
    }

    #[test]
    fn a_piece_is_never_empty_or_too_long() {
        assert_eq!(parse_piece(&[2, 0, 7, 8], 2), Ok((2, vec![7, 8])));
        assert!(parse_piece(&[2, 0], 2).is_err());
        assert!(parse_piece(&[2, 0, 7, 8], 1).is_err());
    }

    /// A repository of 30 records, the last one a power meter, from a controller that gives 8 bytes
    /// at once and cancels a reservation after every 20 questions.
    fn repository() -> impl FnMut(u8, u8, &[u8]) -> (u8, Vec<u8>) + Send {
        let mut asked = 0u16;
        let mut reservation = 0u16;
        move |_, command, data| {
            asked += 1;
            if command == RESERVE {
                reservation += 1;
                return (0, reservation.to_le_bytes().to_vec());
            }
            if asked.is_multiple_of(20) {
                reservation += 1;
            }
            if data[..2] != reservation.to_le_bytes() {
                return (0xC5, vec![]);
            }
            if data[5] > 8 {
                return (0xCA, vec![]);
            }
            let id = u16::from_le_bytes([data[2], data[3]]);
            let mut record = record::tests::record();
            if id < 29 {
                record[3] = 0x12;
            }
            let next = if id == 29 { LAST } else { id + 1 };
            let piece = record.iter().skip(data[4].into()).take(data[5].into());
            (0, next.to_le_bytes().into_iter().chain(piece.copied()).collect())
        }
    }

    async fn walk(
        mut answer: impl FnMut(u8, u8, &[u8]) -> (u8, Vec<u8>) + Send + 'static,
    ) -> Result<Vec<PowerSensor>, IpmiError> {
        let fake = Fake::start(Settings::default()).await.unwrap();
        fake.answer_with(Box::new(move |net_fn, command, data| {
            Some(answer(net_fn, command, data))
        }));
        fake.connect().await.unwrap().power_sensors().await
    }

    #[tokio::test]
    async fn records_come_in_pieces_and_reservations_get_lost() {
        let sensors = walk(repository()).await.unwrap();
        assert_eq!(sensors.len(), 1, "{sensors:?}");
        assert_eq!(sensors[0].name, "Pwr Consumption");
    }

    #[tokio::test]
    async fn a_hostile_repository_ends_the_walk() {
        let same = walk(|_, _, _| (0, vec![0, 0, 0, 0, 0x51, 2, 0])).await;
        assert!(matches!(same, Err(IpmiError::Malformed { .. })), "{same:?}");
        let mut id = 0u8;
        let endless = walk(move |_, _, _| {
            id = id % 200 + 1;
            (0, vec![id, 0, 0, 0, 0x51, 2, 0])
        });
        let endless = endless.await;
        assert!(matches!(endless, Err(IpmiError::Malformed { .. })), "{endless:?}");
        let cancelled =
            walk(|_, command, _| if command == RESERVE { (0, vec![1, 0]) } else { (0xC5, vec![]) });
        let code = cancelled.await.unwrap_err().completion_code();
        assert_eq!(code, Some(CompletionCode::RESERVATION_CANCELLED));
    }
}
