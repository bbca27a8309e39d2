//! The boot device of the next start (System Boot Options, IPMI 2.0, sections 28.12 and 28.13).

use super::chassis::chassis;
use crate::client::Client;
use crate::error::{IpmiError, Malformed};
use crate::wire::reader::Reader;

const SET_BOOT_OPTIONS: u8 = 0x08;
const GET_BOOT_OPTIONS: u8 = 0x09;
const SET_IN_PROGRESS: u8 = 0;
const VALID_BIT_CLEARING: u8 = 3;
/// Bit of that: not after 60 seconds without a Chassis Control.
const NOT_BY_TIME: u8 = 0x08;
const BOOT_INFO_ACKNOWLEDGE: u8 = 4;
const BOOT_FLAGS: u8 = 5;
const VALID: u8 = 0x80;
const PERSISTENT: u8 = 0x40;
const EFI: u8 = 0x20;

/// What the system boots from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BootDevice {
    /// As its firmware is set up.
    Default,
    /// The network.
    Pxe,
    /// The first disk.
    Disk,
    /// A CD or DVD.
    Cd,
    /// The firmware's setup.
    Setup,
    /// Another number of the specification.
    Other(u8),
}

impl BootDevice {
    fn number(self) -> u8 {
        match self {
            Self::Default => 0,
            Self::Pxe => 1,
            Self::Disk => 2,
            Self::Cd => 5,
            Self::Setup => 6,
            Self::Other(number) => number & 0x0F,
        }
    }

    fn from_number(number: u8) -> Self {
        match number {
            0 => Self::Default,
            1 => Self::Pxe,
            2 => Self::Disk,
            5 => Self::Cd,
            6 => Self::Setup,
            other => Self::Other(other),
        }
    }
}

/// How the system boots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Firmware {
    /// PC BIOS.
    Legacy,
    /// UEFI.
    Efi,
}

/// The boot flags as the controller holds them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BootFlags {
    /// They will be used at the next start; `false`: used up or run out.
    pub valid: bool,
    /// They hold for all starts, not only for the next.
    pub persistent: bool,
    /// How it will boot.
    pub firmware: Firmware,
    /// From what.
    pub device: BootDevice,
}

impl BootFlags {
    fn parse(data: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(data);
        reader.u8("parameter version")?;
        let selector = reader.u8("parameter selector")?;
        if selector & 0x7F != BOOT_FLAGS {
            return Err(Malformed::Value { field: "parameter selector", found: selector.into() });
        }
        let flags = reader.u8("boot flags")?;
        let device = reader.u8("boot device")? >> 2 & 0x0F;
        Ok(Self {
            // The selector's top bit says that the whole parameter is locked or invalid.
            valid: flags & VALID != 0 && selector & 0x80 == 0,
            persistent: flags & PERSISTENT != 0,
            firmware: if flags & EFI != 0 { Firmware::Efi } else { Firmware::Legacy },
            device: BootDevice::from_number(device),
        })
    }
}

impl Client {
    /// Chooses the device of the next start only. Do it just before the start: controllers that lack
    /// the optional parameter 3 forget it after 60 seconds, and the others keep it for whatever
    /// start comes next.
    ///
    /// # Errors
    /// See [`IpmiError`].
    pub async fn set_next_boot(
        &mut self,
        device: BootDevice,
        firmware: Firmware,
    ) -> Result<(), IpmiError> {
        let efi = if firmware == Firmware::Efi { EFI } else { 0 };
        let flags = [BOOT_FLAGS, VALID | efi, device.number() << 2, 0, 0, 0];
        self.set_optional(&[SET_IN_PROGRESS, 1]).await?;
        // A start that waits its turn may come later. OpenStack Ironic found it needed, too.
        self.set_optional(&[VALID_BIT_CLEARING, NOT_BY_TIME]).await?;
        // Tells that no BIOS has handled the boot information yet (mask: BIOS, value: BIOS).
        self.set_optional(&[BOOT_INFO_ACKNOWLEDGE, 1, 1]).await?;
        let set = self.ask("Set System Boot Options", chassis(SET_BOOT_OPTIONS, &flags)).await;
        // Given back even after an error, or other clients find the options locked.
        self.set_optional(&[SET_IN_PROGRESS, 0]).await?;
        set.map(drop)
    }

    /// Reads the device of the next start back.
    ///
    /// # Errors
    /// See [`IpmiError`].
    pub async fn next_boot(&mut self) -> Result<BootFlags, IpmiError> {
        let doing = "Get System Boot Options";
        let data = self.ask(doing, chassis(GET_BOOT_OPTIONS, &[BOOT_FLAGS, 0, 0])).await?;
        BootFlags::parse(&data).map_err(IpmiError::malformed(doing))
    }

    /// Sets a parameter that the specification makes optional: many controllers lack it and work.
    async fn set_optional(&mut self, data: &[u8]) -> Result<(), IpmiError> {
        match self.ask("Set System Boot Options", chassis(SET_BOOT_OPTIONS, data)).await {
            Err(IpmiError::Completion { .. }) => Ok(()),
            done => done.map(drop),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{Fake, Settings};
    use std::sync::{Arc, Mutex};

    #[test]
    fn boot_flags_are_read() {
        let pxe = BootFlags::parse(&[1, 5, 0x80, 0x04, 0, 0, 0]).unwrap();
        assert!(pxe.valid && !pxe.persistent);
        assert_eq!((pxe.firmware, pxe.device), (Firmware::Legacy, BootDevice::Pxe));
        let disk = BootFlags::parse(&[1, 5, 0xE0, 0x08, 0, 0, 0]).unwrap();
        assert!(disk.persistent);
        assert_eq!((disk.firmware, disk.device), (Firmware::Efi, BootDevice::Disk));
        assert!(!BootFlags::parse(&[1, 0x85, 0x80, 0x04]).unwrap().valid);
        assert!(BootFlags::parse(&[1, 4, 0x80, 0x04]).is_err());
        assert!(BootFlags::parse(&[1, 5, 0x80]).is_err());
    }

    #[tokio::test]
    async fn the_firmware_is_told_with_the_device() {
        for (firmware, expected) in [(Firmware::Legacy, 0x80), (Firmware::Efi, 0xA0)] {
            let flags = Arc::new(Mutex::new(Vec::new()));
            let seen = Arc::clone(&flags);
            let fake = Fake::start(Settings::default()).await.unwrap();
            fake.answer_with(Box::new(move |_, command, data| {
                if command == SET_BOOT_OPTIONS {
                    seen.lock().unwrap().push(data.to_vec());
                }
                Some((0, vec![]))
            }));
            let mut client = fake.connect().await.unwrap();
            client.set_next_boot(BootDevice::Pxe, firmware).await.unwrap();
            let wanted: [&[u8]; 5] = [
                &[SET_IN_PROGRESS, 1],
                // For longer than 60 seconds: what OpenStack Ironic sends as raw bytes.
                &[3, 8],
                &[BOOT_INFO_ACKNOWLEDGE, 1, 1],
                // Valid, next boot only, the firmware's bit; device 1 from bit 2 on.
                &[5, expected, 0x04, 0, 0, 0],
                &[SET_IN_PROGRESS, 0],
            ];
            assert_eq!(flags.lock().unwrap()[..], wanted);
        }
    }

    #[test]
    fn device_numbers_round_trip() {
        for number in 0..16 {
            assert_eq!(BootDevice::from_number(number).number(), number);
        }
    }
}
