//! Container images as read-only squashfs layers: pulled once, converted while they stream, kept by
//! digest.
//!
//! An image becomes a stack of squashfs files, one a layer, which a node mounts below an overlay:
//! images that share a base share its files (docs/adr/0013). Knows OCI, Docker and SIF; does not
//! know jobs, users or nodes.

mod blob;
mod blob_fetch;
pub mod credentials;
pub mod error;
pub mod format;
pub mod layer;
pub mod places;
mod prepare;
mod prepare_file;
mod prepare_layer;
mod prepare_registry;
mod prepare_room;
pub mod prepared;
pub mod progress;
mod registry;
pub mod settings;
pub mod shelf;
#[cfg(test)]
mod tests;
mod turns;
mod unfinished;

pub use credentials::Credential;
pub use error::{Blame, PrepareError};
pub use prepare::{Images, Preparation, Request};
pub use prepare_room::Disk;
pub use prepared::PreparedImage;
pub use progress::Progress;
pub use settings::Settings;
pub use shelf::Shelf;
