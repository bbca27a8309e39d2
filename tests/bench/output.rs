//! What a run prints: tables for people, or one JSON object.

use crate::figure::Figure;
use serde_json::json;

/// All figures of one run.
#[derive(Debug, Default)]
pub(crate) struct Measured {
    /// What the host did besides.
    pub(crate) load: String,
    /// The figures.
    pub(crate) goals: Vec<Figure>,
    /// Time of each stage of a boot; this and what follows are empty for images.
    pub(crate) stages: Vec<Figure>,
    /// Each step of one node alone, since power on.
    pub(crate) steps: Vec<Figure>,
    /// The least boots, one line each.
    pub(crate) least: Vec<String>,
}

impl Measured {
    /// Prints tables for people.
    pub(crate) fn print(&self) {
        println!("simulated nodes: QEMU in software emulation; {}", self.load);
        println!("{:<66} {:>9}  {:<17} {:<9}", "FIGURE", "MEDIAN", "RANGE", "GOAL");
        self.goals.iter().chain(&self.stages).for_each(|figure| println!("{}", figure.line()));
        if self.steps.is_empty() {
            return;
        }
        println!("\nOne node alone, since power on (median, range) and since the line before:");
        let mut before = Some(0.0);
        for step in &self.steps {
            let took = step.median.zip(before).map(|(now, before)| now - before);
            println!(
                "{:<100}{}",
                step.line(),
                took.map_or(String::new(), |took| format!("+{took:.2}"))
            );
            before = step.median.or(before);
        }
        println!("\nThe least boot, seconds of the kernel's clock:");
        self.least.iter().for_each(|line| println!("{line}"));
    }

    /// The same for programs.
    pub(crate) fn json(&self) -> serde_json::Value {
        json!({
            "nodes_are_simulated": true,
            "load": self.load,
            "figures": self.goals.iter().chain(&self.stages).collect::<Vec<_>>(),
            "steps_since_power_on": self.steps,
            "least_boot": self.least,
        })
    }
}
