//! The client and the fake, each on the other.

#[cfg(test)]
mod login;
#[cfg(test)]
mod power;
#[cfg(test)]
mod program;
#[cfg(test)]
#[path = "../support/mod.rs"]
mod support;
#[cfg(test)]
mod trouble;
