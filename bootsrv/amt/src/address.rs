//! Where a controller is, and who asks it.

use crate::tls::Trust;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// Port of WS-Management without TLS (IANA `amt-soap-http`).
pub const PORT_PLAIN: u16 = 16992;
/// Port of WS-Management over TLS (IANA `amt-soap-https`).
pub const PORT_TLS: u16 = 16993;
/// Longest host name (RFC 1035).
const HOST_BYTES_MAX: usize = 253;

/// A controller's address, with what it needs to know us and we it.
#[derive(Clone)]
pub struct ControllerAddress {
    pub(crate) host: String,
    pub(crate) port: u16,
    /// `None`: no TLS.
    pub(crate) trust: Option<Trust>,
    pub(crate) user: String,
    pub(crate) password: String,
}

/// A text that is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no address: a host or an IP address, with :PORT if it is not {PORT_TLS} (TLS) or {PORT_PLAIN}"
)]
pub struct AddressError(String);

impl ControllerAddress {
    /// `address` is a host or an IP address, with `:PORT` or without; `trust` is how the controller
    /// is known over TLS, `None`: without TLS, where anybody in between can read and change what is
    /// said, though not learn the password.
    ///
    /// # Errors
    /// When the text is no address.
    pub fn new(
        address: &str,
        trust: Option<Trust>,
        user: String,
        password: String,
    ) -> Result<Self, AddressError> {
        let default = if trust.is_some() { PORT_TLS } else { PORT_PLAIN };
        let wrong = || AddressError(address.chars().take(HOST_BYTES_MAX).collect());
        let (host, port) = split(address, default).ok_or_else(wrong)?;
        Ok(Self { host, port, trust, user, password })
    }

    /// Scheme, host and port.
    pub(crate) fn origin(&self) -> String {
        let scheme = if self.trust.is_some() { "https" } else { "http" };
        format!("{scheme}://{self}")
    }
}

/// Host as it stands in a URL, and port.
fn split(address: &str, default: u16) -> Option<(String, u16)> {
    let of_ip = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    };
    let bare = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(address);
    if let Ok(ip) = bare.parse::<IpAddr>() {
        return Some((of_ip(ip), default));
    }
    if let Ok(socket) = address.parse::<SocketAddr>() {
        return (socket.port() != 0).then(|| (of_ip(socket.ip()), socket.port()));
    }
    let (host, port) = match address.split_once(':') {
        Some((host, port)) => (host, port.parse().ok().filter(|port| *port != 0)?),
        None => (address, default),
    };
    let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
    let named = host.contains(|c: char| c.is_ascii_alphabetic());
    let is_host = named && host.len() <= HOST_BYTES_MAX && host.chars().all(known);
    is_host.then(|| (host.to_owned(), port))
}

/// Host and port.
impl fmt::Display for ControllerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// Without the password.
impl fmt::Debug for ControllerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ControllerAddress")
            .field("origin", &self.origin())
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(address: &str, trust: Option<Trust>) -> Option<String> {
        let made = ControllerAddress::new(address, trust, "u".into(), "hush".into()).ok()?;
        assert!(!format!("{made:?}").contains("hush"));
        Some(made.origin())
    }

    #[test]
    fn addresses() {
        for (address, expected) in [
            ("10.0.0.1", Some("http://10.0.0.1:16992")),
            ("10.0.0.1:80", Some("http://10.0.0.1:80")),
            ("fd00::1", Some("http://[fd00::1]:16992")),
            ("[fd00::1]", Some("http://[fd00::1]:16992")),
            ("[fd00::1]:80", Some("http://[fd00::1]:80")),
            ("n1.example:1", Some("http://n1.example:1")),
            ("", None),
            ("n1:0", None),
            ("10.0.0.1:0", None),
            ("n1:x", None),
            ("user@n1", None),
            ("n1/path", None),
            ("1.2.3", None),
            ("10.0.0.1:65536", None),
        ] {
            assert_eq!(origin(address, None).as_deref(), expected, "{address}");
        }
        assert_eq!(origin("n1", Some(Trust::Host)).unwrap(), "https://n1:16993");
    }
}
