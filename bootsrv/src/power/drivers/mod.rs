//! The drivers: which ones a node's definition means.

mod amt;
mod exec;
mod ipmi;
mod pdu;
mod redfish;
mod redfish_events;
mod trust;
mod unusable;
mod wake;
#[cfg(test)]
mod wire_tests;

pub(super) use self::ipmi::Account;

use super::Captures;
use super::driver::Driver;
use protocol::api::NodeDefinition;
use protocol::power::{OutletDefinition, PowerDefinition};

/// What switches a node's power, not spoken to yet.
#[derive(Debug)]
pub(super) struct Drivers {
    /// The usual way.
    pub(super) node: Box<dyn Driver>,
    /// The last resort.
    pub(super) outlet: Option<Box<dyn Driver>>,
}

impl Drivers {
    /// Reads a definition, and the certificates it names; asks nothing of anybody. `captures`: of
    /// consoles, which take sessions of controllers too.
    ///
    /// # Errors
    /// One line on why nothing can be done with it.
    pub(super) fn open(node: &NodeDefinition, captures: &Captures) -> Result<Self, String> {
        let outlet = node.outlet.as_ref().map(|outlet| open_outlet(outlet, node)).transpose();
        Ok(Self {
            node: open_power(node, captures).map_err(|what| format!("power.{what}"))?,
            outlet: outlet.map_err(|what| format!("outlet.{what}"))?,
        })
    }

    /// As [`Self::open`]; where that fails, a driver that says why to every order.
    pub(super) fn open_anyway(node: &NodeDefinition, captures: &Captures) -> Self {
        Self::open(node, captures).unwrap_or_else(|problem| {
            log::error!("node={}: {problem}", node.name);
            Self { node: Box::new(unusable::Unusable(problem)), outlet: None }
        })
    }
}

fn open_outlet(
    outlet: &OutletDefinition,
    node: &NodeDefinition,
) -> Result<Box<dyn Driver>, String> {
    Ok(match outlet {
        OutletDefinition::Pdu(outlets) => Box::new(pdu::Pdu::new(outlets)?),
        OutletDefinition::Exec(exec) => Box::new(exec::Exec::new(exec, node)?),
    })
}

fn open_power(node: &NodeDefinition, captures: &Captures) -> Result<Box<dyn Driver>, String> {
    #[cfg(test)]
    if let Some(driver) = super::simulated::open(node) {
        return Ok(driver);
    }
    Ok(match &node.power {
        PowerDefinition::Ipmi { .. } => {
            let account = Account::of(&node.power).ok_or("method is not ipmi")?;
            Box::new(ipmi::Ipmi::new(account, node.name.clone(), captures.clone()))
        }
        PowerDefinition::Redfish { url, user, password, system, trust, events } => {
            let listens = events.unwrap_or(system.is_none());
            let (system, events) = (system.as_deref(), listens.then_some(&node.name));
            let definition = redfish::Definition { url, user, password, system, trust, events };
            Box::new(redfish::Redfish::new(&definition)?)
        }
        PowerDefinition::Amt { address, user, password, tls, trust } => {
            let definition = amt::Definition { address, user, password, tls: *tls, trust };
            Box::new(amt::Amt::new(&definition)?)
        }
        PowerDefinition::WakeOnLan { broadcast, interface, password } => {
            let (interface, password) = (interface.as_deref(), password.as_ref());
            Box::new(wake::Wake::new(node.mac, broadcast, interface, password)?)
        }
        PowerDefinition::Pdu(outlets) => Box::new(pdu::Pdu::new(outlets)?),
        PowerDefinition::Exec(exec) => Box::new(exec::Exec::new(exec, node)?),
    })
}

/// As milliwatts; `None`: no node draws that.
fn milliwatts(watts: f64) -> Option<u32> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a float cast saturates, and values outside the range are refused before"
    )]
    (0.0..100_000.0).contains(&watts).then_some((watts * 1e3).round() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::power::driver::{Command, Trouble};
    use crate::power::testing::definition;

    fn open(power: &str, outlet: &str) -> Result<Drivers, String> {
        let mut node = definition("n1");
        node.power = serde_json::from_str(power).unwrap();
        node.outlet = serde_json::from_str(outlet).unwrap();
        Drivers::open(&node, &Captures::default())
    }

    /// What the drivers say of themselves: sees power, switches off.
    #[tokio::test]
    async fn every_method_has_its_driver() {
        let pdu =
            r#"{"method":"pdu","address":"d","community":"c","model":"apc-rpdu","outlets":[3]}"#;
        for (power, sees, off) in [
            (r#"{"method":"ipmi","address":"a","user":"u","password":"p"}"#, true, true),
            (r#"{"method":"redfish","url":"https://b","user":"u","password":"p"}"#, true, true),
            (r#"{"method":"amt","address":"c","password":"p"}"#, true, true),
            (r#"{"method":"wake_on_lan","broadcast":"10.0.0.255"}"#, false, false),
            (pdu, true, true),
            (r#"{"method":"exec","program":"/p"}"#, true, true),
        ] {
            for outlet in ["null", pdu, r#"{"method":"exec","program":"/p"}"#] {
                let drivers = open(power, outlet).unwrap();
                let abilities = drivers.node.abilities();
                assert_eq!((abilities.sees_power, abilities.switches_off), (sees, off), "{power}");
                assert_eq!(drivers.outlet.is_some(), outlet != "null");
            }
        }
    }

    #[tokio::test]
    async fn what_cannot_be_used_any_more_says_so_to_every_order() {
        let mut node = definition("n1");
        node.power = serde_json::from_str(r#"{"method":"exec","program":"p"}"#).unwrap();
        let mut driver = Drivers::open_anyway(&node, &Captures::default()).node;
        let error = driver.command(Command::On).await.unwrap_err();
        assert_eq!(error.trouble, Trouble::Refused);
        assert!(error.to_string().starts_with("power.program = "), "{error}");
    }

    #[tokio::test]
    async fn events_are_a_redfish_services_unless_they_are_switched_off() {
        let redfish = r#"{"method":"redfish","url":"b","user":"u","password":"p""#;
        for (power, expected) in [
            (format!("{redfish}}}"), true),
            (format!(r#"{redfish},"events":false}}"#), false),
            // One of several nodes behind one service.
            (format!(r#"{redfish},"system":"1"}}"#), false),
            (format!(r#"{redfish},"system":"1","events":true}}"#), true),
            (r#"{"method":"ipmi","address":"a","user":"u","password":"p"}"#.into(), false),
        ] {
            assert_eq!(open(&power, "null").unwrap().node.cue().is_some(), expected, "{power}");
        }
    }

    #[test]
    fn what_cannot_be_used_is_refused_with_its_key() {
        let exec = r#"{"method":"exec","program":"/p"}"#;
        let trust = r#""trust":{"certificate_sha256":"00"}"#;
        for (power, outlet, expected) in [
            (r#"{"method":"exec","program":"p"}"#.to_owned(), "null", "power.program = "),
            (exec.to_owned(), r#"{"method":"exec","program":"p"}"#, "outlet.program = "),
            (
                format!(r#"{{"method":"redfish","url":"b","user":"u","password":"p",{trust}}}"#),
                "null",
                "power.trust.certificate_sha256 ",
            ),
            (
                r#"{"method":"redfish","url":"ftp://b","user":"u","password":"p"}"#.into(),
                "null",
                "power.url: ",
            ),
            (
                r#"{"method":"amt","address":"a b","password":"p"}"#.into(),
                "null",
                "power.address: ",
            ),
            (r#"{"method":"wake_on_lan","broadcast":"x"}"#.into(), "null", "power.broadcast: "),
        ] {
            let error = open(&power, outlet).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        }
    }

    #[test]
    fn only_sane_watts_are_taken() {
        assert_eq!(milliwatts(12.6), Some(12_600));
        for bad in [-1.0, f64::NAN, 1e9] {
            assert_eq!(milliwatts(bad), None);
        }
    }
}
