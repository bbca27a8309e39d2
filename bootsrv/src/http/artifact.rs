//! Artifacts: immutable files, named by their SHA-256, for nodes that are booting.

use super::App;
use super::answer::{Answer, parse, refuse};
use super::auth::peer;
use axum::body::Body;
use axum::extract::{Path, Request, State as AppState};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use protocol::error::ErrorKind;
use protocol::names::Digest;
use std::net::IpAddr;
use tower::ServiceExt;
use tower_http::services::ServeFile;

/// `GET /artifacts/{sha256}`, with ranges. Only to the address of a node that is booting.
pub(super) async fn get(
    AppState(app): AppState<App>,
    Path(sha256): Path<String>,
    request: Request,
) -> Answer<Response> {
    let sha256: Digest = parse(&sha256)?;
    let (parts, _) = request.into_parts();
    let from = peer(&parts)?.ip();
    if !is_booting(&app, from)? {
        return Err(refuse(
            ErrorKind::Forbidden,
            format!("{from} is not the address of a booting node"),
        ));
    }
    let path = app.hub.path(&sha256);
    let served = ServeFile::new(path).oneshot(Request::from_parts(parts, Body::empty())).await;
    let mut response = served.into_response();
    let for_ever = HeaderValue::from_static("public, max-age=31536000, immutable");
    response.headers_mut().insert(header::CACHE_CONTROL, for_ever);
    Ok(response)
}

fn is_booting(app: &App, from: IpAddr) -> Answer<bool> {
    let booting = app.engine.store.live_deployments()?;
    for one in booting.iter().filter(|one| one.state.is_booting()) {
        let node = app.engine.store.node(&one.node)?;
        if node.is_some_and(|node| node.definition.is_at(from)) {
            return Ok(true);
        }
    }
    Ok(false)
}
