//! How a node's power is switched, as `bmc node import` reads it.

use crate::names::Secret;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;

/// What switches a node's power.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "method", rename_all = "snake_case", deny_unknown_fields)]
pub enum PowerDefinition {
    /// IPMI 2.0 over RMCP+.
    Ipmi {
        /// `address` or `address:port`; port 623 if absent.
        address: String,
        /// User on the controller.
        user: String,
        /// Its password. Never sent back by the API.
        password: Secret,
        /// Cipher suite, 17 or 3; the strongest the controller accepts if absent.
        #[serde(default)]
        cipher_suite: Option<u8>,
        /// The controller's own key K_G, where it wants one (two-key login): at most 20 bytes as
        /// text, or `0x` and hexadecimal digits. Never sent back by the API.
        #[serde(default)]
        kg: Option<Secret>,
        /// What the session asks for; administrator if absent.
        #[serde(default)]
        privilege: Privilege,
    },
    /// Redfish (DMTF DSP0266).
    Redfish {
        /// `https://address[:port]`, or an address alone, which means that; `http://` only where written.
        url: String,
        /// User on the service.
        user: String,
        /// Its password. Never sent back by the API.
        password: Secret,
        /// Which ComputerSystem, by its Id; the only one if absent.
        #[serde(default)]
        system: Option<String>,
        /// How the service is known.
        #[serde(default)]
        trust: Trust,
        /// Whether its stream of events is listened to, where it has one. If absent: not where `system`
        /// is named, as each node behind one service would have a stream of its own.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        events: Option<bool>,
    },
    /// Intel Active Management Technology, WS-Management with digest authentication.
    Amt {
        /// `address` or `address:port`; port 16993 (TLS) if absent, 16992 without TLS.
        address: String,
        /// User; `admin` if absent.
        #[serde(default = "admin")]
        user: String,
        /// Its password. Never sent back by the API.
        password: Secret,
        /// Over TLS; only a private management network can do without.
        #[serde(default = "yes")]
        tls: bool,
        /// How the machine is known, with TLS.
        #[serde(default)]
        trust: Trust,
    },
    /// Magic packets; on only. Off goes through the node's agent.
    WakeOnLan {
        /// Where packets go: a directed broadcast address, `address` or `address:port` (port 9 if
        /// absent).
        broadcast: String,
        /// Interface they leave by; the route decides if absent.
        #[serde(default)]
        interface: Option<String>,
        /// SecureOn password, six bytes as `aa:bb:cc:dd:ee:ff` or four as `1.2.3.4`.
        #[serde(default)]
        password: Option<Secret>,
    },
    /// Outlets of a power distribution unit, over SNMP.
    Pdu(Pdu),
    /// A command of the site's own.
    Exec(Exec),
}

/// Switched outlets of one power distribution unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pdu {
    /// `address` or `address:port`; port 161 if absent.
    pub address: String,
    /// SNMP community that may write. Never sent back by the API.
    pub community: Secret,
    /// Which table of object identifiers, e.g. `apc-rpdu`; `bmc node import` names those known.
    pub model: String,
    /// Outlets that feed the node, all switched together.
    pub outlets: Vec<u32>,
}

/// A program that switches a node's power: the contract stands in docs/admin.md.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exec {
    /// Absolute path on bootsrv's host. It is started with one more argument, `on`, `off` or
    /// `status`, and with NODE_NAME, NODE_MAC and NODE_ADDRESS in an otherwise empty environment.
    pub program: PathBuf,
    /// Words before that argument.
    #[serde(default)]
    pub arguments: Vec<String>,
}

/// What takes a node's power away when its controller does not: the last step of escalation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "method", rename_all = "snake_case", deny_unknown_fields)]
pub enum OutletDefinition {
    /// As [`PowerDefinition::Pdu`].
    Pdu(Pdu),
    /// As [`PowerDefinition::Exec`].
    Exec(Exec),
}

/// How a TLS service on the management network is known. Nothing given: by the host's certificate
/// authorities.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trust {
    /// SHA-256 of its certificate (DER), hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_sha256: Option<String>,
    /// File on bootsrv's host with the authority's certificate, PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
}

/// Privilege of an IPMI session.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Privilege {
    /// Power and boot device; enough where the controller is configured so.
    Operator,
    /// Everything.
    #[default]
    Administrator,
}

fn admin() -> String {
    "admin".into()
}

fn yes() -> bool {
    true
}

impl PowerDefinition {
    /// Whether it can switch a node off by itself: a power-on that cannot be taken back waits until
    /// nothing can fail any more.
    #[must_use]
    pub fn can_switch_off(&self) -> bool {
        !matches!(self, Self::WakeOnLan { .. })
    }
}

/// Method and where, without credentials, e.g. `ipmi 10.77.1.11`.
impl fmt::Display for PowerDefinition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ipmi { address, .. } => write!(f, "ipmi {address}"),
            Self::Redfish { url, .. } => write!(f, "redfish {url}"),
            Self::Amt { address, .. } => write!(f, "amt {address}"),
            Self::WakeOnLan { broadcast, .. } => write!(f, "wake_on_lan {broadcast}"),
            Self::Pdu(pdu) => write!(f, "{pdu}"),
            Self::Exec(exec) => write!(f, "{exec}"),
        }
    }
}

impl fmt::Display for Pdu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outlets: Vec<String> = self.outlets.iter().map(u32::to_string).collect();
        write!(f, "pdu {} outlet {}", self.address, outlets.join("+"))
    }
}

impl fmt::Display for Exec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "exec {}", self.program.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<PowerDefinition, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn every_method_is_read_and_named_without_its_secrets() {
        for (text, shown) in [
            (r#"{"method":"ipmi","address":"a","user":"u","password":"hush"}"#, "ipmi a"),
            (
                r#"{"method":"redfish","url":"https://b","user":"u","password":"hush","trust":{"ca_file":"/c"}}"#,
                "redfish https://b",
            ),
            (r#"{"method":"amt","address":"c","password":"hush"}"#, "amt c"),
            (
                r#"{"method":"wake_on_lan","broadcast":"10.0.0.255","password":"hush"}"#,
                "wake_on_lan 10.0.0.255",
            ),
            (
                r#"{"method":"pdu","address":"d","community":"hush","model":"apc-rpdu","outlets":[3,4]}"#,
                "pdu d outlet 3+4",
            ),
            (r#"{"method":"exec","program":"/p"}"#, "exec /p"),
        ] {
            let definition = parse(text).unwrap();
            assert_eq!(definition.to_string(), shown);
            assert!(!format!("{definition:?}").contains("hush"));
            assert_eq!(definition.can_switch_off(), !shown.starts_with("wake"));
            let again = serde_json::to_string(&definition).unwrap();
            assert_eq!(parse(&again).unwrap(), definition);
        }
    }

    #[test]
    fn unknown_keys_are_refused() {
        for text in [
            r#"{"method":"ipmi","address":"a","user":"u","password":"p","typo":1}"#,
            r#"{"method":"redfish","url":"b","user":"u","password":"p","typo":1}"#,
            r#"{"method":"pdu","address":"d","community":"p","model":"m","outlets":[3],"typo":1}"#,
            r#"{"method":"exec","program":"/p","typo":1}"#,
        ] {
            assert!(parse(text).unwrap_err().contains("unknown field `typo`"), "{text}");
        }
    }
}
