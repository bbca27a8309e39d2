//! An IPMI 2.0 client over RMCP+ (UDP port 623): switches a server's power, chooses its next boot
//! device and reads its power meter.
//!
//! It treats the controller as hostile: every packet is parsed with bounds checks, every session is
//! encrypted and authenticated (cipher suite 17 or 3, nothing weaker), and what does not belong to
//! the open question is discarded. It knows nothing of nodes, jobs or stores.

mod address;
mod client;
mod command;
mod completion;
mod error;
#[cfg(test)]
mod fake;
mod link;
mod session;
mod wire;

pub use address::{ClientConfig, ControllerAddress, DEFAULT_PORT, resolve};
pub use client::{Client, Privilege};
pub use command::boot::{BootDevice, BootFlags, Firmware};
pub use command::chassis::{ChassisControl, ChassisStatus, RestartCause};
pub use command::dcmi::{DcmiCapabilities, PowerReading};
pub use command::device::DeviceId;
pub use command::sdr::{PowerSensor, choose_system_sensor};
pub use command::sensor::Conversion;
pub use completion::CompletionCode;
pub use error::{IpmiError as Error, Malformed, Refusal, SessionStatus};
pub use wire::suite::CipherSuite;
