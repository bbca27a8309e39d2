//! What a running node is told, over the question that its agent keeps open.

use super::App;
use super::answer::{Answer, refuse};
use super::auth::Booting;
use crate::boot_script::{CommandLine, command_line};
use crate::deployment::{Deployment, State, Way};
use crate::plan::cpus_expected;
use crate::store::NodeRow;
use axum::Json;
use axum::extract::State as AppState;
use axum::http::HeaderMap;
use protocol::boot::{
    AHEAD_HEADER, ARG_CLEAR_MEMORY, Adoption, FetchAhead, KernelFiles, Kexec, ORDERS_SECONDS,
    Orders,
};
use protocol::error::ErrorKind;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// `GET`: answered as soon as there is something to do.
pub(super) async fn get(
    AppState(app): AppState<App>,
    Booting(one): Booting,
    headers: HeaderMap,
) -> Answer<Json<Orders>> {
    let ahead = headers.get(AHEAD_HEADER).and_then(|value| value.to_str().ok());
    let deadline = Instant::now() + Duration::from_secs(ORDERS_SECONDS.into());
    let changed = app.engine.signs.changed(&one.node);
    // Once: that it is woken later is not the node's word.
    app.engine.signs.heard(&one.node);
    loop {
        let woken = changed.notified();
        tokio::pin!(woken);
        // Before looking: what changes after the look must not be missed.
        woken.as_mut().enable();
        let orders = orders(&app, &one, ahead)?;
        if orders != Orders::Nothing {
            return Ok(Json(orders));
        }
        if timeout_at(deadline, woken).await.is_err() {
            return Ok(Json(Orders::Nothing));
        }
    }
}

/// `ahead`: the kernel that the node has been told to fetch, empty: none.
fn orders(app: &App, asker: &Deployment, ahead: Option<&str>) -> Answer<Orders> {
    let store = &app.engine.store;
    let gone = || refuse(ErrorKind::Forbidden, "this boot is no longer known");
    let own = store.deployment(asker.id)?.ok_or_else(gone)?;
    let newest = store.current_on(&own.node)?.ok_or_else(gone)?;
    let takes_over = newest.state == State::TakingOver && newest.taken_from == Some(own.id);
    match (takes_over, own.state) {
        (true, State::Released) => take_over(app, &newest),
        // The other half of the hand-over is about to be written.
        (true, _) => Ok(Orders::Nothing),
        (false, State::Kept) => fetch_ahead(app, &own, ahead),
        (false, state) if state < State::PoweringOff => Ok(Orders::Nothing),
        (false, _) => Ok(Orders::ShutDown),
    }
}

/// Profiles of one kernel differ in arguments and settings: what the node runs is what it may most
/// probably be told to start again.
fn fetch_ahead(app: &App, own: &Deployment, ahead: Option<&str>) -> Answer<Orders> {
    let of = own.try_id.map(|id| app.engine.store.one_try(id)).transpose()?.flatten();
    let partition = of.and_then(|of| app.engine.config.partition(&of.asked.partition));
    let pin = app.engine.store.pin(own.id)?;
    let has_it = ahead.is_none_or(|ahead| ahead == pin.vmlinuz.sha256.to_string());
    if has_it || !partition.is_some_and(|partition| partition.kexec) {
        return Ok(Orders::Nothing);
    }
    let bytes = pin.vmlinuz.bytes.saturating_add(pin.initrd.bytes);
    let within_seconds = ahead_seconds(bytes, app.engine.fleet.nodes());
    let files = KernelFiles { kernel: pin.vmlinuz, initrd: pin.initrd };
    Ok(Orders::FetchAhead(FetchAhead { files, within_seconds }))
}

/// Over how long the site's nodes spread a download that nobody waits for.
fn ahead_seconds(bytes: u64, nodes: usize) -> u32 {
    /// Less than a quarter of what 10 GbE carries: others boot meanwhile.
    const BYTES_A_SECOND: u64 = 250_000_000;
    const SECONDS: std::ops::RangeInclusive<u64> = 5..=600;
    let seconds = bytes.saturating_mul(nodes as u64) / BYTES_A_SECOND;
    u32::try_from(seconds.clamp(*SECONDS.start(), *SECONDS.end())).unwrap_or(u32::MAX)
}

fn take_over(app: &App, one: &Deployment) -> Answer<Orders> {
    let store = &app.engine.store;
    // The agent has it already, and has used it.
    let Some(token) = store.token_for_take_over(one.id)? else { return Ok(Orders::Nothing) };
    let missing = || refuse(ErrorKind::Site, format!("node {} is no longer defined", one.node));
    let NodeRow { definition: node, .. } = store.node(&one.node)?.ok_or_else(missing)?;
    let pin = store.pin(one.id)?;
    if one.way == Way::Adopt {
        let cpus_online = cpus_expected(&pin.profile, &node);
        let application = one.application != crate::deployment::Application::None;
        let adoption = Adoption { token, job: one.job, cpus_online, application };
        return Ok(Orders::Adopt(adoption));
    }
    let config = &app.engine.config;
    let mut arguments: Vec<&str> =
        config.kernel_arguments.iter().chain(&pin.profile.arguments).map(String::as_str).collect();
    if store.clears_memory(one.id)? {
        arguments.push(ARG_CLEAR_MEMORY);
    }
    let line = CommandLine { node: &node, url: &config.url, arguments };
    Ok(Orders::Kexec(Kexec {
        token,
        files: KernelFiles { kernel: pin.vmlinuz, initrd: pin.initrd },
        command_line: command_line(&line),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_nodes_take_their_time_to_fetch_ahead() {
        assert_eq!(ahead_seconds(20_000_000, 4), 5);
        assert_eq!(ahead_seconds(60_000_000, 1_000), 240);
        assert_eq!(ahead_seconds(u64::MAX, usize::MAX), 600);
    }
}
