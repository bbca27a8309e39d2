//! Nodes, for admins; users may look at the list.

use super::App;
use super::answer::{Answer, blocking, parse, refuse};
use super::auth::Signed;
use crate::deployment::{Deployment, State};
use crate::power::{self, Order, Power};
use crate::scheduler;
use crate::slurm_queue::{MAINTENANCE, Word};
use crate::store::NodeRow;
use axum::Json;
use axum::extract::{Path, State as AppState};
use protocol::api::{Maintenance, NodeDefinition, NodeView, PowerAction, PowerRequest};
use protocol::error::ErrorKind;
use protocol::job_options::JobOptions;
use protocol::names::NodeName;
use std::collections::{HashMap, HashSet};
use std::io::ErrorKind::NotFound;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::oneshot;

/// `GET`: all nodes.
pub(super) async fn list(
    AppState(app): AppState<App>,
    _: Signed<()>,
) -> Answer<Json<Vec<NodeView>>> {
    let rows = app.engine.store.nodes()?;
    Ok(Json(rows.iter().map(|row| show(&app, row)).collect::<Answer<_>>()?))
}

/// `GET`: one node.
pub(super) async fn get(
    AppState(app): AppState<App>,
    Path(name): Path<String>,
    _: Signed<()>,
) -> Answer<Json<NodeView>> {
    show(&app, &find(&app, &name)?).map(Json)
}

/// `PUT`: adds or replaces nodes, all or none.
pub(super) async fn import(
    AppState(app): AppState<App>,
    Signed { caller, body }: Signed<Vec<NodeDefinition>>,
) -> Answer<Json<Vec<NodeView>>> {
    caller.require_admin()?;
    for node in &body {
        if let Err(problem) = power::supported(node) {
            return Err(refuse(ErrorKind::User, format!("node {}: {problem}", node.name)));
        }
    }
    let known = app.engine.store.nodes()?;
    if let Some(conflict) = conflict(&body, known.iter().map(|row| &row.definition)) {
        return Err(refuse(ErrorKind::User, conflict));
    }
    app.engine.store.put_nodes(&body)?;
    app.engine.fleet.start(&body, &app.site);
    app.engine.resync_wanted.store(true, Ordering::Relaxed);
    app.engine.changed.notify_one();
    let rows = app.engine.store.nodes()?;
    let ours = rows.iter().filter(|row| body.iter().any(|node| node.name == row.definition.name));
    Ok(Json(ours.map(|row| show(&app, row)).collect::<Answer<_>>()?))
}

/// Why the nodes cannot stand beside each other and the others that are known; a node that is defined anew
/// replaces itself.
fn conflict<'a>(
    new: &'a [NodeDefinition],
    known: impl Iterator<Item = &'a NodeDefinition>,
) -> Option<String> {
    let mut names = HashSet::new();
    if let Some(twice) = new.iter().find(|node| !names.insert(&node.name)) {
        return Some(format!("node {} stands twice", twice.name));
    }
    let (mut macs, mut addresses) = (HashMap::new(), HashMap::new());
    known.filter(|node| !names.contains(&node.name)).chain(new).find_map(|node| {
        let name = &node.name;
        if let Some(other) = macs.insert(node.mac, name) {
            return Some(format!("nodes {other} and {name} have one MAC address, {}", node.mac));
        }
        let other = addresses.insert(node.ip()?, name)?;
        Some(format!("nodes {other} and {name} have one address, {}", node.address))
    })
}

/// Longest an admin waits for a power order, in seconds.
const POWER_SECONDS_MAX: u64 = 90;

/// `PUT …/power`: switches by hand. Off is refused while a job has the node.
pub(super) async fn power(
    AppState(app): AppState<App>,
    Path(name): Path<String>,
    Signed { caller, body }: Signed<PowerRequest>,
) -> Answer<Json<NodeView>> {
    caller.require_admin()?;
    let row = find(&app, &name)?;
    let node = &row.definition.name;
    if let Some(one) = live(&app, node)?
        && body.action == PowerAction::Off
        && one.state < State::PoweringOff
    {
        let Some(job) = one.job else {
            // Nobody's job: through slurmctld, so that it knows; SuspendProgram powers off.
            app.engine.slurm.say(Word::PowerDown(node.clone()));
            return show(&app, &row).map(Json);
        };
        let text = format!("node {node} is {} for job {job}", one.state.describe());
        return Err(refuse(ErrorKind::Busy, text));
    }
    app.engine.fleet.note_by_hand(node, body.action);
    let (answer, result) = oneshot::channel();
    app.engine.fleet.order(node, Order::Admin(body.action, answer));
    let answered = tokio::time::timeout(Duration::from_secs(POWER_SECONDS_MAX), result).await;
    match answered {
        Ok(Ok(Ok(_))) => show(&app, &row).map(Json),
        Ok(Ok(Err(reason))) => Err(refuse(ErrorKind::Site, format!("node {node} {reason}"))),
        Ok(Err(_)) | Err(_) => Err(refuse(
            ErrorKind::Site,
            format!("node {node}: its controller did not answer in time"),
        )),
    }
}

/// `GET …/console`: the newest part of the node's console.
pub(super) async fn console(
    AppState(app): AppState<App>,
    Path(name): Path<String>,
    Signed { caller, body: () }: Signed<()>,
) -> Answer<String> {
    caller.require_admin()?;
    let row = find(&app, &name)?;
    blocking(move || {
        let (path, text) = app.engine.consoles.newest(&row.definition).ok_or_else(|| {
            let text = format!("node {name} has neither console_log nor console in its definition");
            refuse(ErrorKind::User, text)
        })?;
        match text {
            Err(error) if error.kind() == NotFound && row.definition.console.is_some() => {
                let text = format!("node {name} has not booted since its console is captured");
                Err(refuse(ErrorKind::User, text))
            }
            text => text.map_err(|error| {
                refuse(ErrorKind::Site, format!("reading {}: {error}", path.display()))
            }),
        }
    })
    .await
}

/// `PUT …/maintenance`: takes a node out of use, or ends that.
pub(super) async fn maintenance(
    AppState(app): AppState<App>,
    Path(name): Path<String>,
    Signed { caller, body }: Signed<Maintenance>,
) -> Answer<Json<NodeView>> {
    caller.require_admin()?;
    let row = find(&app, &name)?;
    let node = row.definition.name;
    match body.reason {
        Some(reason) => {
            app.engine.store.begin_maintenance(&node, &reason)?;
            app.engine.drain(&node, &format!("{MAINTENANCE}{reason}"));
        }
        None => {
            app.engine.store.end_maintenance(&node)?;
            app.engine.slurm.say(Word::Undrain(node));
        }
    }
    show(&app, &find(&app, &name)?).map(Json)
}

/// `POST …/boot`: boots a node for no job, with the default kernel if none is named.
pub(super) async fn boot(
    AppState(app): AppState<App>,
    Path(name): Path<String>,
    Signed { caller, body }: Signed<JobOptions>,
) -> Answer<Json<NodeView>> {
    caller.require_admin()?;
    let row = find(&app, &name)?;
    if let Some(one) =
        live(&app, &row.definition.name)?.filter(|one| !one.state.has_given_node_back())
    {
        return Err(refuse(ErrorKind::Busy, format!("node {name} is {}", one.state.describe())));
    }
    blocking(move || {
        boot_with(&app, &row.definition.name, &body)?;
        // slurmctld must expect the node, or its registration would be a surprise.
        app.engine.slurm.say(Word::PowerUp(row.definition.name.clone()));
        show(&app, &row).map(Json)
    })
    .await
}

/// Boots a node for no job with its partition's default kernel.
pub(super) fn boot_default(app: &App, node: &NodeName) -> Answer<()> {
    boot_with(app, node, &JobOptions::default())
}

fn boot_with(app: &App, node: &NodeName, options: &JobOptions) -> Answer<()> {
    let partition = app.engine.config.partition_of(node).ok_or_else(|| {
        refuse(ErrorKind::Site, "bootsrv.toml has no partition, so no default kernel")
    })?;
    let row = find(app, node.as_str())?;
    Ok(scheduler::boot(&app.engine, &app.hub, &row.definition, partition, options)?)
}

fn find(app: &App, name: &str) -> Answer<NodeRow> {
    let name: NodeName = parse(name)?;
    let unknown = || refuse(ErrorKind::User, format!("there is no node {name}"));
    app.engine.store.node(&name)?.ok_or_else(unknown)
}

fn live(app: &App, node: &NodeName) -> Answer<Option<Deployment>> {
    Ok(app.engine.store.current_on(node)?.filter(|one| one.state != State::Released))
}

fn show(app: &App, row: &NodeRow) -> Answer<NodeView> {
    let NodeDefinition { name, mac, address, power, .. } = &row.definition;
    let seen = app.engine.fleet.observed(name);
    let one = live(app, name)?;
    Ok(NodeView {
        name: name.clone(),
        mac: *mac,
        address: address.clone(),
        power_method: power.to_string(),
        power: match seen.power {
            Some(Power::On) => "on",
            Some(Power::Off) => "off",
            None => "unknown",
        }
        .into(),
        watts: seen.watts,
        state: one.as_ref().map_or("idle", |one| one.state.name()).into(),
        job: one.and_then(|one| one.job),
        maintenance: row.maintenance.clone(),
        strikes: row.strikes,
        last_failure: row.last_failure.clone(),
        last_failure_unix_ns: row.last_failure_unix_ns,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::examples::node;

    #[test]
    fn a_card_or_address_belongs_to_one_node() {
        let [one, two, three] = [1, 2, 3].map(|number| {
            let (mac, address) =
                (format!("52:54:00:00:00:0{number}"), format!("10.0.0.{number}/24"));
            node(&format!("n{number}"), &mac, &address)
        });
        let known = [one.clone(), two.clone()];
        let of = |new: &[NodeDefinition]| conflict(new, known.iter());
        assert_eq!(of(&[one.clone(), three.clone()]), None, "as it was, and a new one");
        let swapped = [
            NodeDefinition { mac: two.mac, address: two.address.clone(), ..one.clone() },
            NodeDefinition { mac: one.mac, address: one.address.clone(), ..two.clone() },
        ];
        assert_eq!(of(&swapped), None, "cards and addresses are exchanged");
        for (new, expected) in [
            (vec![three.clone(), three.clone()], "node n3 stands twice"),
            (
                vec![one.clone(), NodeDefinition { mac: two.mac, ..three.clone() }],
                "nodes n2 and n3 have one MAC address, 52:54:00:00:00:02",
            ),
            (
                vec![NodeDefinition { address: "10.0.0.1/16".into(), ..three.clone() }],
                "nodes n1 and n3 have one address, 10.0.0.1/16",
            ),
        ] {
            assert_eq!(of(&new).unwrap(), expected);
        }
    }
}
