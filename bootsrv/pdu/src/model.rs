//! What a model of PDU calls its outlets: object identifiers and values.

mod table;

use async_snmp::Oid;

/// Most arcs of an object identifier (RFC 2578, section 3.5).
const ARCS_MAX: usize = 128;

/// A model: where an outlet's state is read, and what is written where to switch it.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    pub(crate) status: OutletOid,
    pub(crate) states_on: Vec<i32>,
    pub(crate) states_off: Vec<i32>,
    pub(crate) on: Order,
    pub(crate) off: Order,
    pub(crate) watts: Option<Gauge>,
    pub(crate) joules: Option<Gauge>,
}

/// A value to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Order {
    pub(crate) oid: OutletOid,
    pub(crate) value: i32,
}

/// A reading: value / 10^digits × unit.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Gauge {
    pub(crate) oid: OutletOid,
    pub(crate) unit: f64,
    pub(crate) digits: Option<OutletOid>,
    /// A TruthValue (RFC 2579): whether there is a reading now.
    pub(crate) available: Option<OutletOid>,
}

/// An object identifier with the outlet's number somewhere in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OutletOid {
    before: Vec<u32>,
    after: Vec<u32>,
}

impl OutletOid {
    /// Reads e.g. `1.3.6.1.4.1.318.1.1.12.3.3.1.1.4.N`.
    fn parse(text: &str) -> Result<Self, InvalidModel> {
        let fail = || InvalidModel::Oid(text.to_owned());
        let read = |part: &str| -> Option<Vec<u32>> {
            let arcs = part.split('.').filter(|arc| !arc.is_empty());
            arcs.map(|arc| arc.parse().ok()).collect()
        };
        let (before, after) = text.split_once(".N").ok_or_else(fail)?;
        let well_formed = (after.is_empty() || after.starts_with('.'))
            && !format!("{before}{after}").contains("..")
            && !text.ends_with('.')
            && before.starts_with("1.3.6.1.");
        let (Some(before), Some(after)) = (read(before), read(after)) else { return Err(fail()) };
        if !well_formed || before.len() + after.len() >= ARCS_MAX {
            return Err(fail());
        }
        Ok(Self { before, after })
    }

    pub(crate) fn at(&self, outlet: u32) -> Oid {
        Oid::new(self.before.iter().copied().chain([outlet]).chain(self.after.iter().copied()))
    }
}

/// A model that is not in the table, as a site describes it. Object identifiers have `N` where the
/// outlet's number goes, e.g. `1.3.6.1.4.1.318.1.1.4.4.2.1.3.N`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustomModel {
    /// Read for an outlet's state.
    pub status_oid: String,
    /// What it reads when the outlet is on.
    pub status_on: i32,
    /// What it reads when the outlet is off; every other value is "unknown".
    pub status_off: i32,
    /// Written to switch an outlet.
    pub control_oid: String,
    /// What switches it on, at once.
    pub control_on: i32,
    /// What switches it off, at once.
    pub control_off: i32,
}

impl Model {
    /// A model of the table.
    ///
    /// # Errors
    /// [`InvalidModel::Unknown`] names the models there are.
    pub fn named(name: &str) -> Result<Self, InvalidModel> {
        let row = table::MODELS.iter().find(|row| row.name == name);
        row.ok_or_else(|| InvalidModel::Unknown(name.to_owned()))?.model()
    }

    /// The names in the table.
    pub fn names() -> impl Iterator<Item = &'static str> {
        table::MODELS.iter().map(|row| row.name)
    }

    /// A model of the site's own. It has no meter.
    ///
    /// # Errors
    /// [`InvalidModel`] if an object identifier is none, or on and off cannot be told apart.
    pub fn custom(custom: &CustomModel) -> Result<Self, InvalidModel> {
        let CustomModel { status_on, status_off, control_on, control_off, .. } = *custom;
        if status_on == status_off || control_on == control_off {
            return Err(InvalidModel::Same);
        }
        let control = OutletOid::parse(&custom.control_oid)?;
        Ok(Self {
            status: OutletOid::parse(&custom.status_oid)?,
            states_on: vec![status_on],
            states_off: vec![status_off],
            on: Order { oid: control.clone(), value: control_on },
            off: Order { oid: control, value: control_off },
            watts: None,
            joules: None,
        })
    }

    /// What a state means; `None`: neither on nor off, e.g. about to switch.
    pub(crate) fn is_on(&self, state: i64) -> Option<bool> {
        let listed = |states: &[i32]| states.iter().any(|known| i64::from(*known) == state);
        match (listed(&self.states_on), listed(&self.states_off)) {
            (true, false) => Some(true),
            (false, true) => Some(false),
            _ => None,
        }
    }
}

/// Why there is no such model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidModel {
    /// It is not in the table.
    #[error("no PDU model {0:?}; known are {known}", known = Model::names().collect::<Vec<_>>().join(", "))]
    Unknown(String),
    /// It is no object identifier with a place for the outlet.
    #[error(
        "{0:?} is no object identifier like 1.3.6.1.4.1.318.1.1.4.4.2.1.3.N, N being the outlet"
    )]
    Oid(String),
    /// On and off are the same value.
    #[error("on and off must be different values, to be read and to be written")]
    Same,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn custom() -> CustomModel {
        CustomModel {
            status_oid: "1.3.6.1.4.1.21317.1.3.2.2.2.2.N.0".into(),
            status_on: 2,
            status_off: 1,
            control_oid: "1.3.6.1.4.1.21317.1.3.2.2.2.2.N.0".into(),
            control_on: 2,
            control_off: 1,
        }
    }

    #[test]
    fn every_row_of_the_table_is_a_model() {
        for name in Model::names() {
            let model = Model::named(name).unwrap();
            assert!(model.states_on.iter().all(|on| model.is_on(i64::from(*on)) == Some(true)));
            assert!(model.states_off.iter().all(|off| model.is_on(i64::from(*off)) == Some(false)));
            assert_ne!((&model.on.oid, model.on.value), (&model.off.oid, model.off.value));
            assert_eq!(model.is_on(99), None, "{name}");
        }
        let error = Model::named("apc").unwrap_err().to_string();
        assert!(error.contains("apc-rpdu, apc-rpdu2"), "{error}");
    }

    #[test]
    fn a_site_describes_its_own() {
        let model = Model::custom(&custom()).unwrap();
        assert_eq!(model.status.at(7).to_string(), "1.3.6.1.4.1.21317.1.3.2.2.2.2.7.0");
        assert_eq!(
            (model.is_on(2), model.is_on(1), model.is_on(3)),
            (Some(true), Some(false), None)
        );
        let same = CustomModel { control_on: 1, ..custom() };
        assert_eq!(Model::custom(&same), Err(InvalidModel::Same));
    }

    #[test]
    fn only_object_identifiers_with_one_outlet_are_read() {
        for bad in [
            "",
            "N",
            "1.3.6.1.4.1.318",
            "1.3.6.1.4.1.318.N.N",
            "1.3.6.1..4.N",
            "1.3.6.1.4.N.",
            "1.3.6.1.4.Nine",
            "1.3.6.1.4.x.N",
            "1.3.6.1.4.4294967296.N",
            ".1.3.6.1.4.N",
            "2.3.6.1.4.N",
        ] {
            let custom = CustomModel { status_oid: bad.into(), ..custom() };
            assert_eq!(Model::custom(&custom), Err(InvalidModel::Oid(bad.into())), "{bad}");
        }
        let long = format!("1.3.6.1.{}N", "4.".repeat(128));
        assert!(OutletOid::parse(&long).is_err());
    }
}
