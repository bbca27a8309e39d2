//! What iPXE asks: its script, and the boot token as an initrd.

use super::App;
use super::answer::{Answer, refuse};
use super::auth::peer;
use crate::boot_script::{self, BootScript, CommandLine};
use crate::deployment::transition::Event;
use crate::deployment::{Blame, Deployment, Failure, State};
use crate::store::NodeRow;
use axum::extract::{Path, Request, State as AppState};
use protocol::error::ErrorKind;
use protocol::names::MacAddress;

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
    let newest = app.engine.store.current_on(name)?;
    let live = newest.filter(|one| one.state != State::Released);
    let from = peer(&parts)?.ip();
    // Everybody may ask, but only the node is believed: what it asks moves its deployment on.
    if !row.definition.is_at(from) {
        if app.engine.fleet.note_stranger(name) {
            log::warn!("node={name}: {from}, not its address, asked for its boot script");
        }
        return Ok(boot_script::wrong_address(http, mac, &row.definition.address));
    }
    app.engine.signs.heard(name);
    let expected = live.as_ref().filter(|one| one.state.is_booting() && one.failure.is_none());
    if expected.is_some() && app.engine.fleet.observed(name).is_being_cut {
        // It is about to lose its power, and asks again after that.
        return Ok(boot_script::hold(http, mac));
    }
    match &live {
        Some(one) if matches!(one.state, State::Ready | State::Kept) => app.engine.suspect(one.id),
        Some(one) => app.engine.apply(one.id, &Event::ScriptAsked)?,
        None => {}
    }
    // The node's state may have changed with the question: a crashed one gets nothing to boot.
    let still = expected.and_then(|one| app.engine.store.deployment(one.id).ok().flatten());
    let Some(one) = still.filter(|one| one.state == State::Booting) else {
        if app.engine.fleet.note_held(name) {
            log::info!("node={name} is held in iPXE: nothing to boot");
        }
        return Ok(boot_script::hold(http, mac));
    };
    app.engine.store.count_script(one.id)?;
    let pin = app.engine.store.pin(one.id)?;
    let config = &app.engine.config;
    let arguments = config.kernel_arguments.iter().chain(&pin.profile.arguments);
    let script = BootScript {
        line: CommandLine {
            node: &row.definition,
            url: &config.url,
            arguments: arguments.map(String::as_str).collect(),
        },
        kernel: pin.vmlinuz.sha256,
        initrd: pin.initrd.sha256,
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
    let from = peer(&parts)?.ip();
    let newest = app.engine.store.current_on(&row.definition.name)?;
    let is_cut = app.engine.fleet.observed(&row.definition.name).is_being_cut;
    let is_booting = |one: &Deployment| one.state == State::Booting && !is_cut;
    let one = newest.filter(is_booting).ok_or_else(refused)?;
    if !row.definition.is_at(from) {
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
    Ok(app.engine.store.node_with(mac)?.map(|row| (mac, row)))
}
