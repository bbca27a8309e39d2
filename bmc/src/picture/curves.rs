//! The curves of one node: power with the range of reduced readings, and the energy so far.

use super::frame::Frame;
use super::svg::{Svg, polyline};
use protocol::energy::{Gap, NodeEnergy, Stage, StageEnergy};
use protocol::power_series::PowerPoint;

/// Points between two gaps, or the two that a gap lies between.
#[derive(Debug, PartialEq)]
pub(super) enum Piece<'a> {
    /// Readings.
    Read(Vec<&'a PowerPoint>),
    /// Nobody read anything there; a straight line is the record's estimate.
    Bridged(&'a PowerPoint, &'a PowerPoint),
}

/// Cuts the points where gaps are; nothing joins two of them over a gap that is not bridged.
pub(super) fn pieces<'a>(points: &'a [PowerPoint], gaps: &[Gap]) -> Vec<Piece<'a>> {
    let mut pieces = Vec::new();
    let mut read: Vec<&PowerPoint> = Vec::new();
    for point in points {
        if let Some(left) = read.last().copied() {
            let between = |gap: &&Gap| {
                gap.from_unix_ns < point.unix_ns && end(gap) > left.unix_ns && gap.duration_ns > 0
            };
            if let Some(gap) = gaps.iter().find(between) {
                pieces.push(Piece::Read(std::mem::take(&mut read)));
                if gap.bridged {
                    pieces.push(Piece::Bridged(left, point));
                }
            }
        }
        read.push(point);
    }
    if !read.is_empty() {
        pieces.push(Piece::Read(read));
    }
    pieces
}

pub(super) fn end(gap: &Gap) -> i64 {
    gap.from_unix_ns.saturating_add(gap.duration_ns)
}

/// Draws the power, and where it is reduced the range from the lowest to the highest reading behind it.
pub(super) fn power(svg: &mut Svg, frame: &Frame, pieces: &[Piece], is_reduced: bool) {
    let at =
        |point: &PowerPoint, milliwatts: i64| (frame.x(point.unix_ns), frame.watts(milliwatts));
    let mean = |point: &PowerPoint| at(point, point.milliwatts);
    for piece in pieces {
        if let Piece::Read(points) = piece
            && is_reduced
        {
            let most = points.iter().map(|point| at(point, point.most_milliwatts));
            let least = points.iter().rev().map(|point| at(point, point.least_milliwatts));
            svg.path("range", &(polyline(most.chain(least)) + "z"));
        }
    }
    for piece in pieces {
        match piece {
            Piece::Read(points) => {
                svg.path("power", &polyline(points.iter().map(|point| mean(point))));
            }
            Piece::Bridged(left, right) => svg.line("bridge", mean(left), mean(right)),
        }
    }
}

/// A moment and the energy up to it, in millijoules.
pub(super) type Sum = (i64, f64);

/// The energy so far: at the end of each stage what the record says, in between as the readings share it
/// out. It ends where the record does not know it, and where it is not the job's any more.
pub(super) fn energy_so_far(node: &NodeEnergy, points: &[PowerPoint]) -> Vec<Sum> {
    let areas = areas(points);
    let mut sums: Vec<Sum> = Vec::new();
    let mut before = 0.0;
    for stage in node.stages.iter().take_while(|stage| stage.stage != Stage::Idle) {
        let Some(energy) = stage.energy_millijoules else { break };
        let (from, to) = read_part(node, stage);
        let (area_from, area_to) = (area_at(points, &areas, from), area_at(points, &areas, to));
        if sums.is_empty() {
            sums.push((from, 0.0));
        }
        let inside = points.iter().zip(&areas);
        let inside = inside.filter(|(point, _)| from < point.unix_ns && point.unix_ns < to);
        for (point, area) in inside.filter(|_| area_to > area_from) {
            let part = (area - area_from) / (area_to - area_from);
            sums.push((point.unix_ns, before + energy as f64 * part));
        }
        before += energy as f64;
        sums.push((to, before));
    }
    sums
}

/// The part of a stage that readings, or bridges between them, speak for: its energy is that part's.
fn read_part(node: &NodeEnergy, stage: &StageEnergy) -> (i64, i64) {
    let from = stage.from_unix_ns;
    let part = (from, from.saturating_add(stage.duration_ns));
    node.gaps.iter().filter(|gap| !gap.bridged).fold(part, |(from, to), gap| {
        if gap.from_unix_ns <= from {
            (from.max(end(gap)).min(to), to)
        } else {
            (from, to.min(gap.from_unix_ns))
        }
    })
}

/// The area below the points up to each of them.
fn areas(points: &[PowerPoint]) -> Vec<f64> {
    let mut sum = 0.0;
    let mut left: Option<&PowerPoint> = None;
    let mut area = |point| {
        if let Some(left) = left.replace(point) {
            let mean = f64::midpoint(left.milliwatts as f64, point.milliwatts as f64);
            sum += mean * (point.unix_ns.saturating_sub(left.unix_ns)) as f64;
        }
        sum
    };
    points.iter().map(&mut area).collect()
}

/// The same up to any moment.
fn area_at(points: &[PowerPoint], areas: &[f64], at: i64) -> f64 {
    let after = points.partition_point(|point| point.unix_ns <= at);
    let point = |index: usize| Some((points.get(index)?, *areas.get(index)?));
    match (after.checked_sub(1).and_then(point), point(after)) {
        (Some((left, area)), Some((right, to))) => {
            let part = at.saturating_sub(left.unix_ns) as f64;
            let rise = right.milliwatts as f64 - left.milliwatts as f64;
            let whole = right.unix_ns.saturating_sub(left.unix_ns) as f64;
            let power = left.milliwatts as f64 + rise * part / whole / 2.0;
            (area + power * part).min(to)
        }
        // At the edges the nearest reading is held.
        (Some((last, area)), None) => {
            area + last.milliwatts as f64 * at.saturating_sub(last.unix_ns) as f64
        }
        (None, Some((first, _))) => {
            -(first.milliwatts as f64 * first.unix_ns.saturating_sub(at) as f64)
        }
        (None, None) => 0.0,
    }
}

/// Draws it, and how sure its end is, if the record tells.
pub(super) fn energy(svg: &mut Svg, frame: &Frame, node: &NodeEnergy, sums: &[Sum]) {
    let mut line: Vec<(f64, f64)> = Vec::new();
    for &(at, sum) in sums {
        let Some(y) = frame.energy(sum) else { return };
        let x = frame.x(at);
        // More than one point a pixel shows nothing.
        if line.last().is_none_or(|last| x - last.0 >= 1.0) || sums.last() == Some(&(at, sum)) {
            line.push((x, y));
        }
    }
    let last = line.last().copied();
    svg.path("energy", &polyline(line));
    let Some(((_, sum), (x, _))) = sums.last().zip(last) else { return };
    let sure = node.uncertainty.filter(|_| node.total_millijoules.is_some());
    let Some(half) = sure.map(|sure| sure.millijoules as f64) else { return };
    let (Some(low), Some(high)) = (frame.energy(sum - half), frame.energy(sum + half)) else {
        return;
    };
    let cap = |y: f64| polyline([(x - 4.0, y), (x + 4.0, y)]);
    svg.path("sure", &(polyline([(x, low), (x, high)]) + &cap(low) + &cap(high)));
}

#[cfg(test)]
#[path = "curves_tests.rs"]
mod tests;
