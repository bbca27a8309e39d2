//! The frame of one node's panel: where time, power and energy go, its axes and their words.

use super::scale::{Scale, Tick, Unit, energy_unit, ticks, time_unit};
use super::svg::{Anchor, Svg};
use super::{LEFT, RECORD_END, RIGHT};
use protocol::energy::Stage;

/// Values between two lines of a grid, about.
const ROWS: f64 = 5.0;
const COLUMNS: f64 = 10.0;

/// What all panels of a picture have in common, so that they can be compared.
#[derive(Debug)]
pub(super) struct Axes {
    /// Nanoseconds since 1970 at the left edge.
    pub(super) origin: i64,
    /// Nanoseconds from there to the right edge.
    span: f64,
    time: (Unit, Vec<Tick>),
    /// What begins at the left edge.
    since: &'static str,
    watts: Vec<Tick>,
    /// `None`: no energy is known.
    energy: Option<(Unit, Vec<Tick>)>,
}

impl Axes {
    /// From a begin to an end, to that much power, and that much energy if any is known.
    pub(super) fn new(
        (origin, end): (i64, i64),
        first: Option<Stage>,
        most_milliwatts: i64,
        most_millijoules: Option<f64>,
    ) -> Self {
        let span = (end.saturating_sub(origin) as f64).max(1e9);
        let unit = time_unit(span);
        let energy = most_millijoules.map(|most| {
            let unit = energy_unit(most);
            (unit, ticks(most / unit.size, ROWS))
        });
        Self {
            origin,
            span,
            time: (unit, ticks(span / unit.size, COLUMNS)),
            since: if first == Some(Stage::TakeOver) { "the take-over" } else { "power-on" },
            watts: ticks(most_milliwatts as f64 / 1e3, ROWS),
            energy,
        }
    }
}

/// The plot of one panel in pixels.
#[derive(Debug)]
pub(super) struct Frame<'a> {
    axes: &'a Axes,
    /// Pixels.
    pub(super) top: f64,
    pub(super) bottom: f64,
}

impl<'a> Frame<'a> {
    pub(super) fn new(axes: &'a Axes, top: f64, height: f64) -> Self {
        Self { axes, top, bottom: top + height }
    }

    /// The pixel of a moment.
    pub(super) fn x(&self, unix_ns: i64) -> f64 {
        let scale = Scale { zero: LEFT, end: RECORD_END, most: self.axes.span };
        scale.pixel(unix_ns.saturating_sub(self.axes.origin) as f64)
    }

    /// The pixel of a power.
    pub(super) fn watts(&self, milliwatts: i64) -> f64 {
        self.upwards(&self.axes.watts).pixel(milliwatts as f64 / 1e3)
    }

    /// The pixel of an energy; `None`: there is no axis for it.
    pub(super) fn energy(&self, millijoules: f64) -> Option<f64> {
        let (unit, ticks) = self.axes.energy.as_ref()?;
        Some(self.upwards(ticks).pixel(millijoules / unit.size))
    }

    fn upwards(&self, ticks: &[Tick]) -> Scale {
        let most = ticks.last().map_or(1.0, |tick| tick.value);
        Scale { zero: self.bottom, end: self.top, most }
    }

    /// Lines across the plot, below the curves.
    pub(super) fn grid(&self, svg: &mut Svg) {
        let scale = self.upwards(&self.axes.watts);
        for tick in self.axes.watts.iter().skip(1) {
            let y = scale.pixel(tick.value);
            svg.line("grid", (LEFT, y), (RIGHT, y));
        }
    }

    /// The axes with their numbers, units and words.
    pub(super) fn axes(&self, svg: &mut Svg) {
        let middle = f64::midpoint(self.top, self.bottom);
        let scale = self.upwards(&self.axes.watts);
        for tick in &self.axes.watts {
            let y = scale.pixel(tick.value);
            svg.line("axis", (LEFT - 4.0, y), (LEFT, y));
            svg.text(LEFT - 7.0, y + 4.0, Anchor::End, "", &tick.label);
        }
        svg.upwards(14.0, middle, "", "power in W");
        if let Some((unit, ticks)) = &self.axes.energy {
            let scale = self.upwards(ticks);
            for tick in ticks {
                let y = scale.pixel(tick.value);
                svg.line("axis", (RIGHT, y), (RIGHT + 4.0, y));
                svg.text(RIGHT + 7.0, y + 4.0, Anchor::Start, "blue", &tick.label);
            }
            let words = format!("energy so far in {}", unit.name);
            svg.upwards(RIGHT + 64.0, middle, "blue", &words);
        }
        let (unit, ticks) = &self.axes.time;
        let scale = Scale { zero: LEFT, end: RECORD_END, most: self.axes.span / unit.size };
        for tick in ticks.iter().filter(|tick| tick.value <= scale.most) {
            let x = scale.pixel(tick.value);
            svg.line("axis", (x, self.bottom), (x, self.bottom + 4.0));
            svg.text(x, self.bottom + 16.0, Anchor::Middle, "", &tick.label);
        }
        let words = format!("{} since {}", unit.name, self.axes.since);
        let y = self.bottom + 31.0;
        svg.text(f64::midpoint(LEFT, RIGHT), y, Anchor::Middle, "", &words);
        let corners = [(LEFT, self.top), (LEFT, self.bottom), (RIGHT, self.bottom)];
        let corners = corners.into_iter().chain([(RIGHT, self.top)]);
        svg.path("axis", &super::svg::polyline(corners));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    #[test]
    fn moments_powers_and_energies_go_to_their_pixels() {
        let axes = Axes::new((100 * SECOND, 200 * SECOND), None, 180_000, Some(7.2e6));
        let frame = Frame::new(&axes, 50.0, 200.0);
        assert_eq!((frame.x(100 * SECOND), frame.x(200 * SECOND)), (LEFT, RECORD_END));
        assert_eq!(frame.x(150 * SECOND), f64::midpoint(LEFT, RECORD_END));
        assert_eq!(frame.x(0), LEFT, "what lies before it stays in the frame");
        // The scales go to 200 W and 2 Wh.
        assert_eq!([0, 50_000, 200_000].map(|power| frame.watts(power)), [250.0, 200.0, 50.0]);
        assert_eq!(frame.energy(3.6e6), Some(150.0));
        let unknown = Axes::new((0, 0), None, 0, None);
        let frame = Frame::new(&unknown, 50.0, 200.0);
        assert_eq!((frame.energy(1.0), frame.x(SECOND), frame.watts(0)), (None, RECORD_END, 250.0));
    }
}
