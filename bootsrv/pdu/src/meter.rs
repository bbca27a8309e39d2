//! Power and energy of outlets, where a unit measures them.

use crate::error::PduError;
use crate::model::{Gauge, Model};
use crate::session::Session;

/// Most decimal digits a unit may claim for a reading.
const DIGITS_MAX: i64 = 9;
/// TruthValue true (RFC 2579).
const TRUE: i64 = 1;

/// What the outlets' meters show together.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Reading {
    /// Power in watts; `None`: an outlet has no such meter, or its meter has no reading now.
    pub watts: Option<f64>,
    /// Energy in joules since somebody set the counters to zero; `None` likewise. Most units count
    /// in steps of 360,000 J.
    pub joules: Option<f64>,
}

impl Reading {
    /// Of nothing.
    pub(crate) const ZERO: Self = Self { watts: Some(0.0), joules: Some(0.0) };

    /// Both together: unknown where one is.
    pub(crate) fn plus(self, other: Self) -> Self {
        let sum = |a: Option<f64>, b: Option<f64>| Some(a? + b?);
        Self { watts: sum(self.watts, other.watts), joules: sum(self.joules, other.joules) }
    }
}

/// Reads one outlet's meters.
pub(crate) async fn read(
    session: &Session<'_>,
    model: &Model,
    outlet: u32,
) -> Result<Reading, PduError> {
    Ok(Reading {
        watts: gauge(session, model.watts.as_ref(), outlet).await?,
        joules: gauge(session, model.joules.as_ref(), outlet).await?,
    })
}

async fn gauge(
    session: &Session<'_>,
    gauge: Option<&Gauge>,
    outlet: u32,
) -> Result<Option<f64>, PduError> {
    let Some(gauge) = gauge else { return Ok(None) };
    if let Some(available) = &gauge.available
        && session.read(&available.at(outlet)).await? != Some(TRUE)
    {
        return Ok(None);
    }
    let digits = match &gauge.digits {
        None => Some(0),
        Some(digits) => session.read(&digits.at(outlet)).await?,
    };
    let Some(value) = session.read(&gauge.oid.at(outlet)).await? else { return Ok(None) };
    Ok(digits.and_then(|digits| scaled(value, digits, gauge.unit)))
}

/// Negative values mean "no reading" in every MIB of the table.
fn scaled(value: i64, digits: i64, unit: f64) -> Option<f64> {
    let value = u32::try_from(value).ok()?;
    let digits = i32::try_from(digits).ok().filter(|_| (0..=DIGITS_MAX).contains(&digits))?;
    Some(f64::from(value) / 10_f64.powi(digits) * unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readings_are_scaled() {
        assert_eq!(scaled(215, 0, 1.0), Some(215.0));
        assert_eq!(scaled(2153, 1, 1.0), Some(215.3));
        assert_eq!(scaled(7, 0, 360_000.0), Some(2_520_000.0));
        assert_eq!(scaled(i64::from(u32::MAX), 0, 3600.0), Some(f64::from(u32::MAX) * 3600.0));
        for (value, digits) in [(-1, 0), (1, -1), (1, 10), (i64::MAX, 0)] {
            assert_eq!(scaled(value, digits, 1.0), None, "{value} {digits}");
        }
    }

    #[test]
    fn unknown_plus_something_is_unknown() {
        let one = Reading { watts: Some(100.0), joules: None };
        let both = Reading { watts: Some(20.0), joules: Some(5.0) };
        let sum = Reading::ZERO.plus(one).plus(both);
        assert_eq!(sum, Reading { watts: Some(120.0), joules: None });
    }
}
