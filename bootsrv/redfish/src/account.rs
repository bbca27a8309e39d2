//! Where a service is, who we are there, how it is known, and how long we wait.

use std::fmt;
use std::time::Duration;

/// A service and the account to use on it. `Debug` shows no secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Account {
    /// `https://host[:port]`, or `host[:port]`, which means that; plain HTTP only as `http://…`.
    pub url: String,
    /// The account's name.
    pub user: String,
    /// The account's password.
    pub password: String,
    /// How the service is known; for `http://` there is nothing to know it by.
    pub trust: Trust,
    /// Which ComputerSystem, by its Id; `None`: the only one.
    pub system: Option<String>,
}

/// How a service proves that it is the one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Trust {
    /// By the certificate authorities of this host, and its name.
    #[default]
    Host,
    /// By these authorities (PEM, one or more) and nobody else, and its name.
    Authority(Vec<u8>),
    /// By the SHA-256 of its certificate (DER). Name and dates do not matter: controllers make their
    /// own certificates, and their clocks start in 1970.
    Fingerprint([u8; 32]),
}

/// How long to wait. Each has to be above 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// For a connection, with TLS.
    pub connect: Duration,
    /// For a whole answer, with the connection.
    pub answer: Duration,
    /// For everything that one call asks: the first finds the system, and a log may be many documents.
    pub call: Duration,
}

impl Default for Patience {
    /// Controllers that also draw their web pages take some seconds for a document, and more for a
    /// login.
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { connect: seconds(5), answer: seconds(20), call: seconds(90) }
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account")
            .field("url", &self.url)
            .field("user", &self.user)
            .field("system", &self.system)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_secret() {
        let account = Account {
            url: "https://c1".into(),
            user: "admin".into(),
            password: "s3cretpw".into(),
            trust: Trust::Host,
            system: None,
        };
        let text = format!("{account:?}");
        assert!(text.contains("admin") && !text.contains("s3cretpw"), "{text}");
    }
}
