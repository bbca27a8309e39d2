//! Artifacts: immutable files, named by their SHA-256, for nodes that are booting.

use super::App;
use super::answer::{Answer, parse, refuse};
use super::auth::peer;
use crate::clock::now_unix_ns;
use crate::deployment::{Application, Deployment, State};
use axum::body::Body;
use axum::extract::{Path, Request, State as AppState};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use protocol::error::ErrorKind;
use protocol::names::Digest;
use std::net::IpAddr;
use std::sync::atomic::Ordering;
use tower::ServiceExt;
use tower_http::services::ServeFile;

/// `GET /artifacts/{sha256}`, with ranges. Only to the address of a node that is booting, whose job has
/// an application image with that layer, or that idles and fetches its kernel ahead.
pub(super) async fn get(
    AppState(app): AppState<App>,
    Path(sha256): Path<String>,
    request: Request,
) -> Answer<Response> {
    let sha256: Digest = parse(&sha256)?;
    let (parts, _) = request.into_parts();
    let from = peer(&parts)?.ip();
    let Some(one) = fetcher(&app, from, &sha256)? else {
        return Err(refuse(
            ErrorKind::Forbidden,
            format!("{from} is not the address of a node that boots it"),
        ));
    };
    let path = app.hub.path(&sha256);
    let served = ServeFile::new(path).oneshot(Request::from_parts(parts, Body::empty())).await;
    let mut response = served.into_response();
    let for_ever = HeaderValue::from_static("public, max-age=31536000, immutable");
    response.headers_mut().insert(header::CACHE_CONTROL, for_ever);
    if one.application != Application::Awaited {
        return Ok(response);
    }
    // As long as it gets some of it, a node is not given up; the length stands in the header.
    let fetch = app.engine.fetch(one.id);
    Ok(response.map(|body| {
        let noted = move |_: &_| fetch.store(now_unix_ns(), Ordering::Relaxed);
        Body::from_stream(body.into_data_stream().inspect(noted))
    }))
}

/// The deployment of the node at that address that may have an artifact now.
pub(super) fn fetcher(app: &App, from: IpAddr, sha256: &Digest) -> Answer<Option<Deployment>> {
    let store = &app.engine.store;
    for node in store.nodes_at(from)? {
        for one in store.live_deployments_of(&node)? {
            let may = one.state.is_booting()
                || one.state.may_fetch_application() && has_layer(app, &one, sha256)?
                || one.state == State::Kept && is_its_kernel(app, &one, sha256)?;
            if may {
                return Ok(Some(one));
            }
        }
    }
    Ok(None)
}

/// Whether it is the kernel or the initrd that the node runs.
fn is_its_kernel(app: &App, one: &Deployment, sha256: &Digest) -> Answer<bool> {
    let pin = app.engine.store.pin(one.id)?;
    Ok([pin.vmlinuz.sha256, pin.initrd.sha256].contains(sha256))
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
