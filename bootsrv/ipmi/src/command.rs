//! The commands, one module for each group. Each module knows its bytes and nothing of sessions.

pub(crate) mod boot;
pub(crate) mod chassis;
pub(crate) mod dcmi;
pub(crate) mod device;
pub(crate) mod sdr;
pub(crate) mod sel;
pub(crate) mod sensor;
