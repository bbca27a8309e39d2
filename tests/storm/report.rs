//! The figures of a run.

use crate::bootsrv::Cost;
use crate::load;
use crate::options::Options;
use anyhow::Result;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use tests::simulated::node::Node;
use tests::simulated::slurmctld::Slurmctld;
use tests::simulated::tally::{Tally, Times};

/// Most lines of a kind that are shown for people.
const LINES_MAX: usize = 25;

/// What was measured.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Figures {
    /// From the first job's submission to the last job's end.
    pub(crate) seconds_of_jobs: f64,
    /// Until everything was at rest.
    pub(crate) seconds_in_all: f64,
    /// Boot tokens that were asked for.
    pub(crate) boots: u64,
}

/// Everything.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    seed: u64,
    nodes: u32,
    jobs: u32,
    figures: Figures,
    boots_per_second: f64,
    bootsrv: Cost,
    counts: BTreeMap<String, u64>,
    /// How long bootsrv took to answer, in milliseconds.
    answers: BTreeMap<String, Times>,
    /// Every broken promise with its story.
    pub(crate) broken: Vec<String>,
}

impl Report {
    #[expect(
        clippy::too_many_arguments,
        reason = "it is made in one place, of everything there is"
    )]
    pub(crate) fn new(
        options: &Options,
        seed: u64,
        figures: Figures,
        bootsrv: Cost,
        tally: &Tally,
        slurmctld: &Slurmctld,
        nodes: &[Arc<Node>],
        broken: Vec<String>,
    ) -> Self {
        let mut counts = tally.all();
        counts.extend(slurmctld.ends());
        let of = load::counters(nodes);
        counts.extend(
            [
                ("commands that were done: on", of.on),
                ("commands that were done: off", of.off),
                ("commands that were done: soft off", of.soft),
                ("commands that were done: cycle", of.cycle),
                ("commands that were ignored", of.ignored),
                ("commands that were refused", of.refused),
                ("controllers: packets", of.packets),
                ("controllers: packets of no session", of.strays),
                ("controllers: sessions", of.sessions),
                ("controllers: sessions refused, too many", of.full),
                ("controllers: status asked", of.statuses),
                ("controllers: readings", of.readings),
            ]
            .map(|(name, count)| (name.to_owned(), count)),
        );
        #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
        let boots_per_second = figures.boots as f64 / figures.seconds_of_jobs.max(0.001);
        let (nodes, jobs) = (options.nodes, options.jobs);
        let answers = tally.all_times();
        Self { seed, nodes, jobs, figures, boots_per_second, bootsrv, counts, answers, broken }
    }

    pub(crate) fn print(&self, json: bool) -> Result<()> {
        if json {
            println!("{}", serde_json::to_string_pretty(self)?);
            return Ok(());
        }
        let Self { seed, nodes, jobs, figures, bootsrv, .. } = self;
        println!("seed {seed}: {nodes} nodes, {jobs} jobs");
        println!(
            "  {:.0} s of jobs, {:.0} s in all; {} boots, {:.1} a second",
            figures.seconds_of_jobs, figures.seconds_in_all, figures.boots, self.boots_per_second
        );
        println!(
            "  bootsrv: {:.1} s of CPU, {} MiB at most, killed {} times",
            bootsrv.cpu_seconds, bootsrv.peak_rss_mib, bootsrv.kills
        );
        println!("  answers, in milliseconds:     count     median        p99    longest");
        for (what, Times { count, median, p99, longest }) in &self.answers {
            println!("  {what:<26} {count:>10} {median:>10.1} {p99:>10.1} {longest:>10.1}");
        }
        let mut shown: BTreeMap<&str, usize> = BTreeMap::new();
        for (name, count) in &self.counts {
            let kind = name.split(':').next().unwrap_or_default();
            let lines = shown.entry(kind).or_default();
            *lines += 1;
            if *lines <= LINES_MAX {
                println!("  {count:>10}  {name}");
            }
        }
        for what in &self.broken {
            println!("BROKEN, seed {seed}: {what}");
        }
        println!("seed {seed}: {} promises broken", self.broken.len());
        Ok(())
    }
}
