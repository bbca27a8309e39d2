//! `bmc breakeven` for people: what was compared, the two answers, and what they rest on.

use super::break_even::Report;
use crate::table::{Table, UNKNOWN};
use energy::{BreakEven, Interval, Lack, RUNS_WANTED, Summary, Verdict};
use protocol::names::NodeName;
use protocol::runs::Run;
use std::collections::BTreeSet;

/// Millijoules a joule.
const MILLI: f64 = 1_000.0;
const PER_CENT: f64 = 100.0;

/// The whole text.
pub(super) fn text(report: &Report) -> String {
    let [a, b] = &report.runs;
    let of = &report.comparison;
    let mut table = Table::new(["KERNEL", ">RUNS", ">SECONDS", ">JOULES"]);
    for (runs, figures) in [(a, &of.a), (b, &of.b)] {
        let count = runs.runs.len();
        let cells = [
            runs.kernel.to_string(),
            count.to_string(),
            mean(figures.job_seconds, count, 1.0, 2),
            mean(figures.job_millijoules, count, MILLI, 1),
        ];
        table.row(cells);
    }
    let count = b.runs.len();
    let overhead = format!(
        "to boot {} and to shut it down: {} s, {} J",
        b.kernel,
        mean(of.b.overhead_seconds, count, 1.0, 2),
        mean(of.b.overhead_millijoules, count, MILLI, 1)
    );
    let (time, energy) = (answer(report, &of.time, "time"), answer(report, &of.energy, "energy"));
    let text = format!("{}\n{overhead}\n\ntime:   {time}\nenergy: {energy}\n\n", table.text());
    notes(report).iter().fold(text, |text, note| text + "- " + note + "\n")
}

/// Mean ± standard deviation, and of how many runs where it is not of all.
fn mean(of: Option<Summary>, runs: usize, unit: f64, digits: usize) -> String {
    let Some(of) = of else { return UNKNOWN.to_owned() };
    let number = |value: f64| format!("{:.digits$}", value / unit);
    let deviation = of.deviation.map_or_else(|| UNKNOWN.to_owned(), number);
    let known = match usize::try_from(of.count) {
        Ok(count) if count == runs => String::new(),
        _ => format!(" ({} of {runs} runs)", of.count),
    };
    format!("{} ± {deviation}{known}", number(of.mean))
}

/// One answer in a sentence; `what`: time or energy.
pub(super) fn answer(report: &Report, of: &BreakEven, what: &str) -> String {
    let [a, b] = &report.runs;
    let (name_a, name_b) = (&a.kernel, &b.kernel);
    let saved = |sign: f64| of.gain.map_or_else(|| UNKNOWN.to_owned(), |gain| percent(gain, sign));
    let lack = match of.verdict {
        Verdict::BreaksEven(length) => {
            return format!(
                "pays off from a run of {} s on {name_a} [{}, {}] (95 %); {name_b} saves {}",
                seconds(length.value),
                seconds(length.low),
                seconds(length.high),
                saved(1.0)
            );
        }
        Verdict::Never => return format!("never: {name_b} takes more {what}: {}", saved(-1.0)),
        Verdict::Undetermined(lack) => lack,
    };
    let why = match lack {
        Lack::Runs => {
            format!("two runs of each kernel are needed of which the {what} is known")
        }
        Lack::OverheadRuns => {
            format!(
                "the {what} to boot {name_b} and to shut it down is known of less than two runs"
            )
        }
        Lack::Difference => {
            format!("{name_b} saves {}, and that may be nothing: more runs would tell", saved(1.0))
        }
        Lack::Overhead => "the idle power is more than the mean power of the boot".to_owned(),
    };
    format!("undetermined: {why}")
}

/// Whole seconds, and tenths of few.
fn seconds(value: f64) -> String {
    if value < PER_CENT { format!("{value:.1}") } else { format!("{value:.0}") }
}

/// `sign` −1: what is lost, with its ends the other way round.
fn percent(gain: Interval, sign: f64) -> String {
    let [low, high] = if sign < 0.0 { [gain.high, gain.low] } else { [gain.low, gain.high] };
    // No −0.0.
    let number = |part: f64| format!("{:.1}", part * sign * PER_CENT + 0.0);
    format!("{} % [{}, {}]", number(gain.value), number(low), number(high))
}

/// What has to be known besides.
pub(super) fn notes(report: &Report) -> Vec<String> {
    let [a, b] = &report.runs;
    let mut notes = vec![
        "This holds if all these runs did the same work and succeeded, which cannot be seen here: \
         pick them with --job."
            .to_owned(),
        format!(
            "{} counts as what the nodes run anyway: only the boot of {} is counted.",
            a.kernel, b.kernel
        ),
        match report.idle_watts {
            Some(watts) => {
                format!("{watts} W a node are taken off the energy of that boot, as idle.")
            }
            None => {
                "What the nodes would have drawn without that boot is not known, and nothing is \
                     taken off for it: --idle-watts."
                    .to_owned()
            }
        },
        "±: standard deviation between runs; [ ]: 95 % interval.".to_owned(),
    ];
    let wanted = usize::try_from(RUNS_WANTED).unwrap_or(usize::MAX);
    if report.runs.iter().any(|of| of.runs.len() < wanted) {
        let (of_a, of_b) = (a.runs.len(), b.runs.len());
        let advice = format!("{RUNS_WANTED} or more of each are advised");
        notes.push(format!("Few runs: {of_a} of {}, {of_b} of {}; {advice}.", a.kernel, b.kernel));
    }
    let nodes = |run: &Run| run.nodes.iter().cloned().collect::<BTreeSet<NodeName>>();
    let all = || a.runs.iter().chain(&b.runs);
    if all().map(|run| run.nodes.len()).collect::<BTreeSet<_>>().len() > 1 {
        notes.push("The runs had different numbers of nodes: that is hardly the same work.".into());
    } else if all().map(nodes).collect::<BTreeSet<_>>().len() > 1 {
        notes.push(
            "The runs were on different nodes, and machines of one model differ: --node keeps to \
             one."
                .into(),
        );
    }
    for of in report.runs.iter().filter(|of| of.is_cut) {
        let (most, kernel) = (of.tries_max, &of.kernel);
        notes.push(format!("Only the newest {most} starts of jobs with {kernel} were looked at."));
    }
    notes
}

#[cfg(test)]
#[path = "break_even_text_tests.rs"]
pub(super) mod tests;
