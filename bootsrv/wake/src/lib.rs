//! Wake-on-LAN: makes, sends and reads magic packets (AMD publication 20213).
//!
//! A magic packet switches a machine on, and does nothing else: it is not answered, cannot switch
//! off, and tells nothing of the machine's state. Who can send on the machine's network can wake it;
//! a SecureOn password travels in the clear and only keeps out who has never listened there.

mod frame;
mod interface;
mod packet;
mod password;
mod route;
mod send;

pub use frame::parse_frame;
pub use interface::{InterfaceName, InvalidInterface};
pub use packet::{MagicPacket, NotMagic};
pub use password::{InvalidPassword, SecureOn};
pub use route::{Burst, BurstOutOfRange, DEFAULT_PORT, InvalidBroadcast, Route, broadcast};
pub use send::{WakeError, wake};
