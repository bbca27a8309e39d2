//! A job's power over time as an SVG picture. A pure function of the energy record and the readings:
//! it asks nobody, and writes nothing.

mod bands;
mod curves;
mod frame;
mod gaps;
mod panel;
mod scale;
mod svg;
#[cfg(test)]
pub(crate) mod tests;
mod words;

use frame::Axes;
use protocol::energy::{JobEnergy, NodeEnergy, Stage};
use protocol::power_series::{JobPower, NodePower};
use svg::{Anchor, Svg, escape};

/// Most nodes that get a panel.
const PANELS_MAX: usize = 8;

const WIDTH: f64 = 960.0;
/// Left and right edge of the plots.
const LEFT: f64 = 62.0;
const RIGHT: f64 = 880.0;
/// Where the latest record ends: the bar at the end of its energy is not to lie on the axis.
const RECORD_END: f64 = RIGHT - 12.0;
/// Where words begin.
const MARGIN: f64 = 14.0;
const LINE: f64 = 15.0;

/// Of the energy, its axis and its words.
const ENERGY_COLOUR: &str = "#0072b2";

/// Shapes and words of the same kind look the same. Black and one blue only: bands carry the colours.
const STYLE: &str = "<style>\
text{font:11px sans-serif;fill:#000}\
.title{font-size:17px;font-weight:bold}.node{font-size:12px;font-weight:bold}\
.number{font-size:10px;font-weight:bold}.blue{fill:BLUE}\
.number,.over{paint-order:stroke;stroke:#fff;stroke-width:4px;stroke-linejoin:round}\
path{fill:none;stroke:#000}.grid{stroke-opacity:.15}.edge{stroke:#555;stroke-width:.7}\
.lead{stroke:#555;stroke-width:.7}.axis{stroke-width:1}.mark{stroke-width:1.6}\
.power{stroke-width:1.4;stroke-linejoin:round;stroke-linecap:round}\
.bridge{stroke-dasharray:2 3}.range{fill:#000;fill-opacity:.3;stroke-opacity:.5;stroke-linejoin:bevel}\
.energy{stroke:BLUE;stroke-width:2;stroke-dasharray:8 3}.sure{stroke:BLUE;stroke-width:2}\
</style>";

/// Hatching: one direction where the record estimates, two where nothing is known.
const PATTERNS: &str = "<defs>\
<pattern id=\"bridged\" width=\"7\" height=\"7\" patternUnits=\"userSpaceOnUse\">\
<path d=\"M0 0h7v7h-7z\" style=\"fill:#fff;stroke:none\"/>\
<path d=\"M-1 1l2 -2M0 7l7 -7M6 8l2 -2\" style=\"stroke:#777\"/></pattern>\
<pattern id=\"missing\" width=\"7\" height=\"7\" patternUnits=\"userSpaceOnUse\">\
<path d=\"M0 0h7v7h-7z\" style=\"fill:#fff;stroke:none\"/>\
<path d=\"M0 7l7 -7M0 0l7 7\" style=\"stroke:#777\"/></pattern></defs>";

/// A node and its readings.
struct Shown<'a> {
    energy: &'a NodeEnergy,
    power: Option<&'a NodePower>,
}

/// Draws one try of a job.
pub(crate) fn render(job: &JobEnergy, power: &JobPower) -> String {
    let shown = job.nodes.iter().take(PANELS_MAX).map(|energy| {
        let power = power.nodes.iter().find(|power| power.node == energy.node);
        Shown { energy, power }
    });
    let shown: Vec<Shown> = shown.collect();
    let axes = axes(&shown);
    let title = format!("Power of job {}, try {}", job.reference, u64::from(job.restart_count) + 1);
    let mut body = Svg::default();
    body.text(MARGIN, 26.0, Anchor::Start, "title", &title);
    let mut y = 32.0;
    for line in words::head(job, &shown) {
        y += LINE;
        body.text(MARGIN, y, Anchor::Start, "", &line);
    }
    let mut drawn = panel::Drawn::default();
    for one in &shown {
        y = panel::draw(&mut body, &axes, one, y + 12.0, &mut drawn);
    }
    y += 8.0;
    for line in words::caption(job, &drawn) {
        y += LINE;
        body.text(MARGIN, y, Anchor::Start, "", &line);
    }
    let (width, height) = (svg::number(WIDTH), svg::number((y + 14.0).ceil()));
    let mut picture = Svg::default();
    picture.raw(&format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" role=\"img\" aria-labelledby=\"title desc\">"
    ));
    picture.raw(&format!("<title id=\"title\">{}</title>", escape(&title)));
    picture.raw(&format!("<desc id=\"desc\">{}</desc>", escape(&words::description(job))));
    picture.raw(&STYLE.replace("BLUE", ENERGY_COLOUR));
    picture.raw(PATTERNS);
    // Pages may be dark.
    picture.rect((0.0, 0.0), (WIDTH, (y + 14.0).ceil()), "#fff", "");
    picture.raw(body.finish().trim_end());
    picture.raw("</svg>");
    picture.finish()
}

/// All panels have the same: what is higher in one is more.
fn axes(shown: &[Shown]) -> Axes {
    let stages = || shown.iter().flat_map(|one| &one.energy.stages);
    let first = stages().min_by_key(|stage| stage.from_unix_ns);
    let from = first.map_or(0, |first| first.from_unix_ns);
    let ends = stages().map(|stage| stage.from_unix_ns.saturating_add(stage.duration_ns));
    let points = shown.iter().filter_map(|one| one.power).flat_map(|power| &power.points);
    let milliwatts = points.map(|point| point.most_milliwatts).max().unwrap_or(0);
    let energies = shown.iter().filter_map(|one| {
        let own = one.energy.stages.iter().take_while(|stage| stage.stage != Stage::Idle);
        let known = own.map_while(|stage| stage.energy_millijoules.map(|energy| energy as f64));
        let known: Vec<f64> = known.collect();
        let sure = one.energy.uncertainty.map_or(0, |sure| sure.millijoules);
        (!known.is_empty()).then(|| known.iter().sum::<f64>() + sure as f64)
    });
    let energy = energies.reduce(f64::max);
    Axes::new((from, ends.max().unwrap_or(from)), first.map(|one| one.stage), milliwatts, energy)
}

/// About as wide as the words are in pixels. Wide, as nobody knows the font: a name that does not fit
/// goes to the list.
fn text_width(words: &str) -> f64 {
    const PIXELS_A_LETTER: f64 = 6.6;
    words.chars().map(|_| PIXELS_A_LETTER).sum()
}
