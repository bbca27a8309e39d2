//! `bmc node clear`: an admin has looked at nodes that failed.

use crate::cli::ClearArgs;
use crate::output;
use crate::server::Server;
use crate::table::printable;
use protocol::api::{ClearRequest, Cleared, ClearedDrain};

/// Clears the nodes and says what became of each.
pub(super) fn run(args: ClearArgs, server: &dyn Server) -> anyhow::Result<String> {
    let mut nodes: Vec<_> = args.nodes.into_iter().flat_map(|list| list.0).collect();
    nodes.sort();
    nodes.dedup();
    let request = ClearRequest { nodes, dry_run: args.dry_run };
    let cleared = server.clear(&request)?;
    output::show(args.json.json, &cleared, |cleared| text(cleared, args.dry_run))
}

fn text(cleared: &[Cleared], dry_run: bool) -> String {
    let head = if dry_run { "Nothing was changed. It would be:\n" } else { "" };
    head.to_owned() + &cleared.iter().map(line).collect::<String>()
}

fn line(one: &Cleared) -> String {
    let node = &one.node;
    let forgotten = match (one.strikes, &one.last_failure) {
        (0, None) => "nothing was held against it".to_owned(),
        (0, Some(failure)) => format!("forgotten: {failure}"),
        (1, _) => "1 strike forgotten".to_owned(),
        (strikes, _) => format!("{strikes} strikes forgotten"),
    };
    let drain = match &one.drain {
        ClearedDrain::None => String::new(),
        ClearedDrain::TakenBack(reason) => format!("; its drain ends: {reason}"),
        ClearedDrain::Stays(reason) => format!(
            "; it stays out of use, for that is not the boot server's doing: {reason} \
             (scontrol update nodename={node} state=resume)"
        ),
        ClearedDrain::Maintenance(reason) => {
            format!("; it stays in maintenance: {reason} (bmc node maintenance {node} --end)")
        }
        ClearedDrain::Unknown => {
            "; whether it is drained is not known: slurmctld has not answered".to_owned()
        }
    };
    printable(&format!("{node}: {forgotten}{drain}")) + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_node_has_a_line_that_says_what_stays() {
        let of = |node: &str, strikes, failure: Option<&str>, drain| Cleared {
            node: node.parse().unwrap(),
            strikes,
            last_failure: failure.map(String::from),
            drain,
        };
        let stays = ClearedDrain::Stays("fan\u{1b}[2J".into());
        let cleared = [
            of("n1", 2, Some("x"), ClearedDrain::TakenBack("x (strike 2)".into())),
            of("n2", 1, Some("x"), ClearedDrain::None),
            of("n3", 0, None, stays),
            of("n4", 0, Some("y"), ClearedDrain::Maintenance("fan".into())),
            of("n5", 0, None, ClearedDrain::Unknown),
        ];
        let expected = "\
Nothing was changed. It would be:
n1: 2 strikes forgotten; its drain ends: x (strike 2)
n2: 1 strike forgotten
n3: nothing was held against it; it stays out of use, for that is not the boot server's doing: \
fan?[2J (scontrol update nodename=n3 state=resume)
n4: forgotten: y; it stays in maintenance: fan (bmc node maintenance n4 --end)
n5: nothing was held against it; whether it is drained is not known: slurmctld has not answered
";
        assert_eq!(text(&cleared, true), expected);
        assert!(!text(&cleared, false).contains("Nothing was changed"));
    }
}
