//! Layers of an image: a tar archive each, converted to squashfs while it streams.
//!
//! All layers are converted independently, at the same time, and kept by their content. What a layer
//! cannot say alone (it refers to what lies below it) is found afterwards from the layers' indexes,
//! and becomes one small layer more, on top ([`stack`]).

mod convert;
mod difference;
mod entry;
pub(crate) mod error;
mod filter;
pub mod index;
mod layout;
mod limits;
mod overlay;
mod path;
mod pax;
mod reader;
mod replay;
mod source;
mod sparse;
pub mod stack;
mod tally;
mod tree;
mod writer;

#[cfg(test)]
mod tests;

pub(crate) use reader::{Reader, Skip};

pub use convert::{ConvertedLayer, convert};
pub use error::LayerError;
pub use index::LayerIndex;
pub use limits::LayerLimits;
