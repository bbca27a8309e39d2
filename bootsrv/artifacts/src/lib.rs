//! Kernels and node images as files: imported once, content-addressed, complete or absent.
//!
//! Synchronous and local: it knows packages, module trees, initrds and squashfs files. It must not
//! know HTTP, Slurm, nodes or jobs; which artifacts are in use is told by the caller.

pub mod compression;
pub mod cpio;
pub mod hub;
pub mod image;
pub mod kernel;
pub mod node_image;
pub mod program;
pub mod scratch;
pub mod squashfs;
pub mod store;
mod unpack;

pub use cpio::token_initrd;
pub use hub::Hub;
pub use image::Image;
pub use kernel::Kernel;
pub use store::Store;
pub use unpack::ArchiveError;
