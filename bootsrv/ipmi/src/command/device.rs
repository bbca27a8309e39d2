//! Who the controller is (Get Device ID, IPMI 2.0, section 20.1).

use crate::client::Client;
use crate::error::{IpmiError, Malformed};
use crate::session::NET_FN_APP;
use crate::wire::message::Request;
use crate::wire::reader::Reader;

const GET_DEVICE_ID: u8 = 0x01;

/// What the controller says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceId {
    /// The maker's number for the device.
    pub device_id: u8,
    /// Firmware version: major, minor (decimal digits).
    pub firmware: (u8, u8),
    /// IPMI version: major, minor.
    pub ipmi: (u8, u8),
    /// It keeps a repository of sensor records.
    pub has_sensor_records: bool,
    /// The maker's number (IANA enterprise number).
    pub manufacturer: u32,
    /// The maker's number for the product.
    pub product: u16,
}

impl DeviceId {
    fn parse(data: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(data);
        let device_id = reader.u8("device id")?;
        reader.u8("device revision")?;
        let major = reader.u8("firmware version")? & 0x7F;
        let minor = reader.u8("firmware version")?;
        let version = reader.u8("IPMI version")?;
        let support = reader.u8("device support")?;
        Ok(Self {
            device_id,
            firmware: (major, (minor >> 4).saturating_mul(10).saturating_add(minor & 0x0F)),
            ipmi: (version & 0x0F, version >> 4),
            has_sensor_records: support & 2 != 0,
            manufacturer: reader.u24("manufacturer")? & 0x000F_FFFF,
            product: reader.u16("product")?,
        })
    }
}

impl Client {
    /// Asks who the controller is: the cheapest command, and one that every controller knows.
    ///
    /// # Errors
    /// See [`IpmiError`].
    pub async fn device_id(&mut self) -> Result<DeviceId, IpmiError> {
        let doing = "Get Device ID";
        let request = Request { net_fn: NET_FN_APP, lun: 0, command: GET_DEVICE_ID, data: &[] };
        let data = self.ask(doing, request).await?;
        DeviceId::parse(&data).map_err(IpmiError::malformed(doing))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_id_is_read() {
        let data = [0x23, 3, 0x89, 0x18, 0x02, 0x9F, 0x91, 0x12, 0x00, 0x02, 0x0F];
        let wanted = DeviceId {
            device_id: 0x23,
            firmware: (9, 18),
            ipmi: (2, 0),
            has_sensor_records: true,
            manufacturer: 0x1291,
            product: 0x0F02,
        };
        assert_eq!(DeviceId::parse(&data), Ok(wanted));
        assert!(DeviceId::parse(&data[..10]).is_err());
    }
}
