//! Whole pictures, and what must never be in one. `UPDATE_EXPECTED=1` writes the expected ones anew, to be
//! looked at. All data are invented.

use super::*;
use ::energy::{Mark, Options, Sample, integrate, job_energy, node_energy, series};
use protocol::names::{JobId, JobReference};
use quick_xml::events::Event;
use std::path::Path;

const SECOND: i64 = 1_000_000_000;
/// 2026-11-22 08:00 UTC.
const BEGIN: i64 = 1_795_334_400;

type Stages<'a> = &'a [(Stage, i64)];

/// A boot of 72 s, a job of 190 s, and the way down.
const BOOT: [(Stage, i64); 8] = [
    (Stage::Firmware, 0),
    (Stage::BootLoader, 38),
    (Stage::KernelAndInitrd, 44),
    (Stage::Init, 58),
    (Stage::WaitForPeers, 70),
    (Stage::Job, 72),
    (Stage::Shutdown, 262),
    (Stage::Settle, 275),
];

/// Watts at a second: a server of 90 W idle whose job has phases; the same in every run.
fn watts(second: i64, seed: i64) -> i64 {
    let noise = (second * 7_919 + seed * 104_729).rem_euclid(997) % 9;
    let level = match second {
        ..2 => 12,
        2..38 => 150,
        38..44 => 110,
        44..58 => 165,
        58..70 => 125,
        70..72 => 95,
        72..262 if (second - 72) % 60 < 42 => 310,
        72..262 => 180,
        262..275 => 115,
        _ => return 6,
    };
    level + noise + seed * 8
}

fn samples(seconds: impl Iterator<Item = i64>, seed: i64) -> Vec<Sample> {
    let at = |second| Sample {
        unix_ns: (BEGIN + second) * SECOND,
        milliwatts: watts(second, seed) * 1_000,
    };
    seconds.map(at).collect()
}

fn node(
    name: &str,
    samples: &[Sample],
    stages: Stages,
    end: i64,
    points_max: u32,
) -> (NodeEnergy, NodePower) {
    let at = |second: i64| (BEGIN + second) * SECOND;
    let marks: Vec<Mark> = stages
        .iter()
        .map(|(stage, second)| Mark { stage: *stage, from_unix_ns: at(*second) })
        .collect();
    let integral = integrate(samples, &marks, at(end), &Options::default());
    let source = (!samples.is_empty()).then(|| "ipmi-dcmi".to_owned());
    let energy = node_energy(name.parse().unwrap(), source, integral, true);
    let series = series(samples, &Options::default(), points_max);
    let power = NodePower {
        node: energy.node.clone(),
        kernel: "thp-off".parse().unwrap(),
        points: series.points,
        readings: series.readings,
        is_reduced: series.is_reduced,
        gone_until_unix_ns: None,
        is_left_out: false,
    };
    (energy, power)
}

fn job(nodes: Vec<(NodeEnergy, NodePower)>) -> (JobEnergy, JobPower) {
    let (energies, powers): (Vec<_>, Vec<_>) = nodes.into_iter().unzip();
    let (job, reference) = (JobId(42), JobReference::Job(JobId(42)));
    let power = JobPower { job, reference, restart_count: 0, nodes: powers };
    (job_energy(job, reference, 0, energies), power)
}

/// Five minutes on one node, with one gap of 15 s.
pub(crate) fn one_node() -> (JobEnergy, JobPower) {
    let seconds = (0..=290).filter(|second| !(130..145).contains(second));
    job(vec![node("n1", &samples(seconds, 0), &BOOT, 290, 2_000)])
}

/// n1 is whole, and reduced; n2's meter fell silent; n3 has none.
fn three_nodes() -> (JobEnergy, JobPower) {
    let all = samples(0..=290, 1);
    let some = samples((0..=290).filter(|second| !(60..110).contains(second) && *second < 215), 2);
    let later: Vec<(Stage, i64)> = BOOT.iter().take(6).copied().collect();
    let n1 = node("n1", &all, &BOOT, 290, 60);
    let n2 = node("n2", &some, &BOOT, 290, 2_000);
    let mut n3 = node("n3", &[], &later, 200, 2_000);
    n3.0.complete = false;
    job(vec![n1, n2, n3])
}

fn check(path: &str, picture: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("UPDATE_EXPECTED").is_some() {
        std::fs::write(&path, picture).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(expected == picture, "{} is not what is drawn now", path.display());
}

/// Reads all of it: every start has its end, every entity is one.
fn well_formed(picture: &str) -> Vec<String> {
    let mut reader = quick_xml::Reader::from_str(picture);
    reader.config_mut().check_end_names = true;
    let mut elements = Vec::new();
    loop {
        let event = reader.read_event().unwrap();
        if event == Event::Eof {
            return elements;
        }
        if let Event::Start(tag) | Event::Empty(tag) = event {
            for attribute in tag.attributes() {
                attribute.unwrap();
            }
            elements.push(tag.name().as_ref().to_owned());
        }
    }
}

#[test]
fn the_picture_of_the_guide() {
    let (energy, power) = one_node();
    let picture = render(&energy, &power);
    check("../docs/pictures/job-power.svg", &picture);
    let elements = well_formed(&picture);
    assert_eq!(elements.iter().filter(|element| *element == "svg").count(), 1);
    assert!(!elements.iter().any(|element| element == "script"));
    for words in ["no reading: estimated", "job starts", "job ends", "assumed to be 5 %", "± "] {
        assert!(picture.contains(words), "{words}");
    }
}

#[test]
fn nodes_that_were_read_badly_say_so() {
    let (energy, power) = three_nodes();
    let picture = render(&energy, &power);
    check("src/picture/expected/three-nodes.svg", &picture);
    well_formed(&picture);
    for words in [
        "n1 (ipmi-dcmi, 291 readings as 60 points)",
        "n3 (no readings): energy unknown",
        "after its record",
        "no reading ever came: unknown",
        "no reading: unknown",
        "The record is not complete",
        "lowest to the highest",
    ] {
        assert!(picture.contains(words), "{words}");
    }
}

#[test]
fn readings_that_are_gone_are_hatched_and_their_energy_is_still_there() {
    let (energy, mut power) = one_node();
    let of = &mut power.nodes[0];
    let gone_until = (BEGIN + 200) * SECOND;
    of.points.retain(|point| point.unix_ns >= gone_until);
    of.gone_until_unix_ns = Some(gone_until);
    let picture = render(&energy, &power);
    well_formed(&picture);
    assert!(picture.contains(">readings not kept any more</text>"));
    assert!(!picture.contains("no reading: estimated"), "that gap is in what is gone");
    assert!(picture.contains("class=\"energy\""));
}

#[test]
fn words_from_outside_stay_words() {
    let (mut energy, power) = one_node();
    energy.nodes[0].source = Some("</text><script>alert('&')</script>\u{0}".into());
    let picture = render(&energy, &power);
    let plain = render(&one_node().0, &power);
    assert_eq!(well_formed(&picture), well_formed(&plain), "not one element more");
    assert!(picture.contains("&lt;/text&gt;&lt;script&gt;alert(&#39;&amp;&#39;)"));
}

#[test]
fn of_many_nodes_the_first_are_drawn_and_a_sentence_says_so() {
    let readings = samples(0..=290, 0);
    let of = |number: usize| node(&format!("n{number}"), &readings, &BOOT, 290, 2_000);
    let panels = |count: usize| {
        let (energy, power) = job((1..=count).map(of).collect());
        let picture = render(&energy, &power);
        well_formed(&picture);
        let said = picture.contains("The first 8 nodes are drawn; the other 1 are in the total");
        (picture.matches("class=\"node\"").count(), said)
    };
    assert_eq!(panels(8), (8, false));
    assert_eq!(panels(9), (8, true));
}

/// A running job without anything yet, the ends of time, a job of no time at all.
#[test]
fn no_record_is_too_odd_to_draw() {
    let (mut energy, mut power) = one_node();
    energy.nodes[0].stages.truncate(1);
    energy.nodes[0].complete = false;
    well_formed(&render(&energy, &power));
    energy.nodes[0].stages.clear();
    assert!(render(&energy, &power).contains("this node was not powered on"));
    power.nodes.clear();
    well_formed(&render(&energy, &power));
    let without = render(&one_node().0, &power);
    assert!(without.contains(">the readings did not come along</text>"));
    let (mut energy, power) = one_node();
    for stage in &mut energy.nodes[0].stages {
        (stage.from_unix_ns, stage.duration_ns) = (i64::MAX, i64::MAX);
        stage.energy_millijoules = Some(i64::MAX / 100);
    }
    let picture = render(&energy, &power);
    well_formed(&picture);
    for odd in ["NaN", "inf"] {
        assert!(!picture.contains(odd), "{odd}");
    }
    energy.nodes.clear();
    well_formed(&render(&energy, &power));
}
