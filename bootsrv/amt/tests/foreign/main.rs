//! The fake is proven by foreign AMT clients, and the client's login by a foreign server.
//!
//! amtctrl (PyPI amt), powerctl and napalm-amt are whole WS-Management clients with two digest
//! implementations; Intel's library (npm) writes messages, which curl posts with a third. Debian's
//! amttool is not among them: it speaks the interface before WS-Management, which AMT gave up with
//! release 9.

#[cfg(test)]
mod clients;
#[cfg(test)]
mod intel;
#[cfg(test)]
mod process;
#[cfg(test)]
mod python;
#[cfg(test)]
mod server;
#[cfg(test)]
#[path = "../support/mod.rs"]
mod support;
