//! The system's power meter: in which of three places a service has it depends on its age.

use crate::Error;
use crate::client::Client;
use crate::document::{Document, is_same, link, links, name, number, text};
use serde_json::Value;
use std::time::Duration;
use tokio::time::Instant;

/// Most chassis of a system that are looked at.
const CHASSIS_MAX: usize = 8;
/// Most sensors that are read to find the one of the whole system.
const SENSORS_MAX: usize = 24;
/// Largest reading that is believed, in watts: a rack.
const WATTS_MAX: f64 = 1e6;
/// A meter without a reading is read on, but after this time the others are looked at again.
const SILENT: Duration = Duration::from_secs(60);
/// Where there was no meter, none is looked for again before this time.
const ABSENT: Duration = Duration::from_secs(600);

/// What a meter showed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PowerReading {
    /// Input power of the whole system, in watts.
    pub watts: f64,
    /// Where that stood.
    pub meter: Meter,
}

/// Where a service has the system's power, the preferred first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meter {
    /// `PowerWatts` in the chassis' EnvironmentMetrics.
    EnvironmentMetrics,
    /// A Sensor of the chassis, for the power of the whole.
    Sensor,
    /// `PowerConsumedWatts` in the chassis' Power, deprecated since 2020 and still the commonest.
    PowerControl,
}

/// A property that shows the power.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Source {
    meter: Meter,
    path: String,
    /// JSON pointer.
    pointer: String,
}

/// Where power is read, and when that is to be looked at again.
#[derive(Debug, Clone)]
pub(crate) struct Chosen {
    source: Option<Source>,
    again_at: Option<Instant>,
}

impl Source {
    fn new(meter: Meter, path: &str, pointer: impl Into<String>) -> Self {
        Self { meter, path: path.to_owned(), pointer: pointer.into() }
    }

    fn read(&self, value: &Value) -> Option<PowerReading> {
        let watts = number(value, &self.pointer)?;
        let is_likely = (0.0..=WATTS_MAX).contains(&watts);
        is_likely.then_some(PowerReading { watts, meter: self.meter })
    }
}

impl Client {
    /// The system's power; `None`: it has no meter, or the meter has no reading now.
    ///
    /// The first call looks for the meter, which may take some seconds; later ones read it.
    ///
    /// # Errors
    /// Every kind.
    pub async fn power_reading(&self) -> Result<Option<PowerReading>, Error> {
        self.within("its power meter", async {
            let mut chosen = self.meter.lock().await;
            if let Some(known) = chosen.as_ref()
                && known.again_at.is_none_or(|again_at| Instant::now() < again_at)
            {
                let Some(source) = &known.source else { return Ok(None) };
                if let Some(document) = self.get_if_there(&source.path).await? {
                    return Ok(source.read(&document.value));
                }
            }
            *chosen = None;
            let (source, reading) = self.find_meter().await?;
            let wait = match (&source, &reading) {
                (_, Some(_)) => None,
                (Some(_), None) => Some(SILENT),
                (None, None) => Some(ABSENT),
            };
            *chosen = Some(Chosen { source, again_at: wait.map(|wait| Instant::now() + wait) });
            Ok(reading)
        })
        .await
    }

    /// The first meter that shows something, or else the first that there is.
    async fn find_meter(&self) -> Result<(Option<Source>, Option<PowerReading>), Error> {
        let chassis = self.own_chassis().await?;
        let mut silent = None;
        for meter in [Meter::EnvironmentMetrics, Meter::Sensor, Meter::PowerControl] {
            for chassis in &chassis {
                let Some((source, document)) = self.meter_of(meter, chassis).await? else {
                    continue;
                };
                match source.read(&document.value) {
                    Some(reading) => return Ok((Some(source), Some(reading))),
                    None => silent = silent.or(Some(source)),
                }
            }
        }
        Ok((silent, None))
    }

    /// The chassis that hold this system and no other: the meter of a shared one shows too much.
    pub(crate) async fn own_chassis(&self) -> Result<Vec<Document>, Error> {
        let place = self.place().await?;
        let mut found = Vec::new();
        for path in place.chassis.iter().take(CHASSIS_MAX) {
            let Some(chassis) = self.get_if_there(path).await? else { continue };
            let systems = links(&chassis.value, "/Links/ComputerSystems");
            if systems.iter().all(|system| is_same(system, &place.system)) {
                found.push(chassis);
            }
        }
        Ok(found)
    }

    async fn meter_of(
        &self,
        meter: Meter,
        chassis: &Document,
    ) -> Result<Option<(Source, Document)>, Error> {
        let property = match meter {
            Meter::EnvironmentMetrics => "/EnvironmentMetrics",
            Meter::Sensor => "/Sensors",
            Meter::PowerControl => "/Power",
        };
        let Some(path) = link(&chassis.value, property) else { return Ok(None) };
        if meter == Meter::Sensor {
            return self.power_sensor(&path).await;
        }
        let Some(document) = self.get_if_there(&path).await? else { return Ok(None) };
        let pointer = match meter {
            Meter::EnvironmentMetrics => {
                document.value.pointer("/PowerWatts").map(|_| "/PowerWatts/Reading".to_owned())
            }
            Meter::Sensor | Meter::PowerControl => {
                let own = [self.place().await?.system.as_str(), chassis.path.as_str()];
                whole_control(&document.value, &own)
            }
        };
        Ok(pointer.map(|pointer| (Source::new(meter, &path, pointer), document)))
    }

    /// The sensor of the whole chassis' power. Only those are read whose names may be of power.
    async fn power_sensor(&self, path: &str) -> Result<Option<(Source, Document)>, Error> {
        let members = match self.get_if_there(path).await? {
            Some(_) => self.members(path).await?,
            None => return Ok(None),
        };
        let paths = members.iter().filter_map(|member| link(member, ""));
        let of_power = paths.filter(|path| name(path).to_ascii_lowercase().contains("power"));
        for path in of_power.take(SENSORS_MAX) {
            let Some(document) = self.get_if_there(&path).await? else { continue };
            if is_of_the_whole(&document.value) {
                return Ok(Some((Source::new(Meter::Sensor, &path, "/Reading"), document)));
            }
        }
        Ok(None)
    }
}

/// Whether a Sensor shows the input power of the whole, and not that of a part.
fn is_of_the_whole(sensor: &Value) -> bool {
    let is_power = text(sensor, "/ReadingType") == Some("Power")
        && text(sensor, "/ReadingUnits").is_none_or(|unit| unit == "W");
    let is_total = |pointer| {
        text(sensor, pointer).is_some_and(|text| text.to_ascii_lowercase().contains("total"))
    };
    // A part says which: `CPU`, `Memory`, `PowerSupply`.
    let is_part = text(sensor, "/PhysicalContext")
        .is_some_and(|part| !matches!(part, "Chassis" | "SystemBoard" | "Intake"));
    is_power && !is_part && (is_total("/Id") || is_total("/Name"))
}

/// The entry of PowerControl that is of the whole: the one that says so, or else the first, as
/// services list the parts after it.
fn whole_control(power: &Value, own: &[&str]) -> Option<String> {
    let controls = power.pointer("/PowerControl")?.as_array()?;
    let says_so = |control: &Value| {
        let related = links(control, "/RelatedItem");
        related.iter().any(|path| own.iter().any(|own| is_same(path, own)))
    };
    let index = controls.iter().position(says_so).unwrap_or(0);
    controls.get(index)?.pointer("/PowerConsumedWatts")?;
    Some(format!("/PowerControl/{index}/PowerConsumedWatts"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_part_is_not_taken_for_the_whole() {
        let sensor = |id: &str, context: Value| json!({"Id": id, "ReadingType": "Power", "ReadingUnits": "W", "PhysicalContext": context});
        assert!(is_of_the_whole(&sensor("power_total_power", Value::Null)));
        assert!(is_of_the_whole(&sensor("TotalPower", json!("Chassis"))));
        assert!(!is_of_the_whole(&sensor("CPU1Power", Value::Null)));
        assert!(!is_of_the_whole(&sensor("CPU_Total_Power", json!("CPU"))));
        assert!(!is_of_the_whole(&json!({"Id": "TotalEnergy", "ReadingType": "EnergykWh"})));
    }

    #[test]
    fn of_several_controls_the_one_of_the_system_is_read() {
        let related = json!([{"@odata.id": "/redfish/v1/Systems/1/"}]);
        let power = json!({"PowerControl": [
            {"Name": "CPU", "PowerConsumedWatts": 80},
            {"Name": "Server", "PowerConsumedWatts": null, "RelatedItem": related}]});
        let own = ["/redfish/v1/Systems/1"];
        let found = whole_control(&power, &own);
        assert_eq!(found.as_deref(), Some("/PowerControl/1/PowerConsumedWatts"));
        let first = whole_control(&power, &["/redfish/v1/Systems/2"]);
        assert_eq!(first.as_deref(), Some("/PowerControl/0/PowerConsumedWatts"));
        for power in [json!({}), json!({"PowerControl": []}), json!({"PowerControl": [{}]})] {
            assert_eq!(whole_control(&power, &own), None);
        }
    }

    #[test]
    fn unlikely_readings_are_none() {
        let source = Source::new(Meter::EnvironmentMetrics, "/x", "/W");
        for (value, is_read) in
            [(json!(0), true), (json!(374.5), true), (json!(-1), false), (json!(4e9), false)]
        {
            assert_eq!(source.read(&json!({"W": value})).is_some(), is_read, "{value}");
        }
    }
}
