//! `bmc energy`: what a job consumed, stage by stage, and how far the figures can be trusted.

use super::energy_picture;
use crate::cli::EnergyArgs;
use crate::energy_words::{accuracies, missing, plus_minus, rough, total};
use crate::output;
use crate::server::Server;
use crate::table::{Table, UNKNOWN, joules, mean_watts, printable, seconds, watt_hours};
use protocol::energy::{Bounds, Footprint, Gap, JobEnergy, NodeEnergy, StageEnergy, Uncertainty};

/// Most gaps that are told one by one.
const GAPS_SHOWN_MAX: usize = 5;

/// Asks and returns what to print.
pub(crate) fn run(args: &EnergyArgs, server: &dyn Server) -> anyhow::Result<String> {
    if let Some(file) = &args.svg {
        return energy_picture::run(args, file, server);
    }
    output::show(args.json.json, &server.energy(args.job)?, |tries| {
        if tries.is_empty() {
            format!("job {} has no energy record\n", args.job)
        } else {
            tries.iter().map(render).collect::<Vec<_>>().join("\n")
        }
    })
}

fn render(job: &JobEnergy) -> String {
    let mut text = format!("job {}, try {}\n", job.reference, u64::from(job.restart_count) + 1);
    for one in &job.nodes {
        text += "\n";
        text += &node(one);
    }
    let against = |sure: Uncertainty| {
        let random = plus_minus(sure.random_millijoules);
        format!("; against other runs on the same nodes{random}")
    };
    let known = job.total_millijoules.and(job.uncertainty);
    let against = known.map(against).unwrap_or_default();
    text += &format!("\ntotal of {} node(s): {}{against}\n", job.nodes.len(), total(job));
    text += &job.footprint.as_ref().map(footprint).unwrap_or_default();
    text + &footer(job)
}

/// What the total stands for outside of the nodes, with what it was multiplied by.
fn footprint(of: &Footprint) -> String {
    let factors = &of.factors;
    let thousandths = |number: u32| f64::from(number) / 1e3;
    let mut parts = Vec::new();
    if let (Some(energy), Some(pue)) = (of.facility_millijoules, factors.pue_thousandths) {
        let sure = of.facility_uncertainty_millijoules;
        let sure = sure.map(|sure| format!(" ± {} Wh", watt_hours(sure))).unwrap_or_default();
        parts.push(format!("{} Wh{sure} (PUE {})", watt_hours(energy), thousandths(pue)));
    }
    if let (Some(carbon), Some(per)) = (of.carbon_milligrams, factors.carbon_milligrams_per_kwh) {
        let grams = decimal(carbon, 1_000, 3);
        parts.push(format!("{grams} g CO2e ({} g/kWh, location-based)", thousandths(per)));
    }
    if let (Some(cost), Some(per)) = (of.cost_millionths, factors.price_millionths_per_kwh) {
        let currency = printable(factors.currency.as_deref().unwrap_or_default());
        let (cost, price) = (decimal(cost, 1_000_000, 6), f64::from(per) / 1e6);
        parts.push(format!("{cost} {currency} ({price} {currency}/kWh)"));
    }
    let whole =
        if of.facility_millijoules.is_some() { "with the building" } else { "of the nodes alone" };
    if parts.is_empty() { String::new() } else { format!("{whole}: {}\n", parts.join("; ")) }
}

/// A number of parts as a decimal fraction.
fn decimal(parts: i64, whole: i64, digits: usize) -> String {
    format!("{}.{:0digits$}", parts / whole, (parts % whole).abs())
}

/// How the figures are to be read.
fn footer(job: &JobEnergy) -> String {
    let mut text = String::new();
    if let Some(accuracies) = accuracies(job) {
        text += "± is what 95 of 100 figures are right within (k = 2). The meters' accuracy is ";
        text += &accuracies;
        text += ".\n";
    }
    text + &format!("Method version {}.\n", job.method_version)
}

fn node(node: &NodeEnergy) -> String {
    let mut text = match &node.source {
        Some(source) => {
            format!("{} ({}, {} readings)\n", node.node, printable(source), node.samples)
        }
        None => format!("{} (no readings)\n", node.node),
    };
    let estimates = node.stages.iter().any(|stage| stage.estimated_millijoules != 0);
    let titles = ["STAGE", ">SECONDS", ">JOULES", ">± J", ">MEAN W", ">ESTIMATED J"];
    let mut table = Table::new(titles.into_iter().take(if estimates { 6 } else { 5 }));
    for stage in &node.stages {
        table.row(row(stage.stage.title(), node, stage));
    }
    table.row(row("total", node, &sum(node)));
    text += &table.text();
    footnotes(node).iter().fold(text, |text, note| text + "  " + note + "\n")
}

fn row(title: &str, node: &NodeEnergy, stage: &StageEnergy) -> [String; 6] {
    let missing_ns = missing(node, stage);
    let at_least = if missing_ns > 0 && stage.energy_millijoules.is_some() { "≥ " } else { "" };
    let estimated = match stage.estimated_millijoules {
        0 => String::new(),
        some => joules(Some(some)),
    };
    let measured_ns = stage.duration_ns.saturating_sub(missing_ns);
    let (title, energy, watts) = match stage.bounds {
        Some(Bounds { least_millijoules: least, most_millijoules: most }) => {
            (format!("{title} *"), range(least, most), UNKNOWN.to_owned())
        }
        None => (
            title.to_owned(),
            format!("{at_least}{}", joules(stage.energy_millijoules)),
            mean_watts(stage.energy_millijoules, measured_ns),
        ),
    };
    let sure = stage.uncertainty.map(|sure| rough(sure.millijoules)).unwrap_or_default();
    [title, seconds(stage.duration_ns), energy, sure, watts, estimated]
}

fn range(least: i64, most: i64) -> String {
    format!("{}–{}", joules(Some(least)), joules(Some(most)))
}

/// The line below the stages; the server's total, not one of our own.
fn sum(node: &NodeEnergy) -> StageEnergy {
    let add =
        |get: fn(&StageEnergy) -> i64| node.stages.iter().map(get).fold(0_i64, i64::saturating_add);
    StageEnergy {
        stage: protocol::energy::Stage::Job,
        from_unix_ns: begin(node),
        duration_ns: add(|stage| stage.duration_ns),
        energy_millijoules: node.total_millijoules,
        estimated_millijoules: add(|stage| stage.estimated_millijoules),
        uncertainty: node.uncertainty,
        bounds: None,
    }
}

fn begin(node: &NodeEnergy) -> i64 {
    node.stages.first().map_or(0, |stage| stage.from_unix_ns)
}

fn footnotes(node: &NodeEnergy) -> Vec<String> {
    let mut notes = Vec::new();
    if node.stages.iter().any(|stage| stage.bounds.is_some()) {
        notes.push(
            "* too short for the meter, or mostly estimated: what it lies between; the total has its \
             share (--json shows it)"
                .into(),
        );
    }
    notes.extend(node.gaps.iter().take(GAPS_SHOWN_MAX).map(|gap| gap_note(node, gap)));
    if let Some(more) = node.gaps.len().checked_sub(GAPS_SHOWN_MAX).filter(|more| *more > 0) {
        notes.push(format!("and {more} more gaps (all of them: --json)"));
    }
    if node.source.is_none() {
        notes.push("no reading came from this node: its energy is unknown, not zero".into());
    } else if node.total_millijoules.is_none() && !node.stages.is_empty() {
        notes.push("a stage without readings makes the total unknown".into());
    }
    if !node.complete {
        notes.push("the record is not complete: the node is still in use, the figures grow".into());
    }
    notes
}

fn gap_note(node: &NodeEnergy, gap: &Gap) -> String {
    let after = seconds(gap.from_unix_ns.saturating_sub(begin(node)));
    let what = if gap.bridged {
        "bridged by a straight line, its energy is an estimate"
    } else {
        "its energy is missing from the figures"
    };
    format!("no reading for {} s from second {after} on: {what}", seconds(gap.duration_ns))
}

#[cfg(test)]
mod tests {
    use super::*;
    use energy::{Mark, Options, Sample, integrate, job_energy, node_energy};
    use protocol::energy::{Factors, Stage};
    use protocol::names::{JobId, JobReference};

    const SECOND: i64 = 1_000_000_000;

    /// A record from readings of 100 W at these seconds, with stages that begin at these.
    fn record(name: &str, seconds: &[i64], marks: &[(Stage, i64)], end: i64) -> NodeEnergy {
        let samples: Vec<Sample> = seconds
            .iter()
            .map(|second| Sample { unix_ns: second * SECOND, milliwatts: 100_000 })
            .collect();
        let marks: Vec<Mark> = marks
            .iter()
            .map(|(stage, second)| Mark { stage: *stage, from_unix_ns: second * SECOND })
            .collect();
        let integral = integrate(&samples, &marks, end * SECOND, &Options::default());
        let source = (!samples.is_empty()).then(|| "ipmi".to_owned());
        node_energy(name.parse().unwrap(), source, integral, true)
    }

    const STAGES: [(Stage, i64); 4] = [
        (Stage::Firmware, 100),
        (Stage::BootLoader, 110),
        (Stage::Job, 112),
        (Stage::Shutdown, 190),
    ];

    #[test]
    fn a_job_without_gaps() {
        let seconds: Vec<i64> = (100..=200).collect();
        let job = job_energy(
            JobId(42),
            JobReference::Job(JobId(42)),
            0,
            vec![record("n1", &seconds, &STAGES, 200)],
        );
        let expected = "\
job 42, try 1

n1 (ipmi, 101 readings)
STAGE          SECONDS       JOULES  ± J   MEAN W
firmware         10.00       1000.0  108    100.0
boot loader *     2.00  189.1–211.1       unknown
job              78.00       7800.0  453    100.0
shutdown         10.00       1000.0  108    100.0
total           100.00      10000.0  594    100.0
  * too short for the meter, or mostly estimated: what it lies between; the total has its share (--json shows it)

total of 1 node(s): 10000.0 J ± 594 J (2.778 Wh); against other runs on the same nodes ± 141 J
± is what 95 of 100 figures are right within (k = 2). The meters' accuracy is assumed to be 5 %: nothing states it.
Method version 2.
";
        assert_eq!(render(&job), expected);
    }

    #[test]
    fn what_the_energy_stands_for_is_told_with_its_factors() {
        let seconds: Vec<i64> = (100..=200).collect();
        let nodes = vec![record("n1", &seconds, &STAGES, 200)];
        let mut job = job_energy(JobId(42), JobReference::Job(JobId(42)), 0, nodes);
        let all = Factors {
            pue_thousandths: Some(1_250),
            carbon_milligrams_per_kwh: Some(380_000),
            price_millionths_per_kwh: Some(213_400),
            currency: Some("EUR".into()),
        };
        let price =
            Factors { pue_thousandths: None, carbon_milligrams_per_kwh: None, ..all.clone() };
        for (factors, expected) in [
            (
                all,
                "\nwith the building: 3.472 Wh ± 0.206 Wh (PUE 1.25); 1.319 g CO2e (380 g/kWh, location-based); \
                 0.000740 EUR (0.2134 EUR/kWh)\n",
            ),
            (price, "\nof the nodes alone: 0.000592 EUR (0.2134 EUR/kWh)\n"),
        ] {
            job.footprint = energy::footprint(job.total_millijoules, job.uncertainty, &factors);
            let text = render(&job);
            assert!(text.contains(expected), "{text}");
        }
    }

    #[test]
    fn gaps_and_missing_readings_are_told() {
        let seconds: Vec<i64> = (100..=130).chain(150..=170).collect();
        let mut first = record("n1", &seconds, &STAGES, 200);
        first.complete = false;
        let second = record("n2", &[], &[(Stage::Firmware, 100)], 130);
        let job = job_energy(JobId(42), JobReference::Job(JobId(42)), 2, vec![first, second]);
        let expected = "\
job 42, try 3

n1 (ipmi, 52 readings)
STAGE          SECONDS       JOULES  ± J   MEAN W  ESTIMATED J
firmware         10.00       1000.0  108    100.0
boot loader *     2.00  189.1–211.1       unknown
job              78.00     ≥ 6300.0         100.0       2000.0
shutdown         10.00      unknown       unknown
total           100.00      unknown       unknown       2000.0
  * too short for the meter, or mostly estimated: what it lies between; the total has its share (--json shows it)
  no reading for 20.00 s from second 30.00 on: bridged by a straight line, its energy is an estimate
  no reading for 25.00 s from second 75.00 on: its energy is missing from the figures
  a stage without readings makes the total unknown
  the record is not complete: the node is still in use, the figures grow

n2 (no readings)
STAGE     SECONDS   JOULES  ± J   MEAN W
firmware    30.00  unknown       unknown
total       30.00  unknown       unknown
  no reading for 30.00 s from second 0.00 on: its energy is missing from the figures
  no reading came from this node: its energy is unknown, not zero

total of 2 node(s): unknown
± is what 95 of 100 figures are right within (k = 2). The meters' accuracy is assumed to be 5 %: nothing states it.
Method version 2.
";
        assert_eq!(render(&job), expected);
    }

    #[test]
    fn what_is_missing_at_an_edge_makes_the_total_a_lower_bound() {
        let seconds: Vec<i64> = (107..=200).collect();
        let job = job_energy(
            JobId(42),
            JobReference::Job(JobId(42)),
            0,
            vec![record("n1", &seconds, &STAGES, 200)],
        );
        let text = render(&job);
        assert!(text.contains("firmware         10.00      ≥ 800.0"), "{text}");
        assert!(text.contains("total of 1 node(s): at least 9800.0 J"), "{text}");
    }

    #[test]
    fn a_long_list_of_gaps_is_cut() {
        let seconds: Vec<i64> = (0..10).flat_map(|i| [100 + i * 10, 101 + i * 10]).collect();
        let node = record("n1", &seconds, &STAGES, 191);
        let notes = footnotes(&node);
        assert_eq!(
            notes.iter().filter(|note| note.starts_with("no reading for 9.00 s")).count(),
            5
        );
        assert!(
            notes.iter().any(|note| note == "and 4 more gaps (all of them: --json)"),
            "{notes:?}"
        );
    }
}
