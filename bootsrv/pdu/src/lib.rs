//! Switched outlets of power distribution units (PDUs), over SNMP v2c or v3.
//!
//! What a model's objects are called stands in a table; a site can describe another model. A node
//! with two power supplies has two outlets, of one unit or of two: all of them are switched, and it
//! is off only when every one of them is.
//!
//! Units are treated as hostile: what they send is decoded strictly by `async-snmp`, and every
//! question has a limit in time and number. An SNMP v2c community travels in the clear, so such a
//! unit belongs on a network of its own; v3 is used with authentication and privacy only.

mod credentials;
mod error;
mod meter;
mod model;
mod outlets;
mod session;
mod settings;

pub use credentials::{AuthProtocol, Credentials, PrivProtocol, V3Credentials};
pub use error::{PduError as Error, Trouble};
pub use meter::Reading;
pub use model::{CustomModel, InvalidModel, Model};
pub use outlets::{Outlets, Power};
pub use settings::{InvalidUnits, Patience, Unit};
