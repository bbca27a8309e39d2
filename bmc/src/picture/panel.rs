//! One node: its name, its bands, its curves, and the list of the stages whose names do not fit.

use super::frame::{Axes, Frame};
use super::svg::{Anchor, Svg};
use super::{LEFT, LINE, MARGIN, RECORD_END, RIGHT, Shown, bands, curves, gaps, text_width, words};
use protocol::energy::{NodeEnergy, Stage, StageEnergy};

const HEIGHT: f64 = 190.0;
/// Pixels of the job's stage from which the words at its ends have room inside of it.
const ROOM: f64 = 140.0;

/// What the caption has to explain.
#[derive(Debug, Default)]
pub(super) struct Drawn {
    pub(super) gaps: bool,
    pub(super) reduced: bool,
    pub(super) energy: bool,
}

/// Draws it below that pixel and gives the pixel where it ends.
pub(super) fn draw(svg: &mut Svg, axes: &Axes, shown: &Shown, top: f64, drawn: &mut Drawn) -> f64 {
    let node = shown.energy;
    let power = shown.power.filter(|power| !power.points.is_empty());
    svg.text(MARGIN, top + 14.0, Anchor::Start, "node", &words::node(shown));
    let frame = Frame::new(axes, top + 22.0 + bands::STRIP, HEIGHT);
    let list = bands::draw(svg, &frame, node);
    drawn.gaps |= gaps::draw(svg, &frame, node, shown.power);
    frame.grid(svg);
    let points = power.map_or(&[][..], |power| &power.points);
    let is_reduced = power.is_some_and(|power| power.is_reduced);
    drawn.reduced |= is_reduced;
    curves::power(svg, &frame, &curves::pieces(points, &node.gaps), is_reduced);
    let sums = curves::energy_so_far(node, points);
    drawn.energy |= !sums.is_empty();
    curves::energy(svg, &frame, node, &sums);
    job(svg, &frame, node);
    gaps::words(svg, &frame, node, shown.power);
    if node.stages.is_empty() {
        let (x, y) = (f64::midpoint(LEFT, RIGHT), f64::midpoint(frame.top, frame.bottom));
        svg.text(x, y, Anchor::Middle, "over", "this node was not powered on: nothing is known");
    }
    outside(svg, &frame, node);
    frame.axes(svg);
    let mut y = frame.bottom + 31.0;
    for line in words::wrapped(&list, "  ·  ") {
        y += LINE;
        svg.text(LEFT, y, Anchor::Start, "", &line);
    }
    y
}

/// Says of the time that other nodes' records cover, and this one's does not, why nothing is there.
fn outside(svg: &mut Svg, frame: &Frame, node: &NodeEnergy) {
    let (Some(first), Some(last)) = (node.stages.first(), node.stages.last()) else { return };
    let (from, to) = (frame.x(first.from_unix_ns), frame.x(end_of(last)));
    let y = f64::midpoint(frame.top, frame.bottom) + 4.0;
    for (left, right, text) in
        [(LEFT, from, "before its record"), (to, RECORD_END, "after its record")]
    {
        if text_width(text) <= right - left {
            svg.text(f64::midpoint(left, right), y, Anchor::Middle, "over", text);
        }
    }
}

fn end_of(last: &StageEnergy) -> i64 {
    last.from_unix_ns.saturating_add(last.duration_ns)
}

/// Marks where the job starts and ends.
fn job(svg: &mut Svg, frame: &Frame, node: &NodeEnergy) {
    let Some(index) = node.stages.iter().position(|stage| stage.stage == Stage::Job) else {
        return;
    };
    let Some(stage) = node.stages.get(index) else { return };
    let (left, right) = (frame.x(stage.from_unix_ns), frame.x(end_of(stage)));
    // A record that ends with the job is of a job that runs.
    let has_ended = node.complete || node.stages.len() > index + 1;
    let is_wide = right - left >= ROOM;
    let [start, end] =
        if is_wide { [Anchor::Start, Anchor::End] } else { [Anchor::End, Anchor::Start] };
    let mut mark = |x: f64, anchor: Anchor, text: &str| {
        svg.line("mark", (x, frame.top), (x, frame.bottom));
        let aside = if anchor == Anchor::Start { 5.0 } else { -5.0 };
        svg.text(x + aside, frame.bottom - 7.0, anchor, "over", text);
    };
    mark(left, start, "job starts");
    if has_ended {
        mark(right, end, "job ends");
    }
}
