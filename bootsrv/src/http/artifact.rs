//! Artifacts: immutable files, named by their SHA-256, for nodes that are booting.

use super::App;
use super::answer::{Answer, parse, refuse};
use super::auth::peer;
use crate::deployment::{Application, Deployment};
use axum::body::Body;
use axum::extract::{Path, Request, State as AppState};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use protocol::error::ErrorKind;
use protocol::names::Digest;
use std::net::IpAddr;
use tower::ServiceExt;
use tower_http::services::ServeFile;

/// `GET /artifacts/{sha256}`, with ranges. Only to the address of a node that is booting, or whose job
/// has an application image with that layer.
pub(super) async fn get(
    AppState(app): AppState<App>,
    Path(sha256): Path<String>,
    request: Request,
) -> Answer<Response> {
    let sha256: Digest = parse(&sha256)?;
    let (parts, _) = request.into_parts();
    let from = peer(&parts)?.ip();
    if !may_fetch(&app, from, &sha256)? {
        return Err(refuse(
            ErrorKind::Forbidden,
            format!("{from} is not the address of a node that boots it"),
        ));
    }
    let path = app.hub.path(&sha256);
    let served = ServeFile::new(path).oneshot(Request::from_parts(parts, Body::empty())).await;
    let mut response = served.into_response();
    let for_ever = HeaderValue::from_static("public, max-age=31536000, immutable");
    response.headers_mut().insert(header::CACHE_CONTROL, for_ever);
    Ok(response)
}

/// Whether the node at that address may have an artifact.
pub(super) fn may_fetch(app: &App, from: IpAddr, sha256: &Digest) -> Answer<bool> {
    let store = &app.engine.store;
    let live = store.live_deployments()?;
    let up = |one: &&Deployment| one.state.is_booting() || one.state.may_fetch_application();
    for one in live.iter().filter(up) {
        let node = store.node(&one.node)?;
        if !node.is_some_and(|node| node.definition.is_at(from)) {
            continue;
        }
        if one.state.is_booting() || has_layer(app, one, sha256)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether it is a layer of the application image of a deployment's job.
fn has_layer(app: &App, one: &Deployment, sha256: &Digest) -> Answer<bool> {
    if one.application == Application::None {
        return Ok(false);
    }
    let of = one.try_id.map(|id| app.engine.store.one_try(id)).transpose()?.flatten();
    let image = of.and_then(|of| of.asked.application_image);
    Ok(image.is_some_and(|image| image.layers.iter().any(|layer| &layer.sha256 == sha256)))
}
