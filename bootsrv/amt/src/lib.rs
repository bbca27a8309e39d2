//! A client for Intel AMT, the controller inside Intel vPro machines: WS-Management (DMTF DSP0226)
//! over HTTP or HTTPS with digest authentication. It switches a node's power, reads it, and makes
//! the next boot come from the network.
//!
//! **Never run against real AMT firmware.** It was written from Intel's class reference, the
//! standards, and answers of an AMT 12 that Intel has published, and proven on a fake of ours, which
//! foreign AMT clients drive too (`tests/foreign`); its login is proven on a foreign server.
//!
//! Limits: firmware that knows TLS 1.1 at most is reached without TLS only; no Kerberos, no user
//! consent (nodes must be in admin control mode), no serial-over-LAN. The controller is treated as
//! hostile: every answer is bounded, and errors are sorted by what the caller does ([`Kind`]).
//! It knows nothing of nodes, jobs or stores.

mod address;
mod boot;
mod client;
mod connection;
mod digest;
mod error;
#[cfg(feature = "fake")]
pub mod fake;
mod power;
mod soap;
mod tls;
mod xml;

pub use address::{AddressError, ControllerAddress, PORT_PLAIN, PORT_TLS};
pub use client::{Client, ClientConfig, Identity};
pub use digest::LoginError;
pub use error::{AmtError as Error, Asked, Cause, Kind, ReturnMeaning};
pub use power::{Action, PowerState, PowerStatus, Switched};
pub use soap::Fault;
pub use tls::{TlsTrouble, Trust, TrustError};
pub use xml::XmlError;
