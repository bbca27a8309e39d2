//! Where a controller is, who we are to it, and how patient we are. Reads no files.

use crate::error::IpmiError;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

/// The UDP port of RMCP (IPMI 2.0, section 13.1.2).
pub const DEFAULT_PORT: u16 = 623;

/// What a session may do (IPMI 2.0, section 6.8). Which commands need which: appendix G.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Privilege {
    /// Next to nothing.
    Callback,
    /// Looking: power state, event log, sensors, mostly also the power meter.
    User,
    /// Everything that a deployment needs: also power and boot device.
    Operator,
    /// Everything, also the controller's own configuration.
    Administrator,
}

impl Privilege {
    pub(crate) fn level(self) -> u8 {
        match self {
            Self::Callback => 1,
            Self::User => 2,
            Self::Operator => 3,
            Self::Administrator => 4,
        }
    }
}

/// A controller and the account to use on it. `Debug` shows no secret.
#[derive(Clone, PartialEq, Eq)]
pub struct ControllerAddress {
    /// Where it listens.
    pub addr: SocketAddr,
    /// The account's name, at most 16 bytes.
    pub user: String,
    /// The account's password, at most 20 bytes.
    pub password: String,
    /// 17 or 3; `None`: 17 if the controller knows it, else 3. Naming it keeps an attacker from
    /// pretending that the controller knows only 3.
    pub cipher_suite: Option<u8>,
    /// What the session may do; `None`: administrator, or operator if the account has no more. Naming
    /// it spares a refused login, which some controllers count towards a lock.
    pub privilege: Option<Privilege>,
    /// The controller's own key K_G where the site has set one (two-key login), at most 20 bytes.
    pub controller_key: Option<Vec<u8>>,
}

impl ControllerAddress {
    /// An account without a fixed cipher suite or privilege and without a controller key.
    #[must_use]
    pub fn new(addr: SocketAddr, user: String, password: String) -> Self {
        let (cipher_suite, privilege, controller_key) = (None, None, None);
        Self { addr, user, password, cipher_suite, privilege, controller_key }
    }
}

impl fmt::Debug for ControllerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ControllerAddress")
            .field("addr", &self.addr)
            .field("user", &self.user)
            .field("cipher_suite", &self.cipher_suite)
            .field("privilege", &self.privilege)
            .finish_non_exhaustive()
    }
}

/// How long and how often to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientConfig {
    /// How long one try waits for its answer.
    pub reply_timeout: Duration,
    /// How often a question is sent in all; at least once.
    pub tries: u32,
    /// How often a command is asked again after the controller said that it is busy (0xC0).
    pub busy_tries: u32,
    /// The pause before asking a busy controller again.
    pub busy_pause: Duration,
    /// How long a serial console may be silent until the controller is asked for a sign of life:
    /// less than the 60 seconds after which it forgets a silent session.
    pub keep_alive: Duration,
}

impl Default for ClientConfig {
    /// Six seconds until a silent controller is given up: slow controllers take about one second
    /// for a sensor, and a command must not hold up a caller for long.
    fn default() -> Self {
        Self {
            reply_timeout: Duration::from_millis(1500),
            tries: 4,
            busy_tries: 3,
            busy_pause: Duration::from_millis(250),
            keep_alive: Duration::from_secs(15),
        }
    }
}

/// Turns `host`, `host:port`, an address or `[v6]:port` into a socket address; port 623 if absent.
///
/// # Errors
/// [`IpmiError::Resolve`] if the host has no address.
pub async fn resolve(host: &str) -> Result<SocketAddr, IpmiError> {
    if let Ok(addr) = host.parse::<SocketAddr>() {
        return Ok(addr);
    }
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(ip) = bare.parse() {
        return Ok(SocketAddr::new(ip, DEFAULT_PORT));
    }
    let full = if host.contains(':') { host.to_owned() } else { format!("{host}:{DEFAULT_PORT}") };
    let failed = |source| IpmiError::Resolve { host: host.to_owned(), source };
    let mut found = tokio::net::lookup_host(&full).await.map_err(failed)?;
    found.next().ok_or_else(|| failed(std::io::ErrorKind::NotFound.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn addresses_resolve_with_and_without_a_port() {
        for (text, wanted) in [
            ("10.77.1.11", "10.77.1.11:623"),
            ("10.77.1.11:9000", "10.77.1.11:9000"),
            ("::1", "[::1]:623"),
            ("[::1]", "[::1]:623"),
            ("[::1]:9", "[::1]:9"),
        ] {
            assert_eq!(resolve(text).await.unwrap().to_string(), wanted, "{text}");
        }
        assert!(resolve("no such host").await.is_err());
    }

    #[test]
    fn debug_shows_no_secret() {
        let mut address = ControllerAddress::new(
            "127.0.0.1:623".parse().unwrap(),
            "admin".to_owned(),
            "s3cretpw".to_owned(),
        );
        address.controller_key = Some(b"kgkgkg".to_vec());
        let text = format!("{address:?}");
        assert!(text.contains("admin"));
        assert!(!text.contains("s3cretpw") && !text.contains("107"), "{text}");
    }
}
