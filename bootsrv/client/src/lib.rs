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
mod pack;
mod registry_login;
mod site_scripts;
#[cfg(feature = "test-server")]
pub mod test_server;
mod transport;
mod typed_reference;
mod upload;

pub use config::{ClientConfig, ConfigError, DEFAULT_SCONTROL, DEFAULT_TRIES_MAX};
pub use error::{ClientError, chain};
pub use pack::{FileProgress, pack};
pub use registry_login::registry_login;
pub use site_scripts::SiteScripts;
pub use transport::{Client, Timeouts};
pub use typed_reference::absolute_reference;
