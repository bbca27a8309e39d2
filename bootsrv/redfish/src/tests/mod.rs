//! Behaviour of the whole client on the made-up service.

mod events;
mod faults;
mod logs;
mod meters;
mod power;
mod sessions;
mod tls;
