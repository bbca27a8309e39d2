//! What iPXE asks: its script, and the boot token as an initrd.

use super::App;
use super::answer::{Answer, refuse};
use super::auth::peer;
use crate::boot_script::{self, BootScript};
use crate::catalog;
use crate::deployment::transition::Event;
use crate::deployment::{Blame, Failure, State};
use crate::store::NodeRow;
use axum::extract::{Path, Request, State as AppState};
use protocol::error::ErrorKind;
use protocol::names::MacAddress;
use protocol::profile::Asker;

/// `GET /boot/{mac}`: the boot script, or the hold script. Always a script: an error page would
/// leave a machine standing at a prompt.
pub(super) async fn script(
    AppState(app): AppState<App>,
    Path(mac): Path<String>,
    request: Request,
) -> Answer<String> {
    let http = &app.engine.config.url.http;
    let Some((mac, row)) = node_of(&app, &mac)? else {
        let shown: String =
            mac.chars().filter(|c| c.is_ascii_hexdigit() || "-:".contains(*c)).take(17).collect();
        return Ok(boot_script::unknown(http, &shown));
    };
    let (parts, _) = request.into_parts();
    let name = &row.definition.name;
    let newest = app.engine.store.newest_on(name)?;
    let live = newest.filter(|one| one.state != State::Released);
    let expected = live.as_ref().filter(|one| one.state.is_booting() && one.failure.is_none());
    if let Some(one) = &live {
        app.engine.apply(one.id, &Event::ScriptAsked)?;
    }
    // The node's state may have changed with the question: a crashed one gets nothing to boot.
    let still = expected.and_then(|one| app.engine.store.deployment(one.id).ok().flatten());
    let Some(one) = still.filter(|one| one.state == State::Booting) else {
        log::info!("node={name} held in iPXE, from {}", peer(&parts)?.ip());
        app.engine.fleet.note_held(name);
        return Ok(boot_script::hold(http, mac));
    };
    app.engine.store.count_script(one.id)?;
    let choice = match catalog::find(&app.engine.config, &app.hub, &one.kernel, Asker::default()) {
        Ok(choice) => choice,
        Err(error) => {
            let failure = Failure { blame: Blame::Job, reason: error.to_string() };
            app.engine.apply(one.id, &Event::Failed(failure))?;
            return Ok(boot_script::hold(http, mac));
        }
    };
    let site = app.engine.config.kernel_arguments.iter();
    let script = BootScript {
        node: name,
        mac,
        address: &row.definition.address,
        gateway: row.definition.gateway.as_deref(),
        http_url: http,
        https_url: &app.engine.config.url.https,
        kernel: choice.kernel.vmlinuz.sha256,
        initrd: choice.kernel.initrd.sha256,
        arguments: site.chain(&choice.profile.arguments).map(String::as_str).collect(),
    };
    Ok(script.render())
}

/// `GET /boot/{mac}/token`: once, to the node's address, while it boots. A second fetch means that
/// somebody else may hold the token, and fails the boot.
pub(super) async fn token(
    AppState(app): AppState<App>,
    Path(mac): Path<String>,
    request: Request,
) -> Answer<Vec<u8>> {
    let refused = || refuse(ErrorKind::Forbidden, "no boot token here");
    let (parts, _) = request.into_parts();
    let (_, row) = node_of(&app, &mac)?.ok_or_else(refused)?;
    let expected = row.definition.address.split('/').next().unwrap_or("");
    let from = peer(&parts)?.ip().to_string();
    let newest = app.engine.store.newest_on(&row.definition.name)?;
    let one = newest.filter(|one| one.state == State::Booting).ok_or_else(refused)?;
    if from != expected {
        log::warn!("node={}: {from} asked for its boot token", row.definition.name);
        return Err(refused());
    }
    match app.engine.store.take_token(one.id)? {
        Some(token) => Ok(artifacts::token_initrd(token.expose())),
        None => {
            let reason = "its boot token was asked for twice: the boot was repeated or somebody else \
                          on the network asked";
            let failure = Failure { blame: Blame::Node, reason: reason.into() };
            app.engine.apply(one.id, &Event::Failed(failure))?;
            Err(refused())
        }
    }
}

fn node_of(app: &App, mac: &str) -> Answer<Option<(MacAddress, NodeRow)>> {
    let Ok(mac) = mac.parse::<MacAddress>() else { return Ok(None) };
    let rows = app.engine.store.nodes()?;
    Ok(rows.into_iter().find(|row| row.definition.mac == mac).map(|row| (mac, row)))
}
