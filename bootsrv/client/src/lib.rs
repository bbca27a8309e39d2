//! The calling side of bootsrv's API: blocking, small, without TLS and without a runtime.
//!
//! It is loaded into `srun` and started for every job of the cluster, so it must stay light. Every
//! request carries a munge credential that is good for that request once; nothing here retries,
//! because only the caller knows how long waiting is worth it.

mod calls;
mod config;
mod error;
#[cfg(feature = "hooks")]
pub mod hook;
mod site_scripts;
#[cfg(feature = "test-server")]
pub mod test_server;
mod transport;
mod upload;

pub use config::{ClientConfig, ConfigError, DEFAULT_SCONTROL, DEFAULT_TRIES_MAX};
pub use error::{ClientError, chain};
pub use site_scripts::SiteScripts;
pub use transport::{Client, Timeouts};
