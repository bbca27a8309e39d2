//! `bmc doctor`: what does not agree, a line each, what needs an admin first.

use crate::cli::Json;
use crate::output;
use crate::server::Server;
use crate::table::{Table, span};
use protocol::api::{Doctor, MendedBy};

/// What to print, and whether something needs an admin.
pub(crate) fn run(args: Json, server: &dyn Server) -> anyhow::Result<(String, bool)> {
    let doctor = server.doctor()?;
    let needs_admin = doctor.findings.iter().any(|one| one.mended_by == MendedBy::Admin);
    Ok((output::show(args.json, &doctor, text)?, needs_admin))
}

fn text(doctor: &Doctor) -> String {
    let since = |unix_ns: i64| span(doctor.now_unix_ns.saturating_sub(unix_ns));
    let mut table = Table::new(["MENDED BY", "NODE", ">FOR", "WHAT"]);
    for one in &doctor.findings {
        let node = one.node.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string);
        table.row([
            match one.mended_by {
                MendedBy::Admin => "you",
                MendedBy::Itself => "itself",
                MendedBy::Nobody => "-",
            },
            &node,
            &one.since_unix_ns.map_or_else(|| "-".to_owned(), since),
            &format!("{} -> {}", one.what, one.follows),
        ]);
    }
    let found = if doctor.findings.is_empty() {
        "nothing is amiss\n".to_owned()
    } else {
        table.text() + "\n"
    };
    let more = match doctor.left_out {
        0 => String::new(),
        count => format!("{count} more findings are not shown\n"),
    };
    let compared = match doctor.compared_unix_ns {
        Some(at) => {
            format!("{} node(s), compared with slurmctld {} ago", doctor.nodes, since(at))
        }
        None => format!("{} node(s), not compared with slurmctld yet", doctor.nodes),
    };
    format!("{found}{more}{compared}; not measured: {}\n", doctor.not_measured.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::api::{Finding, FindingKind};

    const SECOND: i64 = 1_000_000_000;

    fn doctor(findings: Vec<Finding>) -> Doctor {
        Doctor {
            now_unix_ns: 10_000 * SECOND,
            nodes: 4,
            compared_unix_ns: Some(9_993 * SECOND),
            findings,
            left_out: 0,
            not_measured: vec!["the clocks of the nodes".into()],
        }
    }

    #[test]
    fn a_finding_is_a_line_with_its_age_and_what_follows() {
        let of = |mended_by, node: Option<&str>, since: Option<i64>| Finding {
            mended_by,
            kind: FindingKind::OwnDrain,
            node: node.map(|node| node.parse().unwrap()),
            since_unix_ns: since.map(|since| since * SECOND),
            what: "drained: x (strike 2)".into(),
            follows: "bmc node clear n3".into(),
        };
        let shown = doctor(vec![
            of(MendedBy::Admin, Some("n3"), Some(2_000)),
            of(MendedBy::Admin, None, None),
            of(MendedBy::Itself, Some("n4"), Some(9_960)),
        ]);
        let expected = "\
MENDED BY  NODE   FOR  WHAT
you        n3     2 h  drained: x (strike 2) -> bmc node clear n3
you        -        -  drained: x (strike 2) -> bmc node clear n3
itself     n4    40 s  drained: x (strike 2) -> bmc node clear n3

4 node(s), compared with slurmctld 7 s ago; not measured: the clocks of the nodes
";
        assert_eq!(text(&shown), expected);
    }

    #[test]
    fn nothing_is_said_in_one_word_and_an_old_comparison_is_told() {
        let expected = "\
nothing is amiss
4 node(s), not compared with slurmctld yet; not measured: the clocks of the nodes
";
        assert_eq!(text(&Doctor { compared_unix_ns: None, ..doctor(vec![]) }), expected);
        let cut = Doctor { left_out: 3, ..doctor(vec![]) };
        assert!(text(&cut).contains("\n3 more findings are not shown\n"));
    }
}
