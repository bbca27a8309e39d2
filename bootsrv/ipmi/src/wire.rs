//! The bytes of RMCP+ (IPMI 2.0, chapter 13): pure functions, no sockets, no clock.

pub(crate) mod message;
pub(crate) mod packet;
pub(crate) mod rakp;
pub(crate) mod reader;
pub(crate) mod suite;
pub(crate) mod window;

#[cfg(test)]
mod hostile;
