//! The words that two of our processes say to each other.
//!
//! Everything here crosses a process boundary: a URL, a JSON body, an environment variable, a file
//! that one program writes and another reads. No I/O, no clock, no unsafe: the plugin runs inside
//! `srun` and `slurmstepd`, and what it links, they load.

pub mod api;
pub mod application;
pub mod boot;
pub mod energy;
pub mod energy_settings;
pub mod error;
pub mod image_reference;
pub mod job_env;
pub mod job_options;
pub mod names;
pub mod nearest;
pub mod node_list;
pub mod power;
pub mod power_series;
pub mod profile;
pub mod registry_credentials;
pub mod registry_host;
pub mod runs;
