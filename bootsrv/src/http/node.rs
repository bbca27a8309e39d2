//! Nodes, for admins; users may look at the list.

use super::App;
use super::answer::{Answer, blocking, parse, refuse};
use super::auth::Signed;
use crate::application::choice;
use crate::clock::now_unix_ns;
use crate::deployment::{Deployment, State};
use crate::pin::Pin;
use crate::power::{Order, Power};
use crate::slurm_queue::{MAINTENANCE, Word};
use crate::store::NodeRow;
use crate::{catalog, console as console_log, token};
use axum::Json;
use axum::extract::{Path, State as AppState};
use protocol::api::{
    Maintenance, NodeDefinition, NodeView, PowerAction, PowerDefinition, PowerRequest,
};
use protocol::error::ErrorKind;
use protocol::job_options::JobOptions;
use protocol::names::NodeName;
use protocol::profile::Asker;
use std::collections::HashSet;
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
    let (mut macs, mut names) = (HashSet::new(), HashSet::new());
    for node in &body {
        if !macs.insert(node.mac) || !names.insert(&node.name) {
            return Err(refuse(
                ErrorKind::User,
                format!("node {} or its MAC address {} stands twice", node.name, node.mac),
            ));
        }
    }
    for other in app.engine.store.nodes()?.iter().map(|row| &row.definition) {
        if macs.contains(&other.mac)
            && !body.iter().any(|n| n.name == other.name || n.mac != other.mac)
        {
            return Err(refuse(
                ErrorKind::User,
                format!("MAC address {} belongs to node {}", other.mac, other.name),
            ));
        }
    }
    app.engine.store.put_nodes(&body)?;
    app.engine.fleet.start(&body, &app.site);
    app.engine.resync_wanted.store(true, Ordering::Relaxed);
    app.engine.changed.notify_one();
    let rows = app.engine.store.nodes()?;
    let ours = rows.iter().filter(|row| body.iter().any(|node| node.name == row.definition.name));
    Ok(Json(ours.map(|row| show(&app, row)).collect::<Answer<_>>()?))
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

/// How much of a console is sent, in bytes.
const CONSOLE_BYTES: u64 = 64 * 1024;

/// `GET …/console`: the end of the node's console log.
pub(super) async fn console(
    AppState(app): AppState<App>,
    Path(name): Path<String>,
    Signed { caller, body: () }: Signed<()>,
) -> Answer<String> {
    caller.require_admin()?;
    let row = find(&app, &name)?;
    let path = row.definition.console_log.ok_or_else(|| {
        refuse(ErrorKind::User, format!("node {name} has no console_log in its definition"))
    })?;
    console_log::tail(path.as_ref(), CONSOLE_BYTES)
        .map_err(|error| refuse(ErrorKind::Site, format!("reading {path}: {error}")))
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
    app.engine.store.set_maintenance(&node, body.reason.as_deref())?;
    match body.reason {
        Some(reason) => app.engine.drain(&node, &format!("{MAINTENANCE}{reason}")),
        None => app.engine.slurm.say(Word::Undrain(node)),
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
    let config = &app.engine.config;
    let partition = config.partition_of(node).ok_or_else(|| {
        refuse(ErrorKind::Site, "bootsrv.toml has no partition, so no default kernel")
    })?;
    let kernel = catalog::kernel_name(options, partition, node);
    let _kept = app.hub.keep();
    let kernel_choice = catalog::find(config, &app.hub, &kernel, Asker::default())?;
    let images = choice::images(config, &app.hub, options, Some(partition), Asker::default())?;
    if let Some(application) = images.application {
        let text = format!("image {} is for jobs to enter", application.request.reference);
        return Err(refuse(ErrorKind::User, text + ": a node without a job boots a node image"));
    }
    let image = images.node.unwrap_or_else(|| partition.default_image.clone());
    let pin = Pin::new(kernel_choice, choice::node_image(config, &app.hub, &image)?);
    let deployment = token::new_deployment(node.clone(), kernel, image, pin);
    app.engine.store.add_jobless(&deployment, now_unix_ns())?;
    app.engine.changed.notify_one();
    Ok(())
}

fn find(app: &App, name: &str) -> Answer<NodeRow> {
    let name: NodeName = parse(name)?;
    let unknown = || refuse(ErrorKind::User, format!("there is no node {name}"));
    app.engine.store.node(&name)?.ok_or_else(unknown)
}

fn live(app: &App, node: &NodeName) -> Answer<Option<Deployment>> {
    Ok(app.engine.store.newest_on(node)?.filter(|one| one.state != State::Released))
}

fn show(app: &App, row: &NodeRow) -> Answer<NodeView> {
    let NodeDefinition { name, mac, address, power, .. } = &row.definition;
    let seen = app.engine.fleet.observed(name);
    let one = live(app, name)?;
    let PowerDefinition::Ipmi { address: controller, .. } = power;
    Ok(NodeView {
        name: name.clone(),
        mac: *mac,
        address: address.clone(),
        power_method: format!("ipmi {controller}"),
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
        last_failure: row.last_failure.clone(),
    })
}
