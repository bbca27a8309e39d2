//! Where nothing was read, or what was read is gone: hatched, with the word, and never drawn as 0.

use super::curves::end;
use super::frame::Frame;
use super::svg::{Anchor, Svg};
use super::text_width;
use crate::table::seconds;
use protocol::energy::NodeEnergy;
use protocol::power_series::NodePower;

/// A span without readings.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Hole {
    from: i64,
    to: i64,
    /// What the hatching is filled with.
    fill: &'static str,
    /// In it, if there is room.
    words: &'static str,
}

/// Lines in one direction: the energy is estimated.
const BRIDGED: &str = "url(#bridged)";
/// Lines in two: nothing is known.
const MISSING: &str = "url(#missing)";
const HEIGHT_OF_A_LINE: f64 = 13.0;

fn holes(node: &NodeEnergy, power: Option<&NodePower>) -> Vec<Hole> {
    let mut holes: Vec<Hole> = node
        .gaps
        .iter()
        .map(|gap| {
            let (fill, words) = if gap.bridged {
                (BRIDGED, "no reading: estimated")
            } else if node.source.is_none() {
                (MISSING, "no reading ever came: unknown")
            } else {
                (MISSING, "no reading: unknown")
            };
            Hole { from: gap.from_unix_ns, to: end(gap), fill, words }
        })
        .collect();
    let (Some(first), Some(last)) = (node.stages.first(), node.stages.last()) else { return holes };
    let (from, until) = (first.from_unix_ns, last.from_unix_ns.saturating_add(last.duration_ns));
    let gone = power.and_then(|power| power.gone_until_unix_ns);
    let has_none = power.is_none_or(|power| power.points.is_empty()) && node.source.is_some();
    let (to, words) = match gone {
        Some(to) => (to.min(until), "readings not kept any more"),
        None if has_none => (until, "the readings did not come along"),
        None => return holes,
    };
    // Whether there were gaps in it is not to be seen any more.
    holes.retain(|hole| hole.to > to);
    holes.push(Hole { from, to: to.max(from), fill: MISSING, words });
    holes
}

/// Draws them; says whether there are any.
pub(super) fn draw(
    svg: &mut Svg,
    frame: &Frame,
    node: &NodeEnergy,
    power: Option<&NodePower>,
) -> bool {
    let holes = holes(node, power);
    for hole in &holes {
        let (left, right) = (frame.x(hole.from), frame.x(hole.to));
        let length = seconds(hole.to.saturating_sub(hole.from));
        let tip = format!("{length} s: {}", hole.words);
        svg.rect((left, frame.top), (right - left, frame.bottom - frame.top), hole.fill, &tip);
    }
    !holes.is_empty()
}

/// Their words, over the curves.
pub(super) fn words(svg: &mut Svg, frame: &Frame, node: &NodeEnergy, power: Option<&NodePower>) {
    for hole in holes(node, power) {
        let (left, right) = (frame.x(hole.from), frame.x(hole.to));
        let (x, y) = (f64::midpoint(left, right), f64::midpoint(frame.top, frame.bottom));
        if text_width(hole.words) + 6.0 <= right - left {
            svg.text(x, y + 4.0, Anchor::Middle, "over", hole.words);
        } else if right - left >= HEIGHT_OF_A_LINE {
            svg.upwards(x + 4.0, y, "over", hole.words);
        }
    }
}
