//! One file per verb: ask the server, return the text to print. Rendering is a pure function of
//! the answer, so that tests compare whole texts.

pub(crate) mod break_even;
mod break_even_text;
pub(crate) mod completions;
pub(crate) mod doctor;
pub(crate) mod energy;
mod energy_picture;
pub(crate) mod image;
mod image_build;
mod image_text;
pub(crate) mod kernel;
mod kernel_parts;
pub(crate) mod man;
pub(crate) mod node;
mod node_clear;
mod node_console;
mod node_file;
mod preparation;
pub(crate) mod status;
mod timeline;
