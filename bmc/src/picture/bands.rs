//! The stages of a node as bands: their colours, and where their names stand.

use super::frame::Frame;
use super::svg::{Anchor, Svg};
use super::text_width;
use crate::energy_words::{missing, plus_minus};
use crate::table::{joules, seconds};
use protocol::energy::{NodeEnergy, Stage, StageEnergy};

/// Height of the strip above the curves in which the names stand.
pub(super) const STRIP: f64 = 18.0;
/// Half the width that a number takes in the strip.
const HALF_NUMBER: f64 = 7.0;
/// Free space at either side of a name.
const PADDING: f64 = 3.0;

/// Okabe and Ito's colours, which the colour-blind can tell apart, in a tint on which black reads well. Where
/// there are no colours, names and lines tell the bands apart.
pub(super) fn tint(stage: Stage) -> &'static str {
    match stage {
        Stage::TakeOver | Stage::Settle => "#f0d7e5",
        Stage::Firmware => "#f8e2b2",
        Stage::BootLoader => "#cce8f8",
        Stage::KernelAndInitrd => "#b2e2d5",
        Stage::Init => "#faf7c6",
        Stage::WaitForPeers => "#e6e6e6",
        Stage::Job => "#e5f0f7",
        Stage::Idle => "#efefef",
        Stage::Shutdown => "#f2cfb2",
    }
}

/// Where the name of a band stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Place {
    /// In it: its middle is there.
    Name(f64),
    /// It is too narrow: a number stands there, for the list below.
    Number(f64),
}

/// `bands`: begin, end and name. Nothing overlaps; numbers give way to the right.
pub(super) fn places(bands: &[(f64, f64, &str)]) -> Vec<Place> {
    let mut free_from = bands.first().map_or(0.0, |first| first.0);
    let mut place = |&(from, to, name): &(f64, f64, &str)| {
        let from = from.max(free_from);
        let width = text_width(name) + 2.0 * PADDING;
        let middle = f64::midpoint(from, to);
        if width <= to - from {
            free_from = middle + width / 2.0;
            return Place::Name(middle);
        }
        let middle = middle.max(free_from + HALF_NUMBER);
        free_from = middle + HALF_NUMBER;
        Place::Number(middle)
    };
    bands.iter().map(&mut place).collect()
}

/// Draws the bands and gives the list of those that have a number.
pub(super) fn draw(svg: &mut Svg, frame: &Frame, node: &NodeEnergy) -> Vec<String> {
    // What an idle node takes is not in the total, which has to be said.
    let name = |stage: &StageEnergy| match stage.stage == Stage::Idle {
        true => "idle (not the job's)",
        false => stage.stage.title(),
    };
    let bands: Vec<(f64, f64, &str)> = node
        .stages
        .iter()
        .map(|stage| {
            let to = stage.from_unix_ns.saturating_add(stage.duration_ns);
            (frame.x(stage.from_unix_ns), frame.x(to), name(stage))
        })
        .collect();
    let strip = frame.top - STRIP;
    for (stage, (from, to, name)) in node.stages.iter().zip(&bands) {
        let tip = format!("{name}: {}", figures(node, stage));
        let size = (to - from, frame.bottom - strip);
        svg.rect((*from, strip), size, tint(stage.stage), &tip);
    }
    for (from, _, _) in &bands {
        svg.line("edge", (*from, strip), (*from, frame.bottom));
    }
    let mut list = Vec::new();
    for ((stage, place), (from, to, name)) in node.stages.iter().zip(places(&bands)).zip(&bands) {
        match place {
            Place::Name(x) => svg.text(x, frame.top - 5.0, Anchor::Middle, "", name),
            Place::Number(x) => {
                list.push(format!("{} {name}: {}", list.len() + 1, figures(node, stage)));
                let middle = f64::midpoint(*from, *to);
                svg.line("lead", (x, frame.top - 6.0), (middle, frame.top));
                let number = list.len().to_string();
                svg.text(x, frame.top - 8.0, Anchor::Middle, "number", &number);
            }
        }
    }
    list
}

/// Length and energy of a stage, as the table of `bmc energy` has them.
fn figures(node: &NodeEnergy, stage: &StageEnergy) -> String {
    let energy = match (stage.bounds, stage.energy_millijoules) {
        (Some(bounds), _) => {
            let ends = [bounds.least_millijoules, bounds.most_millijoules];
            ends.map(|end| joules(Some(end))).join("–") + " J"
        }
        (None, None) => "energy unknown".to_owned(),
        (None, Some(energy)) => {
            let at_least = if missing(node, stage) > 0 { "at least " } else { "" };
            let sure = stage.uncertainty.map(|sure| plus_minus(sure.millijoules));
            format!("{at_least}{} J{}", joules(Some(energy)), sure.unwrap_or_default())
        }
    };
    format!("{} s, {energy}", seconds(stage.duration_ns))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stands_in_its_band_if_it_fits() {
        let width = text_width("job") + 2.0 * PADDING;
        assert_eq!(places(&[(10.0, 10.0 + width, "job")]), [Place::Name(10.0 + width / 2.0)]);
        let narrow = places(&[(10.0, 9.5 + width, "job")]);
        assert_eq!(narrow, [Place::Number(9.75 + width / 2.0)]);
    }

    #[test]
    fn numbers_give_way_to_the_right_and_names_to_them() {
        let bands = [
            (0.0, 4.0, "firmware"),
            (4.0, 4.0, "boot loader"),
            (4.0, 8.0, "init"),
            (8.0, 408.0, "job"),
            (408.0, 410.0, "shutdown"),
        ];
        let expected = [
            Place::Number(7.0),
            Place::Number(21.0),
            Place::Number(35.0),
            Place::Name(f64::midpoint(42.0, 408.0)),
            Place::Number(409.0),
        ];
        assert_eq!(places(&bands), expected);
    }

    /// Relative luminance, Web Content Accessibility Guidelines 2.2.
    fn luminance(colour: &str) -> f64 {
        let part = |at: usize| {
            let value = f64::from(u8::from_str_radix(&colour[at..at + 2], 16).unwrap()) / 255.0;
            if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * part(1) + 0.7152 * part(3) + 0.0722 * part(5)
    }

    #[test]
    fn black_reads_well_on_every_band_and_the_energy_shows() {
        let contrast = |one: &str, other: &str| {
            let (one, other) = (luminance(one), luminance(other));
            (one.max(other) + 0.05) / (one.min(other) + 0.05)
        };
        for stage in Stage::ALL {
            assert!(contrast("#000000", tint(stage)) >= 12.0, "{stage:?}");
            assert!(contrast(super::super::ENERGY_COLOUR, tint(stage)) >= 3.0, "{stage:?}");
        }
        assert!(contrast(super::super::ENERGY_COLOUR, "#ffffff") >= 4.5);
    }
}
