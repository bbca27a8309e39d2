//! Holds docs/failures.md to the truth: what it names as a proof exists, as a case on the virtual
//! cluster or as a test.

use crate::run::root;
use anyhow::{Context, Result};
use std::collections::BTreeSet;

/// The tables.
const TABLES: &str = "docs/failures.md";
/// Where the cases are listed, one a line, or one behind an opening bracket.
const CASES: &str = "tests/real/main.rs";
/// The heading of the last column.
const COLUMN: &str = "proof";
/// What the column says where there is nothing yet, and where nothing can be.
const NONE: [&str; 2] = ["not proved", "cannot happen"];

/// Collects the names of tests and cases, file by file, as the tree is walked.
#[derive(Debug, Default)]
pub(crate) struct Names(BTreeSet<String>);

impl Names {
    /// Notes what a file has.
    pub(crate) fn note(&mut self, file: &str, text: &str) {
        if file.ends_with(".rs") {
            self.0.extend(tests(text));
        }
        if file == CASES {
            self.0.extend(cases(text));
        }
    }

    /// Compares the tables with them.
    pub(crate) fn check(&self, broken: &mut Vec<String>) -> Result<()> {
        let text = std::fs::read_to_string(root().join(TABLES)).context(TABLES)?;
        broken.extend(faults(&text, &self.0));
        Ok(())
    }
}

/// The functions behind a test's attribute; one that is not run proves nothing.
fn tests(text: &str) -> Vec<String> {
    let is_test = |line: &&str| line.starts_with("#[test]") || line.starts_with("#[tokio::test");
    let mut found = Vec::new();
    let mut lines = text.lines().map(str::trim);
    while lines.by_ref().any(|line| is_test(&line)) {
        let mut is_run = true;
        let of_function = lines.by_ref().find_map(|line| {
            is_run &= !line.starts_with("#[ignore");
            line.split_once("fn ")
        });
        let name = of_function.and_then(|(_, rest)| rest.split(['(', '<']).next());
        found.extend(name.filter(|_| is_run).map(str::to_owned));
    }
    found
}

/// The first texts of the list's entries.
fn cases(text: &str) -> Vec<String> {
    let name = |line: &str| {
        let rest = line.trim().trim_start_matches('(').strip_prefix('"')?;
        rest.split_once('"').map(|(name, _)| name.to_owned())
    };
    text.lines().filter_map(name).collect()
}

/// Each row of a table with that column names what there is, or says that there is nothing.
fn faults(text: &str, known: &BTreeSet<String>) -> Vec<String> {
    let (mut faults, mut in_table, mut rows) = (Vec::new(), false, 0);
    for (number, line) in (1..).zip(text.lines()) {
        let Some(cells) = line.strip_prefix('|').and_then(|line| line.strip_suffix('|')) else {
            in_table = false;
            continue;
        };
        let last = cells.rsplit('|').next().unwrap_or_default().trim();
        if last == COLUMN {
            in_table = true;
        } else if in_table && !last.starts_with("---") {
            rows += 1;
            let names: Vec<&str> = last.split('`').skip(1).step_by(2).collect();
            if names.is_empty() && !NONE.iter().any(|none| last.starts_with(none)) {
                faults.push(format!("{TABLES}:{number} has no proof, and does not say so"));
            }
            for name in names.into_iter().filter(|name| !known.contains(*name)) {
                faults
                    .push(format!("{TABLES}:{number} names {name}, which is no case and no test"));
            }
        }
    }
    if rows == 0 {
        faults.push(format!("{TABLES} has no table with the column {COLUMN}"));
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_and_cases_are_found() {
        let text = "#[test]\nfn one() {}\n#[tokio::test(start_paused = true)]\n    async fn two() {}\n\
                    fn three() {}\n#[test]\n#[ignore = \"long\"]\nfn four() {}";
        assert_eq!(tests(text), ["one", "two"]);
        assert_eq!(cases("    (\"five\", a::b),\n    (\n        \"six\",\n"), ["five", "six"]);
    }

    #[test]
    fn a_proof_that_is_not_there_is_found() {
        let known = BTreeSet::from(["one".to_owned()]);
        let table = |cell: &str| format!("| when | proof |\n|---|---|\n| x | {cell} |\n");
        for (cell, expected) in [
            ("`one`", 0),
            ("not proved", 0),
            ("cannot happen: why", 0),
            ("`one`, `two`", 1),
            ("it works", 1),
            ("", 1),
        ] {
            assert_eq!(faults(&table(cell), &known).len(), expected, "{cell}");
        }
        assert_eq!(faults("no table", &known).len(), 1);
        assert_eq!(faults("| a | b |\n|---|---|\n| x | `two` |\n", &known).len(), 1);
    }
}
