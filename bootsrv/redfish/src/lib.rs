//! A Redfish client (DMTF DSP0266, schemas of DSP0268): switches a server's power, chooses its next
//! boot device, reads its power and energy meters, its logs and its events.
//!
//! It treats the service as hostile: no certificate is accepted that was not asked for, no redirect
//! followed, every body, list and wait is bounded, and what is missing is `None`. Everything below
//! the service's root is found by its links. It knows nothing of nodes, jobs or stores, and repeats
//! nothing by itself but what an ended session or a changed document made fail.
//!
//! No Redfish crate is used: those looked at build on paths instead of links, read bodies without a
//! limit, or know trust only as all or nothing.

mod account;
mod action;
mod address;
mod boot;
mod client;
mod discovery;
mod document;
mod energy;
mod error;
mod event;
#[cfg(any(test, feature = "fake"))]
pub mod fake;
mod log_entry;
mod meter;
mod refusal;
mod session;
mod stream;
#[cfg(test)]
mod tests;
mod trust;
mod wire;

pub use account::{Account, Patience, Trust};
pub use action::{PowerState, ResetType};
pub use boot::{BootMode, BootOverride};
pub use client::Client;
pub use energy::EnergyReading;
pub use error::{ErrorKind, RedfishError as Error};
pub use event::{Event, EventRecord};
pub use log_entry::LogEntry;
pub use meter::{Meter, PowerReading};
pub use stream::EventStream;
