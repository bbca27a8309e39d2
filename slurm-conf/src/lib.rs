//! What a site must configure for bare-metal containers: written from one file, and checked where it
//! is in use.
//!
//! Texts and rules only; the command in `main.rs` prints and picks the exit code. Knows nothing of a
//! running Slurm or bootsrv: it reads and writes files.

pub mod application_images;
pub mod check;
pub mod generate;
mod limited;
pub mod live;
pub mod network;
pub mod plugstack;
pub mod site;
pub mod slurm_file;
pub mod toml_text;
pub mod write;
