//! Who calls: people and hooks by a munge credential, nodes by their boot token and address.

use super::App;
use super::answer::{Answer, Refused, refuse};
use crate::deployment::Deployment;
use crate::users;
use axum::body::Bytes;
use axum::extract::{ConnectInfo, FromRef, FromRequest, FromRequestParts, Request};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use protocol::api::credential_payload;
use protocol::error::ErrorKind;
use protocol::names::Digest;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};
use std::net::SocketAddr;

/// A caller whose credential was good for exactly this request.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    pub(super) uid: u32,
    /// As the user database has it; `None`: the id has no name.
    pub(super) user: Option<String>,
    /// root or SlurmUser.
    pub(super) admin: bool,
}

impl Caller {
    pub(super) fn require_admin(&self) -> Answer<()> {
        if self.admin {
            return Ok(());
        }
        Err(refuse(ErrorKind::Forbidden, "only root and SlurmUser may do this"))
    }
}

/// A caller and the JSON body the credential vouches for. Without a body: `Signed<()>`.
pub(super) struct Signed<T> {
    pub(super) caller: Caller,
    pub(super) body: T,
}

impl<S, T> FromRequest<S> for Signed<T>
where
    App: FromRef<S>,
    S: Send + Sync,
    T: DeserializeOwned + 'static,
{
    type Rejection = Refused;

    async fn from_request(request: Request, state: &S) -> Answer<Self> {
        let app = App::from_ref(state);
        let (parts, body) = request.into_parts();
        let request = Request::from_parts(parts.clone(), body);
        let bytes = Bytes::from_request(request, state)
            .await
            .map_err(|error| refuse(ErrorKind::User, error.body_text()))?;
        let (caller, claimed) = claim(&app, &parts).await?;
        require_body(&claimed, &sha256(&bytes))?;
        // An empty body stands for JSON's null, so that `Signed<()>` reads it.
        let text: &[u8] = if bytes.is_empty() { b"null" } else { &bytes };
        let body = serde_json::from_slice(text)
            .map_err(|error| refuse(ErrorKind::User, format!("the body is not valid: {error}")))?;
        Ok(Self { caller, body })
    }
}

/// The caller of a request, and the SHA-256 of the body that the credential vouches for. The body
/// itself may come later: an upload is refused before it is read.
pub(super) async fn claim(app: &App, parts: &Parts) -> Answer<(Caller, Digest)> {
    let missing =
        || refuse(ErrorKind::Forbidden, "no munge credential in the Authorization header");
    let credential = parts
        .headers
        .get("authorization")
        .and_then(|value| value.to_str().ok()?.strip_prefix("MUNGE "))
        .ok_or_else(missing)?
        .to_owned();
    let decoding = tokio::task::spawn_blocking(move || {
        let decoded = munge::decode(&credential, None)?;
        let user = users::name_of(decoded.uid);
        Ok((decoded, user))
    });
    let (decoded, user) = decoding
        .await
        .map_err(|error| refuse(ErrorKind::Internal, error.to_string()))?
        .map_err(|error: munge::MungeError| refuse(ErrorKind::Forbidden, crate::chain(&error)))?;
    let path = parts.uri.path_and_query().map_or("", |path| path.as_str());
    let payload = String::from_utf8_lossy(&decoded.payload);
    let sha256 = payload.rsplit(' ').next().and_then(|word| word.parse().ok());
    match sha256 {
        Some(sha256) if payload == credential_payload(parts.method.as_str(), path, &sha256) => {
            let admin = decoded.uid == 0 || decoded.uid == app.slurm_uid;
            Ok((Caller { uid: decoded.uid, user, admin }, sha256))
        }
        _ => Err(refuse(ErrorKind::Forbidden, "the munge credential was made for another request")),
    }
}

/// Refuses a body that is not the one the credential vouches for.
pub(super) fn require_body(claimed: &Digest, body: &Digest) -> Answer<()> {
    if claimed == body {
        return Ok(());
    }
    Err(refuse(ErrorKind::Forbidden, "the munge credential was made for another body"))
}

pub(super) fn sha256(bytes: &[u8]) -> Digest {
    Digest(Sha256::digest(bytes).into())
}

/// A booting node: its token is right and it calls from the node's own address.
pub(super) struct Booting(pub(super) Deployment);

impl FromRequestParts<App> for Booting {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Answer<Self> {
        let wrong = || refuse(ErrorKind::Forbidden, "the boot token is not valid here");
        let token = token(&parts.headers).ok_or_else(wrong)?;
        let deployment =
            app.engine.store.by_token(&crate::token::hash(token))?.ok_or_else(wrong)?;
        let node = app.engine.store.node(&deployment.node)?.ok_or_else(wrong)?;
        if !node.definition.is_at(peer(parts)?.ip()) {
            return Err(wrong());
        }
        Ok(Self(deployment))
    }
}

fn token(headers: &HeaderMap) -> Option<&str> {
    headers.get(protocol::boot::TOKEN_HEADER)?.to_str().ok()
}

/// The address a request comes from.
pub(super) fn peer(parts: &Parts) -> Answer<SocketAddr> {
    parts
        .extensions
        .get::<ConnectInfo<SocketAddr>>()
        .map(|info| info.0)
        .ok_or_else(|| refuse(ErrorKind::Internal, "the listener does not tell peer addresses"))
}
