//! What the nodes of the virtual cluster draw: the model, the meter that publishes it and adds it
//! up exactly, and the log that tests compare energy records with.

pub mod log;
pub mod meter;
pub mod model;
