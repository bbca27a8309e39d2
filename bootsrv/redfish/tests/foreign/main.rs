//! The client against a service that others wrote (sushy-tools' emulator), and the made-up service
//! against clients that others wrote
//! (DMTF's utilities and protocol validator).

#[cfg(test)]
mod emulator;
#[cfg(test)]
mod python;
#[cfg(test)]
mod sushy;
#[cfg(test)]
mod utilities;
#[cfg(test)]
mod validator;
