//! Who we are to a unit.

use crate::settings::InvalidUnits;
use async_snmp::{Auth, UsmConfig};
pub use async_snmp::{AuthProtocol, PrivProtocol};
use std::fmt;

/// Longest community, user or password, in bytes.
pub(crate) const SECRET_BYTES_MAX: usize = 255;
/// Shortest password, in bytes (RFC 3414, section 11.2).
pub(crate) const PASSWORD_BYTES_MIN: usize = 8;

/// Who we are to a unit. `Debug` shows no secret.
#[derive(Clone)]
pub enum Credentials {
    /// SNMP v2c: a community that may write. It travels in the clear.
    Community(String),
    /// SNMP v3, authenticated and encrypted.
    V3(V3Credentials),
}

/// A user of SNMP v3's user-based security model, at the level authPriv. `Debug` shows no secret.
#[derive(Clone)]
pub struct V3Credentials {
    /// The user, at most 32 bytes.
    pub user: String,
    /// How messages are authenticated.
    pub authentication: AuthProtocol,
    /// At least eight bytes.
    pub authentication_password: String,
    /// How messages are encrypted: AES; DES is refused.
    pub privacy: PrivProtocol,
    /// At least eight bytes.
    pub privacy_password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Community(_) => f.write_str("Community(<secret>)"),
            Self::V3(v3) => v3.fmt(f),
        }
    }
}

impl fmt::Debug for V3Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("V3Credentials")
            .field("user", &self.user)
            .field("authentication", &self.authentication)
            .field("privacy", &self.privacy)
            .finish_non_exhaustive()
    }
}

impl Credentials {
    pub(crate) fn auth(&self) -> Result<Auth, InvalidUnits> {
        let fits = |secret: &str, min: usize| (min..=SECRET_BYTES_MAX).contains(&secret.len());
        match self {
            Self::Community(community) if fits(community, 1) => Ok(Auth::v2c(community.as_str())),
            Self::V3(v3)
                if !matches!(v3.privacy, PrivProtocol::Des | PrivProtocol::Des3)
                    && (1..=32).contains(&v3.user.len())
                    && fits(&v3.authentication_password, PASSWORD_BYTES_MIN)
                    && fits(&v3.privacy_password, PASSWORD_BYTES_MIN) =>
            {
                UsmConfig::new(v3.user.clone())
                    .auth_priv(
                        v3.authentication,
                        &v3.authentication_password,
                        v3.privacy,
                        &v3.privacy_password,
                    )
                    .map(Auth::from)
                    .map_err(|_| InvalidUnits::Credentials)
            }
            Self::Community(_) | Self::V3(_) => Err(InvalidUnits::Credentials),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v3(password: &str) -> Credentials {
        Credentials::V3(V3Credentials {
            user: "power".into(),
            authentication: AuthProtocol::Sha256,
            authentication_password: password.into(),
            privacy: PrivProtocol::Aes128,
            privacy_password: "hushhush2".into(),
        })
    }

    #[test]
    fn credentials_are_checked_and_not_shown() {
        assert!(v3("hushhush1").auth().is_ok());
        let Credentials::V3(des) = v3("hushhush1") else { panic!() };
        let des = Credentials::V3(V3Credentials { privacy: PrivProtocol::Des, ..des });
        for bad in [v3("short"), des, Credentials::Community(String::new())] {
            assert_eq!(bad.auth().err(), Some(InvalidUnits::Credentials));
        }
        let community = Credentials::Community("hush".into());
        for shown in [format!("{:?}", v3("hushhush1")), format!("{community:?}")] {
            assert!(!shown.contains("hush"), "{shown}");
        }
    }
}
