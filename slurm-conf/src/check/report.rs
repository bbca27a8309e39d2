//! Findings as text for people and as JSON for programs.

use super::{Finding, Severity};
use serde_json::{Value, json};

fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

/// One paragraph a finding: where, what is wrong, what to write instead.
#[must_use]
pub fn as_text(findings: &[Finding]) -> String {
    let paragraph = |finding: &Finding| {
        let line = finding.line.map_or(String::new(), |line| format!(":{line}"));
        format!(
            "{}: {}{line}: {}: {}\n    instead: {}\n",
            word(finding.severity),
            finding.file.display(),
            finding.setting,
            finding.wrong,
            finding.instead
        )
    };
    findings.iter().map(paragraph).collect()
}

/// A list of objects with the fields of [`Finding`].
#[must_use]
pub fn as_json(findings: &[Finding]) -> Value {
    let object = |finding: &Finding| {
        json!({
            "severity": word(finding.severity),
            "rule": finding.rule,
            "file": finding.file.display().to_string(),
            "line": finding.line,
            "setting": finding.setting,
            "wrong": finding.wrong,
            "instead": finding.instead,
        })
    };
    findings.iter().map(object).collect()
}
