//! `bmc node`: the machines, for administrators; everybody may look.

use super::{node_clear, node_console, node_file};
use crate::cli::{NodeVerb, PowerArgs, PowerWord};
use crate::failure::refused;
use crate::output;
use crate::server::Server;
use crate::table::{Table, UNKNOWN, fields, time};
use jiff::tz::TimeZone;
use protocol::api::{Maintenance, NodeView, PowerAction};
use protocol::job_options::JobOptions;
use protocol::names::{ImageName, KernelName, NodeName};
use protocol::node_list;

/// Does what was asked and returns what to print.
pub(crate) fn run(verb: NodeVerb, server: &dyn Server) -> anyhow::Result<String> {
    match verb {
        NodeVerb::Import { file } => {
            let nodes = node_file::read(&file)?;
            server.import_nodes(&nodes)?;
            let names: Vec<NodeName> = nodes.into_iter().map(|node| node.name).collect();
            Ok(format!("{} node(s) imported: {}\n", names.len(), node_list::compress(&names)))
        }
        NodeVerb::List(args) => output::show(args.json, &server.nodes()?, |all| list(all, &zone())),
        NodeVerb::Show { name, json } => {
            output::show(json.json, &server.node(&name)?, |view| show(view, &zone()))
        }
        NodeVerb::Clear(args) => node_clear::run(args, server),
        NodeVerb::Power(args) => power(&args, server),
        NodeVerb::Console { name, follow } => node_console::run(&name, follow, server),
        NodeVerb::Boot { name, kernel, image } => boot(&name, kernel, image, server),
        NodeVerb::Maintenance { name, reason, end: _ } => maintenance(&name, reason, server),
    }
}

fn power(args: &PowerArgs, server: &dyn Server) -> anyhow::Result<String> {
    let name = &args.name;
    let action = match args.action {
        PowerWord::On => PowerAction::On,
        PowerWord::Off => PowerAction::Off,
        PowerWord::Status => PowerAction::Status,
    };
    if action == PowerAction::Off && !args.yes {
        let view = server.node(name)?;
        if let Some(use_) = in_use(&view) {
            return Err(refused(
                format!("node {name} is in use ({use_})"),
                "Add --yes to switch it off all the same.",
            ));
        }
    }
    let view = server.power(name, action)?;
    output::show(args.json.json, &view, |view| format!("{}: power is {}\n", view.name, watts(view)))
}

/// What a node is used for; `None`: nothing.
fn in_use(view: &NodeView) -> Option<String> {
    match view.job {
        Some(job) => Some(format!("job {job}, {}", view.state)),
        None => (view.state != "idle").then(|| view.state.clone()),
    }
}

fn watts(view: &NodeView) -> String {
    let watts = view.watts.map_or_else(String::new, |watts| format!(", {watts} W"));
    format!("{}{watts}", view.power)
}

fn boot(
    name: &NodeName,
    kernel: Option<KernelName>,
    image: Option<ImageName>,
    server: &dyn Server,
) -> anyhow::Result<String> {
    let options = JobOptions { kernel, node_image: image, ..JobOptions::default() };
    server.boot(name, &options)?;
    Ok(format!("{name} boots: see `bmc node show {name}`\n"))
}

fn maintenance(
    name: &NodeName,
    reason: Option<String>,
    server: &dyn Server,
) -> anyhow::Result<String> {
    let view = server.maintenance(name, &Maintenance { reason })?;
    Ok(match &view.maintenance {
        Some(reason) => format!("{name} is kept out of use: {}\n", crate::table::printable(reason)),
        None => format!("{name} may be used again\n"),
    })
}

/// The reader's time zone; UTC where this machine does not say.
fn zone() -> TimeZone {
    TimeZone::system()
}

/// When and why a node failed last.
fn failure(view: &NodeView, zone: &TimeZone) -> Option<String> {
    let why = view.last_failure.as_ref()?;
    let at = view.last_failure_unix_ns.map(|at| format!("{}: ", time(at, zone)));
    Some(at.unwrap_or_default() + why)
}

fn list(nodes: &[NodeView], zone: &TimeZone) -> String {
    if nodes.is_empty() {
        return "no node is defined yet: see `bmc node import --help`\n".to_owned();
    }
    let mut table = Table::new(["NAME", "POWER", ">WATTS", "STATE", ">JOB", ">STRIKES", "NOTE"]);
    for view in nodes {
        let maintenance = view.maintenance.as_ref().map(|why| format!("maintenance: {why}"));
        let failure = failure(view, zone).map(|failure| format!("failed {failure}"));
        table.row([
            view.name.as_str(),
            &view.power,
            &view.watts.map_or_else(|| "-".to_owned(), |watts| watts.to_string()),
            &view.state,
            &view.job.map_or_else(|| "-".to_owned(), |job| job.to_string()),
            &view.strikes.to_string(),
            &maintenance.or(failure).unwrap_or_default(),
        ]);
    }
    table.text()
}

fn show(view: &NodeView, zone: &TimeZone) -> String {
    let or_empty = |text: &Option<String>| text.clone().unwrap_or_default();
    fields(&[
        ("name", view.name.to_string()),
        ("mac", view.mac.to_string()),
        ("address", view.address.clone()),
        ("controller", view.power_method.clone()),
        ("power", view.power.clone()),
        ("watts", view.watts.map_or_else(|| UNKNOWN.to_owned(), |watts| watts.to_string())),
        ("state", view.state.clone()),
        ("job", view.job.map_or_else(String::new, |job| job.to_string())),
        ("maintenance", or_empty(&view.maintenance)),
        ("strikes", view.strikes.to_string()),
        ("last failure", failure(view, zone).unwrap_or_default()),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::names::JobId;

    fn view(name: &str) -> NodeView {
        NodeView {
            name: name.parse().unwrap(),
            mac: "52:54:00:77:00:01".parse().unwrap(),
            address: "10.77.0.11/24".into(),
            power_method: "ipmi 10.77.1.11".into(),
            power: "on".into(),
            watts: Some(107),
            state: "running".into(),
            job: Some(JobId(42)),
            maintenance: None,
            strikes: 2,
            last_failure: Some("no agent within 300 s".into()),
            last_failure_unix_ns: Some(1_795_288_102_900_000_000),
        }
    }

    fn idle(name: &str) -> NodeView {
        NodeView {
            power: "off".into(),
            watts: None,
            state: "idle".into(),
            job: None,
            maintenance: Some("fan 3".into()),
            ..view(name)
        }
    }

    #[test]
    fn a_list_shows_maintenance_before_an_old_failure() {
        let expected = "\
NAME  POWER  WATTS  STATE    JOB  STRIKES  NOTE
n1    on       107  running   42        2  failed 2026-11-21 19:08:22: no agent within 300 s
n2    off        -  idle       -        2  maintenance: fan 3
";
        assert_eq!(list(&[view("n1"), idle("n2")], &TimeZone::UTC), expected);
        assert!(list(&[], &TimeZone::UTC).contains("bmc node import"));
    }

    #[test]
    fn one_shows_everything_and_no_reading_is_unknown() {
        let expected = "\
name          n2
mac           52:54:00:77:00:01
address       10.77.0.11/24
controller    ipmi 10.77.1.11
power         off
watts         unknown
state         idle
job           -
maintenance   fan 3
strikes       2
last failure  2026-11-21 19:08:22: no agent within 300 s
";
        assert_eq!(show(&idle("n2"), &TimeZone::UTC), expected);
    }

    #[test]
    fn a_node_is_in_use_with_a_job_or_without() {
        assert_eq!(in_use(&view("n1")).as_deref(), Some("job 42, running"));
        assert_eq!(in_use(&NodeView { job: None, ..view("n1") }).as_deref(), Some("running"));
        assert_eq!(in_use(&idle("n1")), None);
    }
}
