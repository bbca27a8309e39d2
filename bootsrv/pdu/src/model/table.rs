//! The models known, with the names of the objects in the makers' MIBs. `N` is the outlet's number.
//!
//! None of the entries has been tried on a real unit here; where a unit differs, a site writes a
//! custom model.

use super::{Gauge, InvalidModel, Model, Order, OutletOid};

/// Joules of one watt-hour.
const WATT_HOUR: f64 = 3_600.0;
/// Joules of a tenth of a kilowatt-hour.
const TENTH_KILOWATT_HOUR: f64 = 360_000.0;

/// A row of the table.
pub(super) struct Row {
    pub(super) name: &'static str,
    status: &'static str,
    states_on: &'static [i32],
    states_off: &'static [i32],
    on: (&'static str, i32),
    off: (&'static str, i32),
    watts: Option<Meter>,
    joules: Option<Meter>,
}

struct Meter {
    oid: &'static str,
    unit: f64,
    digits: Option<&'static str>,
    available: Option<&'static str>,
}

const fn plain(oid: &'static str, unit: f64) -> Option<Meter> {
    Some(Meter { oid, unit, digits: None, available: None })
}

pub(super) const MODELS: [Row; 7] = [
    // PowerNet-MIB: sPDUOutletCtl, state and command in one (MasterSwitch).
    Row {
        name: "apc-spdu",
        status: "1.3.6.1.4.1.318.1.1.4.4.2.1.3.N",
        states_on: &[1],
        states_off: &[2],
        on: ("1.3.6.1.4.1.318.1.1.4.4.2.1.3.N", 1),
        off: ("1.3.6.1.4.1.318.1.1.4.4.2.1.3.N", 2),
        watts: None,
        joules: None,
    },
    // PowerNet-MIB: rPDUOutletStatusOutletState, rPDUOutletControlOutletCommand.
    Row {
        name: "apc-rpdu",
        status: "1.3.6.1.4.1.318.1.1.12.3.5.1.1.4.N",
        states_on: &[1],
        states_off: &[2],
        on: ("1.3.6.1.4.1.318.1.1.12.3.3.1.1.4.N", 1),
        off: ("1.3.6.1.4.1.318.1.1.12.3.3.1.1.4.N", 2),
        watts: None,
        joules: None,
    },
    // PowerNet-MIB: rPDU2OutletSwitchedStatusState (off 1, on 2: the other way round than the
    // command), rPDU2OutletSwitchedControlCommand, rPDU2OutletMeteredStatusPower (the MIB names no
    // unit; monitoring programs read watts), rPDU2OutletMeteredStatusEnergy.
    Row {
        name: "apc-rpdu2",
        status: "1.3.6.1.4.1.318.1.1.26.9.2.3.1.5.N",
        states_on: &[2],
        states_off: &[1],
        on: ("1.3.6.1.4.1.318.1.1.26.9.2.4.1.5.N", 1),
        off: ("1.3.6.1.4.1.318.1.1.26.9.2.4.1.5.N", 2),
        watts: plain("1.3.6.1.4.1.318.1.1.26.9.4.3.1.7.N", 1.0),
        joules: plain("1.3.6.1.4.1.318.1.1.26.9.4.3.1.11.N", TENTH_KILOWATT_HOUR),
    },
    // PDU2-MIB of the first unit of a chain: outletSwitchingState, switchingOperation,
    // measurementsOutletSensorValue of activePower (5) and activeEnergy (8, watt-hours), with
    // outletSensorDecimalDigits and measurementsOutletSensorIsAvailable.
    Row {
        name: "raritan-pdu2",
        status: "1.3.6.1.4.1.13742.6.4.1.2.1.3.1.N",
        states_on: &[7],
        states_off: &[8],
        on: ("1.3.6.1.4.1.13742.6.4.1.2.1.2.1.N", 1),
        off: ("1.3.6.1.4.1.13742.6.4.1.2.1.2.1.N", 0),
        watts: Some(Meter {
            oid: "1.3.6.1.4.1.13742.6.5.4.3.1.4.1.N.5",
            unit: 1.0,
            digits: Some("1.3.6.1.4.1.13742.6.3.5.4.1.7.1.N.5"),
            available: Some("1.3.6.1.4.1.13742.6.5.4.3.1.2.1.N.5"),
        }),
        joules: Some(Meter {
            oid: "1.3.6.1.4.1.13742.6.5.4.3.1.4.1.N.8",
            unit: WATT_HOUR,
            digits: Some("1.3.6.1.4.1.13742.6.3.5.4.1.7.1.N.8"),
            available: Some("1.3.6.1.4.1.13742.6.5.4.3.1.2.1.N.8"),
        }),
    },
    // EATON-EPDU-MIB of a unit that is not daisy-chained (strapping index 0): outletControlStatus,
    // outletControlOnCmd and outletControlOffCmd (seconds until it happens), outletWatts, outletWh.
    Row {
        name: "eaton-epdu",
        status: "1.3.6.1.4.1.534.6.6.7.6.6.1.2.0.N",
        states_on: &[1],
        states_off: &[0],
        on: ("1.3.6.1.4.1.534.6.6.7.6.6.1.4.0.N", 0),
        off: ("1.3.6.1.4.1.534.6.6.7.6.6.1.3.0.N", 0),
        watts: plain("1.3.6.1.4.1.534.6.6.7.6.5.1.3.0.N", 1.0),
        joules: plain("1.3.6.1.4.1.534.6.6.7.6.5.1.4.0.N", WATT_HOUR),
    },
    // Sentry3-MIB of the first tower and infeed: outletStatus, outletControlAction, outletPower,
    // outletEnergy.
    Row {
        name: "servertech-sentry3",
        status: "1.3.6.1.4.1.1718.3.2.3.1.5.1.1.N",
        states_on: &[1],
        states_off: &[0],
        on: ("1.3.6.1.4.1.1718.3.2.3.1.11.1.1.N", 1),
        off: ("1.3.6.1.4.1.1718.3.2.3.1.11.1.1.N", 2),
        watts: plain("1.3.6.1.4.1.1718.3.2.3.1.14.1.1.N", 1.0),
        joules: plain("1.3.6.1.4.1.1718.3.2.3.1.18.1.1.N", WATT_HOUR),
    },
    // CPS-MIB: ePDUOutletStatusOutletState, ePDUOutletControlOutletCommand,
    // ePDUOutletStatusActivePower, ePDUOutletStatusEnergy.
    Row {
        name: "cyberpower-epdu",
        status: "1.3.6.1.4.1.3808.1.1.3.3.5.1.1.4.N",
        states_on: &[1],
        states_off: &[2],
        on: ("1.3.6.1.4.1.3808.1.1.3.3.3.1.1.4.N", 1),
        off: ("1.3.6.1.4.1.3808.1.1.3.3.3.1.1.4.N", 2),
        watts: plain("1.3.6.1.4.1.3808.1.1.3.3.5.1.1.8.N", 1.0),
        joules: plain("1.3.6.1.4.1.3808.1.1.3.3.5.1.1.13.N", TENTH_KILOWATT_HOUR),
    },
];

impl Row {
    pub(super) fn model(&self) -> Result<Model, InvalidModel> {
        let order =
            |(oid, value): (&str, i32)| OutletOid::parse(oid).map(|oid| Order { oid, value });
        let gauge = |meter: &Option<Meter>| meter.as_ref().map(Meter::gauge).transpose();
        Ok(Model {
            status: OutletOid::parse(self.status)?,
            states_on: self.states_on.to_vec(),
            states_off: self.states_off.to_vec(),
            on: order(self.on)?,
            off: order(self.off)?,
            watts: gauge(&self.watts)?,
            joules: gauge(&self.joules)?,
        })
    }
}

impl Meter {
    fn gauge(&self) -> Result<Gauge, InvalidModel> {
        Ok(Gauge {
            oid: OutletOid::parse(self.oid)?,
            unit: self.unit,
            digits: self.digits.map(OutletOid::parse).transpose()?,
            available: self.available.map(OutletOid::parse).transpose()?,
        })
    }
}
