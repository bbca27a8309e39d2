//! Sensor readings and their conversion (IPMI 2.0, sections 35.14 and 36.3). Linear sensors only:
//! a power meter that needs a table or a logarithm is not offered as a sensor at all.

use crate::client::Client;
use crate::command::sdr::PowerSensor;
use crate::error::{IpmiError, Malformed};
use crate::wire::message::Request;
use crate::wire::reader::Reader;

/// Network function "sensor/event".
const NET_FN_SENSOR: u8 = 0x04;
const GET_READING: u8 = 0x2D;

/// How the raw byte is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum RawFormat {
    Unsigned,
    OnesComplement,
    TwosComplement,
}

/// From the raw byte to the unit: `(M·raw + B·10^b) · 10^r`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Conversion {
    pub(crate) format: RawFormat,
    pub(crate) m: i16,
    pub(crate) b: i16,
    /// The exponent for B.
    pub(crate) b_exponent: i8,
    /// The exponent for the result.
    pub(crate) result_exponent: i8,
}

impl Conversion {
    /// The raw byte in the sensor's unit.
    #[must_use]
    pub fn apply(&self, raw: u8) -> f64 {
        let value = match self.format {
            RawFormat::Unsigned => i16::from(raw),
            RawFormat::TwosComplement => i16::from(raw.cast_signed()),
            RawFormat::OnesComplement if raw & 0x80 != 0 => -i16::from(!raw),
            RawFormat::OnesComplement => i16::from(raw),
        };
        let offset = f64::from(self.b) * 10f64.powi(self.b_exponent.into());
        (f64::from(self.m) * f64::from(value) + offset) * 10f64.powi(self.result_exponent.into())
    }
}

/// The raw byte, if the sensor is awake and has one.
fn parse_reading(data: &[u8]) -> Result<Option<u8>, Malformed> {
    let mut reader = Reader::new(data);
    let raw = reader.u8("reading")?;
    let flags = reader.u8("reading state")?;
    let scanning = flags & 0x40 != 0;
    let unavailable = flags & 0x20 != 0;
    Ok((scanning && !unavailable).then_some(raw))
}

impl Client {
    /// Reads a power sensor, in watts. `None`: the sensor has no reading now, e.g. because the
    /// system is off and its meter with it.
    ///
    /// # Errors
    /// See [`IpmiError`].
    pub async fn sensor_watts(&mut self, sensor: &PowerSensor) -> Result<Option<f64>, IpmiError> {
        let doing = "Get Sensor Reading";
        let number = [sensor.number];
        let request =
            Request { net_fn: NET_FN_SENSOR, lun: sensor.lun, command: GET_READING, data: &number };
        let data = self.ask(doing, request).await?;
        let raw = parse_reading(&data).map_err(IpmiError::malformed(doing))?;
        Ok(raw.map(|raw| sensor.conversion.apply(raw)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_bytes_become_values() {
        let plain = Conversion {
            format: RawFormat::Unsigned,
            m: 4,
            b: 0,
            b_exponent: 0,
            result_exponent: 0,
        };
        let check = |conversion: Conversion, raw: u8, wanted: f64| {
            let found = conversion.apply(raw);
            assert!((found - wanted).abs() < 1e-9, "{conversion:?} {raw}: {found}, not {wanted}");
        };
        check(plain, 59, 236.0);
        check(Conversion { format: RawFormat::TwosComplement, ..plain }, 0xFF, -4.0);
        check(Conversion { format: RawFormat::OnesComplement, ..plain }, 0xFE, -4.0);
        check(Conversion { format: RawFormat::OnesComplement, ..plain }, 0x7F, 508.0);
        let odd = Conversion { m: -2, b: 5, b_exponent: 2, result_exponent: -1, ..plain };
        check(odd, 10, 48.0);
    }

    #[test]
    fn a_sleeping_sensor_has_no_reading() {
        assert_eq!(parse_reading(&[59, 0xC0, 0xC0]), Ok(Some(59)));
        assert_eq!(parse_reading(&[59, 0x80]), Ok(None));
        assert_eq!(parse_reading(&[59, 0xE0, 0x00]), Ok(None));
        assert!(parse_reading(&[59]).is_err());
    }
}
