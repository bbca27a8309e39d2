//! The system's energy meter (EnvironmentMetrics, DSP0268; joules since version 1.2).

use crate::Error;
use crate::client::Client;
use crate::document::{link, number, text};
use jiff::Timestamp;
use serde_json::Value;

const JOULES_PER_KILOWATT_HOUR: f64 = 3.6e6;

/// What an energy meter showed. It counts up; a service's restart or an admin may set it back.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EnergyReading {
    /// Joules since `reset_at`.
    pub joules: Option<f64>,
    /// Joules since the meter was made.
    pub lifetime_joules: Option<f64>,
    /// When the meter was last set to 0, by the service's clock.
    pub reset_at: Option<Timestamp>,
}

impl EnergyReading {
    /// Joules where there are some: they are finer.
    fn of(metrics: &Value) -> Option<Self> {
        let properties = [("EnergyJoules", 1.0), ("EnergykWh", JOULES_PER_KILOWATT_HOUR)];
        properties.into_iter().find_map(|(name, joules_per_unit)| {
            let meter = metrics.pointer(&format!("/{name}"))?;
            let joules = |pointer| {
                let units = number(meter, pointer).filter(|units| *units >= 0.0);
                units.map(|units| units * joules_per_unit)
            };
            let reset_at = text(meter, "/SensorResetTime").and_then(|text| text.parse().ok());
            let (joules, lifetime_joules) = (joules("/Reading"), joules("/LifetimeReading"));
            let has_one = joules.is_some() || lifetime_joules.is_some();
            has_one.then_some(Self { joules, lifetime_joules, reset_at })
        })
    }
}

impl Client {
    /// The energy the system has taken; `None`: it has no such meter, or the meter has no reading now.
    ///
    /// # Errors
    /// Every kind.
    pub async fn energy_reading(&self) -> Result<Option<EnergyReading>, Error> {
        self.within("its energy meter", async {
            for path in self.energy_paths().await? {
                let metrics = self.get_if_there(path).await?;
                let reading = metrics.and_then(|metrics| EnergyReading::of(&metrics.value));
                if reading.is_some() {
                    return Ok(reading);
                }
            }
            Ok(None)
        })
        .await
    }

    async fn energy_paths(&self) -> Result<&Vec<String>, Error> {
        let find = async || {
            let chassis = self.own_chassis().await?;
            let linked = chassis.iter().filter_map(|one| link(&one.value, "/EnvironmentMetrics"));
            Ok(linked.collect())
        };
        self.metrics.get_or_try_init(find).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn joules_are_preferred_and_kilowatt_hours_converted() {
        let kwh = json!({"Reading": 0.5, "LifetimeReading": 100,
            "SensorResetTime": "2026-01-02T03:04:05+01:00"});
        let reading = EnergyReading::of(&json!({"EnergykWh": kwh})).unwrap();
        assert_eq!(reading.joules, Some(1.8e6));
        assert_eq!(reading.lifetime_joules, Some(3.6e8));
        assert_eq!(reading.reset_at, Some("2026-01-02T02:04:05Z".parse().unwrap()));
        let both = json!({"EnergykWh": kwh, "EnergyJoules": {"Reading": 1_800_123}});
        let reading = EnergyReading::of(&both).unwrap();
        assert_eq!((reading.joules, reading.lifetime_joules), (Some(1_800_123.0), None));
    }

    #[test]
    fn nothing_is_invented() {
        for metrics in [
            json!({}),
            json!({"EnergykWh": null}),
            json!({"EnergykWh": {"Reading": null}}),
            json!({"EnergyJoules": {"Reading": -5}}),
        ] {
            assert_eq!(EnergyReading::of(&metrics), None, "{metrics}");
        }
        let odd = json!({"EnergyJoules": {"Reading": 5, "SensorResetTime": "yesterday"}});
        assert_eq!(EnergyReading::of(&odd).unwrap().reset_at, None);
    }
}
