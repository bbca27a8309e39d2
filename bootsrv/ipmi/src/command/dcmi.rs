//! The power meter of DCMI 1.5 (sections 6.1 and 6.6): what the whole system draws, in watts.

use crate::client::Client;
use crate::error::{IpmiError, Malformed};
use crate::wire::message::Request;
use crate::wire::reader::Reader;

/// Network function "group extension".
const NET_FN_GROUP: u8 = 0x2C;
/// DCMI's number among the group extensions; the first byte of every request and answer.
const DCMI: u8 = 0xDC;
const GET_CAPABILITIES: u8 = 0x01;
const GET_POWER_READING: u8 = 0x02;
/// Capabilities parameter "supported capabilities".
const SUPPORTED: u8 = 1;
/// Power reading mode "system power statistics".
const STATISTICS: u8 = 1;

/// What a controller can do of DCMI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DcmiCapabilities {
    /// DCMI version it follows: major, minor.
    pub version: (u8, u8),
    /// It has a power meter.
    pub power: bool,
}

impl DcmiCapabilities {
    fn parse(data: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(data);
        reader.expect_u8("group extension", DCMI)?;
        let version = (reader.u8("major version")?, reader.u8("minor version")?);
        reader.u8("parameter revision")?;
        reader.u8("mandatory capabilities")?;
        let optional = reader.u8("optional capabilities")?;
        Ok(Self { version, power: optional & 1 == 1 })
    }
}

/// One look at the power meter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PowerReading {
    /// Now, in watts.
    pub current_watts: u16,
    /// Lowest of the period, in watts.
    pub minimum_watts: u16,
    /// Highest of the period, in watts.
    pub maximum_watts: u16,
    /// Mean of the period, in watts.
    pub average_watts: u16,
    /// The controller's own clock, seconds since 1970; may be wrong or count from its start.
    pub timestamp_unix_s: u32,
    /// Length of the period in milliseconds.
    pub period_ms: u32,
    /// The meter measures. `false`: the figures mean nothing.
    pub active: bool,
}

impl PowerReading {
    fn parse(data: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(data);
        reader.expect_u8("group extension", DCMI)?;
        Ok(Self {
            current_watts: reader.u16("current power")?,
            minimum_watts: reader.u16("minimum power")?,
            maximum_watts: reader.u16("maximum power")?,
            average_watts: reader.u16("average power")?,
            timestamp_unix_s: reader.u32("timestamp")?,
            period_ms: reader.u32("period")?,
            active: reader.u8("reading state")? & 0x40 != 0,
        })
    }
}

impl Client {
    /// Asks what the controller can do of DCMI.
    ///
    /// # Errors
    /// See [`IpmiError`]; `INVALID_COMMAND` and the like if it knows nothing of DCMI.
    pub async fn dcmi_capabilities(&mut self) -> Result<DcmiCapabilities, IpmiError> {
        let doing = "Get DCMI Capabilities Info";
        let data = self.ask(doing, dcmi(GET_CAPABILITIES, &[DCMI, SUPPORTED])).await?;
        DcmiCapabilities::parse(&data).map_err(IpmiError::malformed(doing))
    }

    /// Reads the power meter.
    ///
    /// # Errors
    /// See [`IpmiError`].
    pub async fn power_reading(&mut self) -> Result<PowerReading, IpmiError> {
        let doing = "Get Power Reading";
        let data = self.ask(doing, dcmi(GET_POWER_READING, &[DCMI, STATISTICS, 0, 0])).await?;
        PowerReading::parse(&data).map_err(IpmiError::malformed(doing))
    }
}

fn dcmi(command: u8, data: &[u8]) -> Request<'_> {
    Request { net_fn: NET_FN_GROUP, lun: 0, command, data }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An answer that ipmitool prints as 236 W now, 180 W least, 236 W most, 217 W mean, activated.
    const READING: [u8; 18] = [
        0xdc, 0xec, 0x00, 0xb4, 0x00, 0xec, 0x00, 0xd9, 0x00, 0xde, 0xf9, 0x00, 0x6b, 0xe8, 0x03,
        0x00, 0x00, 0x40,
    ];

    #[test]
    fn a_power_reading_is_read() {
        let wanted = PowerReading {
            current_watts: 236,
            minimum_watts: 180,
            maximum_watts: 236,
            average_watts: 217,
            timestamp_unix_s: 0x6b00_f9de,
            period_ms: 1000,
            active: true,
        };
        assert_eq!(PowerReading::parse(&READING), Ok(wanted));
        let mut idle = READING;
        idle[17] = 0;
        assert!(!PowerReading::parse(&idle).unwrap().active);
        idle[0] = 0;
        assert!(PowerReading::parse(&idle).is_err());
        for length in 0..READING.len() {
            assert!(PowerReading::parse(&READING[..length]).is_err());
        }
    }

    #[test]
    fn capabilities_are_read() {
        let with = DcmiCapabilities::parse(&[0xdc, 1, 5, 2, 0, 1, 7]).unwrap();
        assert_eq!((with.version, with.power), ((1, 5), true));
        assert!(!DcmiCapabilities::parse(&[0xdc, 1, 5, 2, 1, 0, 7]).unwrap().power);
    }
}
