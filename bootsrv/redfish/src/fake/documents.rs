//! The documents of the made-up service, by path without the slash at the end.

use super::logs;
use super::shape::{Names, Shape};
use super::state::State;
use crate::document::set;
use serde_json::{Map, Value, json};

const JOULES_PER_KILOWATT_HOUR: f64 = 3.6e6;

/// Makes a document's path and links.
pub(super) struct Paths(pub(super) Names);

impl Paths {
    pub(super) fn link(&self, below: &str) -> Value {
        json!({"@odata.id": format!("/redfish/v1/{below}{}", self.0.slash)})
    }

    pub(super) fn system(&self) -> String {
        format!("Systems/{}", self.0.system)
    }

    pub(super) fn chassis(&self) -> String {
        format!("Chassis/{}", self.0.chassis)
    }

    pub(super) fn manager(&self) -> String {
        format!("Managers/{}", self.0.manager)
    }

    /// Where the logs are.
    pub(super) fn logs(&self) -> String {
        let owner = if self.0.is_log_managers { self.manager() } else { self.system() };
        format!("{owner}/LogServices")
    }

    pub(super) fn collection(&self, members: &[String]) -> Value {
        let links: Vec<Value> = members.iter().map(|member| self.link(member)).collect();
        json!({"Name": "Collection", "Members@odata.count": links.len(), "Members": links})
    }
}

/// The document at a path below `/redfish/v1/`, or `None`. `skip`: of a collection in pages.
pub(super) fn at(state: &mut State, path: &str, skip: usize) -> Option<Value> {
    let paths = Paths(state.shape.names());
    let mut document = if path.is_empty() {
        root(state, &paths)
    } else if path == "Systems" {
        let mut members = vec![paths.system()];
        members.extend((1..state.systems).map(|number| format!("Systems/other{number}")));
        paths.collection(&members)
    } else if path == paths.system() {
        system(state, &paths)
    } else if state.has_settings && path == format!("{}/SD", paths.system()) {
        json!({"Id": "SD", "Name": "Settings", "Boot": boot(state)})
    } else if let Some(other) = path.strip_prefix("Systems/other") {
        json!({"Id": format!("other{other}"), "Name": "other", "PowerState": "Off"})
    } else if path == format!("{}/ResetActionInfo", paths.system()) {
        json!({"Id": "ResetActionInfo", "Name": "Reset Action Info", "Parameters": [
            {"Name": "ResetType", "Required": true, "DataType": "String",
             "AllowableValues": state.shape.reset_types()}]})
    } else if let Some(below) = path.strip_prefix(&paths.chassis()) {
        chassis(state, &paths, below)?
    } else if path == "Chassis" {
        paths.collection(&[paths.chassis()])
    } else if path == "Managers" {
        paths.collection(&[paths.manager()])
    } else if path == paths.manager() {
        manager(&paths)
    } else if let Some(below) = path.strip_prefix(&paths.logs()) {
        logs::at(state, &paths, below, skip)?
    } else {
        services(state, &paths, path)?
    };
    let slash = paths.0.slash;
    set(&mut document, "@odata.id", format!("/redfish/v1/{path}{slash}"));
    Some(document)
}

fn root(state: &State, paths: &Paths) -> Value {
    let mut root = json!({
        "@odata.type": "#ServiceRoot.v1_15_0.ServiceRoot", "Id": "RootService",
        "Name": "Root Service", "RedfishVersion": "1.15.0",
        "Systems": paths.link("Systems"), "Chassis": paths.link("Chassis"),
        "Managers": paths.link("Managers"), "Links": {}});
    if state.has_sessions {
        set(&mut root, "SessionService", paths.link("SessionService"));
        set(&mut root, "Links", json!({"Sessions": paths.link("SessionService/Sessions")}));
    }
    if state.shape != Shape::Hpe {
        set(&mut root, "EventService", paths.link("EventService"));
    }
    root
}

fn system(state: &mut State, paths: &Paths) -> Value {
    let base = paths.system();
    let boot = boot(state);
    let mut reset = Map::new();
    let target = format!("/redfish/v1/{base}/Actions/ComputerSystem.Reset{}", paths.0.slash);
    reset.insert("target".into(), target.into());
    if state.shape == Shape::OpenBmc {
        let info = format!("/redfish/v1/{base}/ResetActionInfo");
        reset.insert("@Redfish.ActionInfo".into(), info.into());
    } else {
        let allowed = state.shape.reset_types().into();
        reset.insert("ResetType@Redfish.AllowableValues".into(), allowed);
    }
    let power = state.shown_power();
    let mut system = json!({"@odata.type": "#ComputerSystem.v1_20_0.ComputerSystem",
        "Id": paths.0.system, "Name": "System", "PowerState": power, "Boot": boot,
        "Links": {"Chassis": [paths.link(&paths.chassis())],
                  "ManagedBy": [paths.link(&paths.manager())]},
        "Actions": {"#ComputerSystem.Reset": reset}});
    if !paths.0.is_log_managers {
        set(&mut system, "LogServices", paths.link(&paths.logs()));
    }
    if state.has_settings {
        let settings = json!({"SettingsObject": paths.link(&format!("{base}/SD"))});
        set(&mut system, "@Redfish.Settings", settings);
    }
    system
}

fn boot(state: &State) -> Value {
    let [enabled, target, mode] = &state.boot;
    let mut boot = json!({"BootSourceOverrideEnabled": enabled, "BootSourceOverrideTarget": target,
        "BootSourceOverrideMode": mode,
        "BootSourceOverrideTarget@Redfish.AllowableValues": ["None", "Pxe", "Hdd", "BiosSetup"]});
    if state.has_fixed_mode {
        set(&mut boot, "BootSourceOverrideMode@Redfish.AllowableValues", json!([mode]));
    }
    boot
}

fn manager(paths: &Paths) -> Value {
    let mut manager = json!({"Id": paths.0.manager, "Name": "Manager", "ManagerType": "BMC"});
    if paths.0.is_log_managers {
        set(&mut manager, "LogServices", paths.link(&paths.logs()));
    }
    manager
}

/// Name, type, unit and reading of the sensors; that of the whole's power is the meter's.
const SENSORS: [(&str, &str, &str, f64); 4] = [
    ("fan0", "Rotational", "RPM", 4200.0),
    ("power_cpu0_power", "Power", "W", 3.0),
    (TOTAL, "Power", "W", 0.0),
    ("temperature_inlet", "Temperature", "Cel", 24.0),
];
const TOTAL: &str = "power_total_power";

fn sensor(id: &str, watts: Option<f64>) -> Option<Value> {
    let (_, kind, unit, reading) = SENSORS.iter().find(|(name, ..)| *name == id)?;
    let reading = if id == TOTAL { watts } else { Some(*reading) };
    Some(json!({"@odata.type": "#Sensor.v1_6_0.Sensor", "Id": id, "Name": id.replace('_', " "),
        "ReadingType": kind, "ReadingUnits": unit, "Reading": reading,
        "Status": {"State": "Enabled", "Health": "OK"}}))
}

/// The chassis and what is below it.
fn chassis(state: &State, paths: &Paths, below: &str) -> Option<Value> {
    let base = paths.chassis();
    let watts = state.watts;
    match (state.shape, below) {
        (shape, "") => {
            let mut systems = vec![paths.link(&paths.system())];
            if state.has_shared_chassis {
                systems.push(paths.link("Systems/other1"));
            }
            let mut chassis = json!({"Id": paths.0.chassis, "Name": "Chassis",
                "Links": {"ComputerSystems": systems,
                          "ManagedBy": [paths.link(&paths.manager())]}});
            let power = match shape {
                Shape::Dmtf => "EnvironmentMetrics",
                Shape::Hpe | Shape::Dell => "Power",
                Shape::OpenBmc => "Sensors",
            };
            set(&mut chassis, power, paths.link(&format!("{base}/{power}")));
            Some(chassis)
        }
        (Shape::Dmtf, "/EnvironmentMetrics") => {
            let kilowatt_hours = state.joules.map(|joules| joules / JOULES_PER_KILOWATT_HOUR);
            Some(json!({"@odata.type": "#EnvironmentMetrics.v1_3_0.EnvironmentMetrics",
                "Id": "EnvironmentMetrics", "Name": "Environment", "PowerWatts": {"Reading": watts},
                "EnergykWh": {"Reading": kilowatt_hours, "LifetimeReading": 100,
                              "SensorResetTime": "2026-11-01T00:00:00Z"}}))
        }
        (Shape::Hpe | Shape::Dell, "/Power") => {
            let control = json!({"MemberId": "0", "Name": "System Power Control",
                "PowerConsumedWatts": watts, "RelatedItem": [paths.link(&paths.system())]});
            let cpu = json!({"MemberId": "1", "Name": "CPU", "PowerConsumedWatts": 3});
            // A part may stand before the whole.
            let controls = if state.shape == Shape::Dell { [cpu, control] } else { [control, cpu] };
            Some(json!({"Id": "Power", "Name": "Power", "PowerControl": controls}))
        }
        (Shape::OpenBmc, "/Sensors") => {
            Some(paths.collection(&SENSORS.map(|(name, ..)| format!("{base}/Sensors/{name}"))))
        }
        (Shape::OpenBmc, _) => sensor(below.strip_prefix("/Sensors/")?, watts),
        _ => None,
    }
}

/// Sessions and events.
fn services(state: &State, paths: &Paths, path: &str) -> Option<Value> {
    let numbers = |below: &str, numbers: Vec<&u64>| {
        paths.collection(
            &numbers.iter().map(|number| format!("{below}/{number}")).collect::<Vec<_>>(),
        )
    };
    let has_events = state.shape != Shape::Hpe;
    match path {
        "SessionService" if state.has_sessions => {
            Some(json!({"Id": "SessionService", "Name": "Sessions", "ServiceEnabled": true,
                "SessionTimeout": 1800, "Sessions": paths.link("SessionService/Sessions")}))
        }
        "SessionService/Sessions" if state.has_sessions => {
            Some(numbers(path, state.sessions.keys().collect()))
        }
        "EventService" if has_events => {
            let mut service = json!({"Id": "EventService", "Name": "Events", "ServiceEnabled": true,
                "Subscriptions": paths.link("EventService/Subscriptions")});
            if state.has_stream {
                let uri = format!("/redfish/v1/{}", state.shape.stream());
                set(&mut service, "ServerSentEventUri", uri);
            }
            let (name, value) = match state.shape {
                Shape::Dell => {
                    ("EventTypesForSubscription", json!(["StatusChange", "ResourceAdded", "Alert"]))
                }
                Shape::Dmtf | Shape::Hpe | Shape::OpenBmc => {
                    ("EventFormatTypes", json!(["Event", "MetricReport"]))
                }
            };
            set(&mut service, name, value);
            Some(service)
        }
        "EventService/Subscriptions" if has_events => {
            Some(numbers(path, state.streams.keys().collect()))
        }
        _ => {
            let number = path.strip_prefix("EventService/Subscriptions/")?.parse().ok()?;
            state.streams.get(&number)?;
            Some(json!({"Id": number.to_string(), "Name": "Subscription", "Protocol": "Redfish",
                "SubscriptionType": "SSE", "EventFormatType": "Event", "Context": "stream"}))
        }
    }
}
