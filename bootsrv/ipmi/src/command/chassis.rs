//! Chassis commands: is it on, switch it, and why did it start (IPMI 2.0, chapter 28).

use crate::client::Client;
use crate::error::{IpmiError, Malformed};
use crate::wire::message::Request;
use crate::wire::reader::Reader;

/// Network function "chassis".
pub(crate) const NET_FN_CHASSIS: u8 = 0x00;
const GET_STATUS: u8 = 0x01;
const CONTROL: u8 = 0x02;
const GET_RESTART_CAUSE: u8 = 0x07;

/// What to do with the system's power.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChassisControl {
    /// Hard power off.
    Off,
    /// Power on.
    On,
    /// Off, a pause of at least a second, on. Many controllers refuse it when the power is off.
    Cycle,
    /// Hard reset without touching the power.
    Reset,
    /// Ask the operating system to shut down (ACPI power button).
    Soft,
}

impl ChassisControl {
    fn number(self) -> u8 {
        match self {
            Self::Off => 0,
            Self::On => 1,
            Self::Cycle => 2,
            Self::Reset => 3,
            Self::Soft => 5,
        }
    }
}

/// What the chassis says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChassisStatus {
    /// The system's power is on.
    pub power_on: bool,
    /// It was shut down because of a power overload.
    pub power_overload: bool,
    /// It is shut down because a panel interlock is open.
    pub interlock: bool,
    /// The power subsystem has a fault.
    pub power_fault: bool,
    /// The controller tried to switch the power, but the system did not follow.
    pub power_control_fault: bool,
    /// The last power-down came from a loss of mains.
    pub last_down_by_mains_loss: bool,
    /// The last power-down came from an overload.
    pub last_down_by_overload: bool,
    /// The last power-down came from an open interlock.
    pub last_down_by_interlock: bool,
    /// The last power-down came from a power fault.
    pub last_down_by_fault: bool,
    /// The last power-up came from an IPMI command.
    pub last_up_by_command: bool,
    /// A drive has a fault.
    pub drive_fault: bool,
    /// A fan or the cooling has a fault.
    pub cooling_fault: bool,
}

impl ChassisStatus {
    fn parse(data: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(data);
        let power = reader.u8("power state")?;
        let last = reader.u8("last power event")?;
        let misc = reader.u8("miscellaneous state")?;
        let bit = |byte: u8, number: u8| byte >> number & 1 == 1;
        Ok(Self {
            power_on: bit(power, 0),
            power_overload: bit(power, 1),
            interlock: bit(power, 2),
            power_fault: bit(power, 3),
            power_control_fault: bit(power, 4),
            last_down_by_mains_loss: bit(last, 0),
            last_down_by_overload: bit(last, 1),
            last_down_by_interlock: bit(last, 2),
            last_down_by_fault: bit(last, 3),
            last_up_by_command: bit(last, 4),
            drive_fault: bit(misc, 2),
            cooling_fault: bit(misc, 3),
        })
    }
}

/// Why the system started last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RestartCause {
    /// The controller does not know.
    Unknown,
    /// A Chassis Control command.
    ChassisControl,
    /// The reset button.
    ResetButton,
    /// The power button.
    PowerButton,
    /// The watchdog ran out.
    Watchdog,
    /// The controller's maker knows.
    Oem,
    /// Mains came back and the policy is "always on".
    MainsAlwaysOn,
    /// Mains came back and the policy is "as before".
    MainsAsBefore,
    /// A platform event filter did a reset.
    EventFilterReset,
    /// A platform event filter did a power cycle.
    EventFilterCycle,
    /// The operating system, e.g. Ctrl-Alt-Del.
    SoftReset,
    /// A real-time clock alarm.
    ClockAlarm,
    /// A number that the specification does not list.
    Other(u8),
}

impl RestartCause {
    fn parse(data: &[u8]) -> Result<Self, Malformed> {
        Ok(match Reader::new(data).u8("restart cause")? & 0x0F {
            0x0 => Self::Unknown,
            0x1 => Self::ChassisControl,
            0x2 => Self::ResetButton,
            0x3 => Self::PowerButton,
            0x4 => Self::Watchdog,
            0x5 => Self::Oem,
            0x6 => Self::MainsAlwaysOn,
            0x7 => Self::MainsAsBefore,
            0x8 => Self::EventFilterReset,
            0x9 => Self::EventFilterCycle,
            0xA => Self::SoftReset,
            0xB => Self::ClockAlarm,
            other => Self::Other(other),
        })
    }
}

impl Client {
    /// Asks for the power state and the faults.
    ///
    /// # Errors
    /// See [`IpmiError`].
    pub async fn chassis_status(&mut self) -> Result<ChassisStatus, IpmiError> {
        let doing = "Get Chassis Status";
        let data = self.ask(doing, chassis(GET_STATUS, &[])).await?;
        ChassisStatus::parse(&data).map_err(IpmiError::malformed(doing))
    }

    /// Switches the power. A controller may get the command twice if its answer is lost, and most
    /// answer before the power has changed: look with [`Client::chassis_status`].
    ///
    /// # Errors
    /// See [`IpmiError`]; `NOT_IN_PRESENT_STATE` for a cycle or reset of a system that is off.
    pub async fn chassis_control(&mut self, control: ChassisControl) -> Result<(), IpmiError> {
        self.ask("Chassis Control", chassis(CONTROL, &[control.number()])).await.map(drop)
    }

    /// Asks why the system started last. Optional in the specification.
    ///
    /// # Errors
    /// See [`IpmiError`].
    pub async fn restart_cause(&mut self) -> Result<RestartCause, IpmiError> {
        let doing = "Get System Restart Cause";
        let data = self.ask(doing, chassis(GET_RESTART_CAUSE, &[])).await?;
        RestartCause::parse(&data).map_err(IpmiError::malformed(doing))
    }
}

pub(crate) fn chassis(command: u8, data: &[u8]) -> Request<'_> {
    Request { net_fn: NET_FN_CHASSIS, lun: 0, command, data }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_status_bit_is_found() {
        let status = ChassisStatus::parse(&[0x61, 0x10, 0x40, 0x00]).unwrap();
        assert!(status.power_on && status.last_up_by_command);
        assert!(!status.power_fault && !status.cooling_fault);
        let status = ChassisStatus::parse(&[0x18, 0x09, 0x0C]).unwrap();
        assert!(!status.power_on && status.power_fault && status.power_control_fault);
        assert!(status.last_down_by_mains_loss && status.last_down_by_fault);
        assert!(status.drive_fault && status.cooling_fault);
        assert!(ChassisStatus::parse(&[0x01, 0x10]).is_err());
    }

    #[test]
    fn restart_causes_are_named() {
        assert_eq!(RestartCause::parse(&[0x04, 0x01]), Ok(RestartCause::Watchdog));
        assert_eq!(RestartCause::parse(&[0x0F]), Ok(RestartCause::Other(15)));
        assert!(RestartCause::parse(&[]).is_err());
    }
}
