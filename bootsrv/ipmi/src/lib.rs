//! An IPMI 2.0 client over RMCP+ (UDP port 623): switches a server's power, chooses its next boot
//! device, reads its power meter and event log, and follows its serial console.
//!
//! It treats the controller as hostile: every packet is parsed with bounds checks, every session is
//! encrypted and authenticated (cipher suite 17 or 3, nothing weaker), and what does not belong to
//! the open question is discarded. It knows nothing of nodes, jobs or stores.

mod address;
mod client;
mod command;
mod completion;
mod console;
mod error;
#[cfg(any(test, feature = "fake"))]
pub mod fake;
mod link;
mod session;
mod wire;

pub use address::{ClientConfig, ControllerAddress, DEFAULT_PORT, Privilege, resolve};
pub use client::Client;
pub use command::boot::{BootDevice, BootFlags, Firmware};
pub use command::chassis::{ChassisControl, ChassisStatus, RestartCause};
pub use command::dcmi::{DcmiCapabilities, PowerReading};
pub use command::device::DeviceId;
pub use command::sdr::{PowerSensor, choose_system_sensor};
pub use command::sel::SystemEvent;
pub use command::sensor::Conversion;
pub use completion::CompletionCode;
pub use console::{CaptureEvent, CaptureState, ConsoleCapture, ConsoleLines, SerialConsole};
pub use error::{IpmiError as Error, Malformed, Refusal, SessionStatus, Trouble};
pub use wire::suite::CipherSuite;
