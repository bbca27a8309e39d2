//! The marks of a boot side by side, and the settings that the nodes read back.
//!
//! Pure; a job may have thousands of nodes, so that above a handful only the ends are shown.

use crate::table::{Table, seconds};
use protocol::api::DeploymentView;
use protocol::names::NodeName;
use protocol::node_list;
use std::collections::BTreeMap;

/// Most nodes that have a column each.
const COLUMNS_MAX: usize = 6;

/// Both tables, each after an empty line; nothing where there is nothing to show.
pub(crate) fn render(nodes: &[DeploymentView]) -> String {
    let tables = [marks(nodes), settings(nodes)];
    tables.into_iter().flatten().map(|table| format!("\n{}", table.text())).collect()
}

fn marks(nodes: &[DeploymentView]) -> Option<Table> {
    let all = || nodes.iter().flat_map(|node| &node.timeline);
    let zero = all().map(|mark| mark.unix_ns).min()?;
    let since_zero = |unix_ns: i64| seconds(unix_ns.saturating_sub(zero));
    // In order of the first node that reached each.
    let mut first_seen: BTreeMap<&str, i64> = BTreeMap::new();
    for mark in all() {
        let first = first_seen.entry(&mark.mark).or_insert(mark.unix_ns);
        *first = mark.unix_ns.min(*first);
    }
    let mut names: Vec<(i64, &str)> = first_seen.into_iter().map(|(name, at)| (at, name)).collect();
    names.sort_unstable();
    let narrow = nodes.len() <= COLUMNS_MAX;
    let mut table = if narrow {
        let titles: Vec<String> = nodes.iter().map(|node| format!(">{}", node.node)).collect();
        Table::new(["MARK"].into_iter().chain(titles.iter().map(String::as_str)))
    } else {
        Table::new(["MARK", ">NODES", ">FIRST", ">LAST", "LAST NODE"])
    };
    for (first, name) in names {
        let reached = |node: &DeploymentView| {
            node.timeline.iter().find(|mark| mark.mark == name).map(|mark| mark.unix_ns)
        };
        if narrow {
            let cells =
                nodes.iter().map(|node| reached(node).map_or_else(|| "-".into(), since_zero));
            table.row([name.to_owned()].into_iter().chain(cells));
        } else {
            let times = nodes.iter().filter_map(|node| Some((reached(node)?, &node.node)));
            let count = times.clone().count();
            let Some((last, node)) = times.max_by_key(|(at, _)| *at) else { continue };
            let count = format!("{count}/{}", nodes.len());
            table.row([name, &count, &since_zero(first), &since_zero(last), node.as_str()]);
        }
    }
    Some(table)
}

/// Settings as read back, nodes that agree in one row.
fn settings(nodes: &[DeploymentView]) -> Option<Table> {
    let mut agreed: BTreeMap<(&str, &str), Vec<NodeName>> = BTreeMap::new();
    for node in nodes {
        for setting in &node.applied {
            agreed.entry((&setting.name, &setting.value)).or_default().push(node.node.clone());
        }
    }
    let mut table = Table::new(["SETTING", "VALUE", "NODES"]);
    for ((name, value), nodes) in &agreed {
        table.row([*name, *value, &node_list::compress(nodes)]);
    }
    (!agreed.is_empty()).then_some(table)
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::api::MarkView;
    use protocol::boot::AppliedSetting;

    fn node(number: i64, marks: &[&str], value: &str) -> DeploymentView {
        let timeline = marks.iter().zip(0..).map(|(mark, at)| MarkView {
            mark: (*mark).into(),
            unix_ns: at * 1_000_000_000 + number * 10_000_000,
        });
        DeploymentView {
            node: format!("n{number}").parse().unwrap(),
            state: "booting".into(),
            detail: String::new(),
            since_unix_ns: 0,
            timeline: timeline.collect(),
            applied: vec![AppliedSetting { name: "vm.swappiness".into(), value: value.into() }],
            console: vec![],
        }
    }

    #[test]
    fn many_nodes_are_drawn_together() {
        let mut nodes: Vec<_> =
            (1..=7).map(|number| node(number, &["requested", "power_on"], "1")).collect();
        nodes.push(node(8, &["requested"], "60"));
        let expected = "
MARK       NODES  FIRST  LAST  LAST NODE
requested    8/8   0.00  0.07  n8
power_on     7/8   1.00  1.06  n7

SETTING        VALUE  NODES
vm.swappiness  1      n[1-7]
vm.swappiness  60     n8
";
        assert_eq!(render(&nodes), expected);
    }

    #[test]
    fn a_node_without_marks_shows_nothing() {
        let bare = DeploymentView { applied: vec![], ..node(1, &[], "") };
        assert_eq!(render(&[bare]), "");
    }
}
