//! Axes: from a quantity to pixels, and the round numbers that are written at them.

/// One round number of an axis.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tick {
    pub(super) value: f64,
    pub(super) label: String,
}

/// A unit to draw a quantity in.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Unit {
    /// So many of what is stored are one.
    pub(super) size: f64,
    /// As it stands at the axis.
    pub(super) name: &'static str,
}

const SECONDS: f64 = 1e9;
const MINUTES_FROM: f64 = 20.0 * 60.0 * SECONDS;
const HOURS_FROM: f64 = 5.0 * 3_600.0 * SECONDS;
const WATT_HOUR: f64 = 3.6e6;

/// For a span of nanoseconds.
pub(super) fn time_unit(nanoseconds: f64) -> Unit {
    match nanoseconds {
        span if span >= HOURS_FROM => Unit { size: 3_600.0 * SECONDS, name: "hours" },
        span if span >= MINUTES_FROM => Unit { size: 60.0 * SECONDS, name: "minutes" },
        _ => Unit { size: SECONDS, name: "seconds" },
    }
}

/// For an energy in millijoules.
pub(super) fn energy_unit(millijoules: f64) -> Unit {
    match millijoules {
        most if most >= 1_000.0 * WATT_HOUR => Unit { size: 1_000.0 * WATT_HOUR, name: "kWh" },
        most if most >= WATT_HOUR => Unit { size: WATT_HOUR, name: "Wh" },
        _ => Unit { size: 1_000.0, name: "J" },
    }
}

/// Multiples of 1, 2 or 5 times a power of ten, from 0 to the first that is not below `most`: about
/// `count` of them. Nothing at all is drawn on a scale to 1.
pub(super) fn ticks(most: f64, count: f64) -> Vec<Tick> {
    let most = if most.is_finite() && most > 0.0 { most } else { 1.0 };
    let steps = (-6_i32..=15).flat_map(|power| [1.0, 2.0, 5.0].map(|digit| (digit, power)));
    let fits = |&(digit, power): &(f64, i32)| times_ten_to(digit, power) * count >= most;
    let (digit, power) = steps.into_iter().find(fits).unwrap_or((5.0, 15));
    let decimals = usize::try_from(-power).unwrap_or(0);
    let mut ticks: Vec<Tick> = Vec::new();
    let mut times = 0.0;
    while ticks.last().is_none_or(|last| last.value < most) && times <= count + 1.0 {
        let value = times_ten_to(times * digit, power);
        ticks.push(Tick { value, label: format!("{value:.decimals$}") });
        times += 1.0;
    }
    ticks
}

/// Divided by a whole number where the power is negative: a tenth has no exact value.
fn times_ten_to(value: f64, power: i32) -> f64 {
    if power < 0 { value / 10_f64.powi(-power) } else { value * 10_f64.powi(power) }
}

/// A straight way from values to pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Scale {
    /// The pixel of 0.
    pub(super) zero: f64,
    /// The pixel of `most`.
    pub(super) end: f64,
    /// Above zero.
    pub(super) most: f64,
}

impl Scale {
    /// What is off the scale is drawn at its end.
    pub(super) fn pixel(&self, value: f64) -> f64 {
        self.zero + (self.end - self.zero) * (value / self.most).clamp(0.0, 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(most: f64, count: f64) -> Vec<String> {
        ticks(most, count).into_iter().map(|tick| tick.label).collect()
    }

    #[test]
    fn ticks_are_ones_twos_and_fives() {
        assert_eq!(labels(100.0, 5.0), ["0", "20", "40", "60", "80", "100"]);
        assert_eq!(labels(101.0, 5.0), ["0", "50", "100", "150"]);
        assert_eq!(labels(4.4, 5.0), ["0", "1", "2", "3", "4", "5"]);
        assert_eq!(labels(0.3, 3.0), ["0.0", "0.1", "0.2", "0.3"]);
        assert_eq!(labels(0.07, 4.0), ["0.00", "0.02", "0.04", "0.06", "0.08"]);
        assert_eq!(labels(290.0, 10.0).len(), 7);
        assert_eq!(labels(1.5e9, 2.0), ["0", "1000000000", "2000000000"]);
    }

    #[test]
    fn a_scale_of_nothing_goes_to_one() {
        for most in [0.0, -3.0, f64::NAN, f64::INFINITY] {
            assert_eq!(labels(most, 2.0), ["0.0", "0.5", "1.0"], "{most}");
        }
    }

    #[test]
    fn units_fit_the_size() {
        let names = [1.0, 1_199.0, 1_200.0, 17_999.0, 18_000.0, 1e6];
        let names = names.map(|seconds| time_unit(seconds * 1e9).name);
        assert_eq!(names, ["seconds", "seconds", "minutes", "minutes", "hours", "hours"]);
        let names = [0.0, 3.5e6, 3.6e6, 3.5e9, 3.6e9].map(|energy| energy_unit(energy).name);
        assert_eq!(names, ["J", "J", "Wh", "Wh", "kWh"]);
    }

    #[test]
    fn pixels_stay_on_the_scale() {
        let scale = Scale { zero: 200.0, end: 100.0, most: 50.0 };
        let pixels = [0.0, 25.0, 50.0, 60.0, -1.0].map(|value| scale.pixel(value));
        assert_eq!(pixels, [200.0, 150.0, 100.0, 100.0, 200.0]);
    }
}
