//! What nodes' serial consoles show of their boots: read from the site's log files, or captured over
//! the baseboard controllers into files of our own.
//!
//! A log holds many boots. Only what was written since a boot began is quoted for it.

mod boots;
mod keeper;
mod kept;
mod lines;
mod log_file;

#[cfg(test)]
mod tests;

pub use boots::Consoles;
pub use log_file::Begin;
