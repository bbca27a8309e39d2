//! Sensor records: the bytes of a Full Sensor Record (IPMI 2.0, section 43.1). Only sensors of
//! watts with a linear conversion come out. Written here because the parser of the crate
//! ipmi-rs-core 0.6.0 panics on records that end early, which a hostile controller may send.

use super::PowerSensor;
use crate::command::sensor::{Conversion, RawFormat};
use crate::error::Malformed;
use crate::wire::reader::Reader;

/// Record id, version, type and length.
pub(super) const HEADER_BYTES: u8 = 5;
/// The type of records of sensors with a value.
pub(super) const FULL_SENSOR: u8 = 0x01;
/// Watts in the table of units (43-15).
const WATTS: u8 = 6;
/// The code for a sensor with thresholds: the only kind with a value (table 42-1).
const THRESHOLD: u8 = 0x01;

/// What begins every record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RecordHeader {
    pub(super) kind: u8,
    /// Bytes behind the header.
    pub(super) length: u8,
}

impl RecordHeader {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        reader.u16("record id")?;
        reader.u8("record version")?;
        Ok(Self { kind: reader.u8("record type")?, length: reader.u8("record length")? })
    }
}

/// The sensor of a whole record; `None` if it is not a linear sensor of watts.
pub(super) fn power_sensor(record: &[u8]) -> Result<Option<PowerSensor>, Malformed> {
    let mut reader = Reader::new(record);
    if RecordHeader::parse(record)?.kind != FULL_SENSOR {
        return Ok(None);
    }
    reader.take(HEADER_BYTES.into(), "record header")?;
    reader.u8("sensor owner")?;
    let lun = reader.u8("sensor owner's LUN")? & 3;
    let number = reader.u8("sensor number")?;
    let entity = reader.u8("entity id")?;
    reader.array::<4>("sensor capabilities")?;
    let reading_type = reader.u8("event/reading type")?;
    reader.array::<6>("event masks")?;
    let units = reader.u8("sensor units")?;
    let base_unit = reader.u8("base unit")?;
    reader.u8("modifier unit")?;
    let linearization = reader.u8("linearization")? & 0x7F;
    let conversion = conversion(units, &mut reader)?;
    // Rate, modifier and percentage bits: "watts per second" or "watts times volts" are not power.
    let plain_watts = base_unit == WATTS && units & 0x3F == 0;
    let (Some(conversion), true) =
        (conversion, plain_watts && linearization == 0 && reading_type == THRESHOLD)
    else {
        return Ok(None);
    };
    reader.array::<17>("thresholds")?;
    let name = name(&mut reader)?;
    Ok(Some(PowerSensor { name, number, lun, entity, conversion }))
}

/// Reads M, B, accuracy and the exponents. `None`: the sensor has no analog value.
fn conversion(units: u8, reader: &mut Reader<'_>) -> Result<Option<Conversion>, Malformed> {
    let [m, m_high, b, b_high, _accuracy, exponents] = reader.array("conversion factors")?;
    let format = match units >> 6 {
        0 => RawFormat::Unsigned,
        1 => RawFormat::OnesComplement,
        2 => RawFormat::TwosComplement,
        _ => return Ok(None),
    };
    Ok(Some(Conversion {
        format,
        m: ten_bits(m, m_high),
        b: ten_bits(b, b_high),
        result_exponent: four_bits(exponents >> 4),
        b_exponent: four_bits(exponents & 0x0F),
    }))
}

/// Two's complement: eight low bits, and two high bits at the top of the second byte.
fn ten_bits(low: u8, high: u8) -> i16 {
    // The number is put at the top of 16 bits and shifted down again, which extends its sign.
    let top = u16::from(high >> 6) << 14 | u16::from(low) << 6;
    top.cast_signed() >> 6
}

/// Two's complement.
fn four_bits(nibble: u8) -> i8 {
    (nibble << 4).cast_signed() >> 4
}

/// The sensor's name: its type and length byte, then its characters.
fn name(reader: &mut Reader<'_>) -> Result<String, Malformed> {
    let code = reader.u8("name's length")?;
    // A record may end before the stated length of its name.
    let rest = reader.rest();
    let bytes = rest.get(..usize::from(code & 0x1F)).unwrap_or(rest);
    Ok(match code >> 6 {
        2 => six_bit(bytes),
        _ => bytes.iter().map(|byte| char::from(*byte)).filter(|c| !c.is_control()).collect(),
    })
}

/// Four characters in three bytes, each counted from the space.
fn six_bit(bytes: &[u8]) -> String {
    let unpack = |group: &[u8]| {
        let packed = group.iter().rev().fold(0u32, |packed, byte| packed << 8 | u32::from(*byte));
        let count = group.len() * 8 / 6;
        (0..count).filter_map(move |index| char::from_u32((packed >> (6 * index) & 0x3F) + 0x20))
    };
    bytes.chunks(3).flat_map(unpack).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A record as `sdrcomp` makes it: sensor 2, system board, watts, M 4, "Pwr Consumption".
    pub(in crate::command::sdr) fn record() -> Vec<u8> {
        let mut record = vec![2, 0, 0x51, 1, 0, 0x20, 0, 2, 7, 1, 0x43, 0, 0x0B, 1];
        record.extend([0; 6]);
        record.extend([0x00, WATTS, 0, 0, 4, 0, 0, 0, 1, 0]);
        record.extend([0; 17]);
        record.push(0xC0 | 15);
        record.extend(b"Pwr Consumption");
        record[4] = u8::try_from(record.len()).unwrap() - HEADER_BYTES;
        record
    }

    #[test]
    fn a_power_sensor_is_read() {
        let sensor = power_sensor(&record()).unwrap().unwrap();
        assert_eq!((sensor.name.as_str(), sensor.number, sensor.lun), ("Pwr Consumption", 2, 0));
        assert_eq!((sensor.entity, sensor.conversion.m), (7, 4));
        assert!((sensor.conversion.apply(59) - 236.0).abs() < 1e-9);
    }

    #[test]
    fn other_records_are_passed_over() {
        for (offset, value) in [(3, 2), (13, 3), (20, 0xC0), (20, 0x08), (21, 1), (23, 1)] {
            let mut other = record();
            other[offset] = value;
            assert_eq!(power_sensor(&other), Ok(None), "byte {offset} is {value}");
        }
        for length in 0..48 {
            assert!(power_sensor(&record()[..length]).is_err(), "length {length}");
        }
        assert_eq!(power_sensor(&record()[..51]).unwrap().unwrap().name, "Pwr");
    }

    #[test]
    fn no_byte_of_a_record_makes_the_parser_panic() {
        let good = record();
        for offset in 0..good.len() {
            for value in 0..=u8::MAX {
                let mut record = good.clone();
                record[offset] = value;
                let parsed = power_sensor(&record);
                if let Ok(Some(sensor)) = parsed {
                    assert!(sensor.conversion.apply(value).is_finite());
                }
            }
        }
    }

    #[test]
    fn signs_are_extended() {
        assert_eq!(ten_bits(0xFF, 0xC0), -1);
        assert_eq!(ten_bits(0x00, 0x80), -512);
        assert_eq!(ten_bits(0xFF, 0x7F), 511);
        assert_eq!(four_bits(0x0F), -1);
        assert_eq!(four_bits(0x08), -8);
        assert_eq!(four_bits(0x07), 7);
    }

    /// The example of IPMI 2.0, section 43.15.3: "IPMI" is 29 dc a6.
    #[test]
    fn packed_names_are_unpacked() {
        assert_eq!(six_bit(&[0x29, 0xDC, 0xA6]), "IPMI");
    }
}
