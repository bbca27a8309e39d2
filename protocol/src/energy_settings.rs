//! `[energy]` of `bootsrv.toml` and of a site file: how far meters may be off, and what a kilowatt-hour stands for.

use crate::energy::{Accuracy, AccuracyBasis, Factors};
use serde::de::{Deserialize, Deserializer, Error};

/// The table. Each number is taken as what is written, and refused with its line where it cannot be.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EnergySettings {
    /// How far they may be off, in per cent of what they show, from a data sheet or a calibration; unset: 5 is
    /// assumed, and every report says so.
    #[serde(rename = "meter_accuracy_percent", deserialize_with = "accuracy")]
    pub accuracy: Accuracy,
    /// What the building takes for each joule of the nodes.
    #[serde(rename = "pue", deserialize_with = "pue")]
    pub pue_thousandths: Option<u32>,
    /// What a kilowatt-hour of the grid emits (location-based), in milligrams.
    #[serde(rename = "carbon_grams_per_kwh", deserialize_with = "carbon")]
    pub carbon_milligrams_per_kwh: Option<u32>,
    /// What a kilowatt-hour costs, in millionths of the currency.
    #[serde(rename = "price_per_kwh", deserialize_with = "price")]
    pub price_millionths_per_kwh: Option<u32>,
    /// Its currency (ISO 4217).
    #[serde(deserialize_with = "currency")]
    pub currency: Option<String>,
}

impl Default for EnergySettings {
    fn default() -> Self {
        Self {
            accuracy: Accuracy::ASSUMED,
            pue_thousandths: None,
            carbon_milligrams_per_kwh: None,
            price_millionths_per_kwh: None,
            currency: None,
        }
    }
}

impl EnergySettings {
    /// What reports multiply energies by.
    #[must_use]
    pub fn factors(&self) -> Factors {
        Factors {
            pue_thousandths: self.pue_thousandths,
            carbon_milligrams_per_kwh: self.carbon_milligrams_per_kwh,
            price_millionths_per_kwh: self.price_millionths_per_kwh,
            currency: self.currency.clone(),
        }
    }

    /// Whether a price has a currency, and a currency a price.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.price_millionths_per_kwh.is_some() == self.currency.is_some()
    }
}

fn accuracy<'de, D: Deserializer<'de>>(source: D) -> Result<Accuracy, D::Error> {
    let percent = f64::deserialize(source)?;
    if !(percent > 0.0 && percent <= 100.0) {
        return Err(Error::custom("must be above 0 and at most 100, in per cent"));
    }
    Ok(Accuracy { parts_per_million: times(percent, 1e4), basis: AccuracyBasis::Stated })
}

fn pue<'de, D: Deserializer<'de>>(source: D) -> Result<Option<u32>, D::Error> {
    let told = "must be from 1 to 10: what the building takes for each joule of the nodes";
    factor(source, 1.0..=10.0, 1e3, told)
}

fn carbon<'de, D: Deserializer<'de>>(source: D) -> Result<Option<u32>, D::Error> {
    factor(source, 0.0..=4_000.0, 1e3, "must be from 0 to 4000 grams a kilowatt-hour")
}

fn price<'de, D: Deserializer<'de>>(source: D) -> Result<Option<u32>, D::Error> {
    factor(source, 0.0..=4_000.0, 1e6, "must be from 0 to 4000 a kilowatt-hour")
}

fn factor<'de, D: Deserializer<'de>>(
    source: D,
    range: std::ops::RangeInclusive<f64>,
    scale: f64,
    told: &str,
) -> Result<Option<u32>, D::Error> {
    let number = f64::deserialize(source)?;
    if !range.contains(&number) {
        return Err(Error::custom(told));
    }
    Ok(Some(times(number, scale)))
}

fn currency<'de, D: Deserializer<'de>>(source: D) -> Result<Option<String>, D::Error> {
    let code = String::deserialize(source)?;
    if code.len() != 3 || !code.bytes().all(|letter| letter.is_ascii_uppercase()) {
        return Err(Error::custom("must be three capital letters, for example \"EUR\""));
    }
    Ok(Some(code))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the ranges above keep the product below 4 294 967 295"
)]
fn times(number: f64, scale: f64) -> u32 {
    (number * scale).round() as u32
}
