//! One figure: several values, its goal, and what is printed of it. Pure.

use serde::Serialize;

/// A figure as it is printed, and as `--json` gives it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Figure {
    /// What was measured.
    pub(crate) name: String,
    /// `s`, `ms`, or empty for a ratio.
    pub(crate) unit: &'static str,
    /// One a repeat, in the order of the repeats.
    pub(crate) values: Vec<f64>,
    /// The median of the values; `None`: unknown.
    pub(crate) median: Option<f64>,
    /// The largest median with which the goal is met; `None`: there is none.
    pub(crate) goal: Option<f64>,
    /// `None`: no goal, or unknown in any repeat.
    pub(crate) met: Option<bool>,
    /// Why it is unknown, or is so in some repeats.
    pub(crate) unknown: Option<String>,
}

impl Figure {
    /// The figure of several repeats; each that has no value says why.
    pub(crate) fn new(
        name: impl Into<String>,
        unit: &'static str,
        goal: Option<f64>,
        repeats: impl IntoIterator<Item = Result<f64, String>>,
    ) -> Self {
        let (mut values, mut reasons) = (Vec::new(), Vec::new());
        for repeat in repeats {
            match repeat {
                Ok(value) => values.push(value),
                Err(reason) if reasons.contains(&reason) => {}
                Err(reason) => reasons.push(reason),
            }
        }
        if values.is_empty() && reasons.is_empty() {
            reasons.push("not measured in this run".to_owned());
        }
        let median = median(&values);
        // A repeat that failed may have been the slowest: with it the median is not known.
        let met =
            median.zip(goal).filter(|_| reasons.is_empty()).map(|(median, goal)| median <= goal);
        let unknown = (!reasons.is_empty()).then(|| reasons.join("; "));
        Self { name: name.into(), unit, values, median, goal, met, unknown }
    }

    /// The line of the table.
    pub(crate) fn line(&self) -> String {
        let number = |value: f64| format!("{value:.0$}", self.digits());
        let unit = if self.unit.is_empty() { "×" } else { self.unit };
        let name = &self.name;
        let Some(median) = self.median else {
            let reason = self.unknown.as_deref().unwrap_or_default();
            return format!("{name:<66} unknown: {reason}");
        };
        let least = self.values.iter().copied().fold(f64::INFINITY, f64::min);
        let most = self.values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let shown = format!("{} {unit}", number(median));
        let range = format!("{} – {}", number(least), number(most));
        let goal = self.goal.map_or_else(String::new, |goal| format!("≤ {goal} {unit}"));
        let met = match (self.met, self.goal) {
            (Some(true), _) => "met",
            (Some(false), _) => "NOT MET",
            (None, Some(_)) => "unknown",
            (None, None) => "",
        };
        let partly = self.unknown.as_ref().map_or_else(String::new, |why| format!("  ({why})"));
        format!("{name:<66} {shown:>9}  {range:<17} {goal:<9} {met}{partly}").trim_end().to_owned()
    }

    fn digits(&self) -> usize {
        if self.unit == "ms" { 1 } else { 2 }
    }
}

/// The middle value, or the mean of the two middle ones.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)?;
    let lower = if sorted.len().is_multiple_of(2) { *sorted.get(middle - 1)? } else { upper };
    Some(f64::midpoint(lower, upper))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_decides() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0]), Some(2.5));
        assert_eq!(median(&[]), None);
        let figure = Figure::new("a", "s", Some(1.5), [Ok(1.0), Ok(9.0), Ok(1.2)]);
        assert_eq!(figure.met, Some(true));
        assert!(figure.line().ends_with("1.20 s  1.00 – 9.00       ≤ 1.5 s   met"));
    }

    #[test]
    fn what_was_not_measured_is_unknown_and_never_met() {
        let figure = Figure::new("a", "s", Some(1.0), [Err("no log".to_owned())]);
        assert_eq!((figure.median, figure.met), (None, None));
        assert!(figure.line().ends_with("unknown: no log"));
        let partly = Figure::new("a", "", None, [Err("no log".to_owned()), Ok(1.0)]);
        assert!(partly.line().ends_with("(no log)"));
        let failed =
            Figure::new("a", "s", Some(1.0), [Ok(0.5), Err("no boot".to_owned()), Ok(0.5)]);
        assert_eq!((failed.median, failed.met), (Some(0.5), None));
        assert!(failed.line().ends_with("≤ 1 s     unknown  (no boot)"), "{}", failed.line());
    }
}
