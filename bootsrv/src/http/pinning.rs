//! From a reference to exactly one content, asked with the caller's own registry credential.

use super::App;
use super::answer::{Answer, Refused, refuse};
use super::auth::Caller;
use crate::application::{self, preparation, uploads};
use crate::clock::now_unix_ns;
use images::{Blame, PrepareError};
use protocol::api::RegistryCredential;
use protocol::error::{ApiError, ErrorKind};
use protocol::image_reference::{DockerReference, ImageReference};
use protocol::names::Digest;
use std::time::Duration;
use tokio::time::timeout;

/// Longest a registry is asked while somebody submits: the plugin waits a second for the answer.
const RESOLVE_LIMIT: Duration = Duration::from_millis(800);
/// Longest a registry is asked while somebody pulls an image by hand.
const PULL_RESOLVE_LIMIT: Duration = Duration::from_secs(40);

/// Pins a job's reference, and keeps the caller's credential for the pull. A registry that does not
/// answer in time, or has a fault, leaves the reference as it is: the job's start asks again.
pub(super) async fn pin(
    app: &App,
    caller: &Caller,
    image: ImageReference,
    credential: Option<String>,
) -> Answer<ImageReference> {
    let ImageReference::Docker(docker) = &image else { return sent(app, caller, image) };
    let login = open(caller, docker, credential).await?;
    let asked = resolve(app, docker, login.as_ref(), RESOLVE_LIMIT).await;
    let pinned = match asked {
        Ok(digest) => admitted(app, caller, image.clone(), &digest)?,
        Err(error) if error.blame == Blame::Site => {
            log::info!("image {image} is pinned when its job starts: {error}");
            image.clone()
        }
        Err(error) => return Err(refuse(ErrorKind::User, error.reason)),
    };
    // Under both names: where this answer comes too late, the job carries the text as it was typed.
    if image != pinned {
        keep(app, caller, &image, login.as_ref())?;
    }
    keep(app, caller, &pinned, login.as_ref())?;
    Ok(pinned)
}

/// Pins a reference that somebody waits for at a terminal: no answer is an error.
pub(super) async fn pin_now(
    app: &App,
    caller: &Caller,
    image: ImageReference,
    credential: Option<String>,
) -> Answer<ImageReference> {
    let ImageReference::Docker(docker) = &image else { return sent(app, caller, image) };
    let login = open(caller, docker, credential).await?;
    let digest = resolve(app, docker, login.as_ref(), PULL_RESOLVE_LIMIT).await.map_err(refused)?;
    let pinned = admitted(app, caller, image, &digest)?;
    keep(app, caller, &pinned, login.as_ref())?;
    Ok(pinned)
}

/// As the API says it.
pub(super) fn refused(error: PrepareError) -> Refused {
    refuse(preparation::kind(error.blame), error.reason)
}

/// A file can be used: this keeps its bytes.
fn sent(app: &App, caller: &Caller, image: ImageReference) -> Answer<ImageReference> {
    if let Some(why) = lack(app, caller.uid, &image)? {
        let text = format!("image {image} {why}");
        return Err(Refused(ApiError::new(ErrorKind::User, text).hint(
            "The plugin and bmc send it where the command is typed: type the path as it is there.",
        )));
    }
    if let Some(content) = application::admission(&image) {
        app.engine.store.admit(caller.uid, &content, now_unix_ns())?;
    }
    Ok(image)
}

/// Why a user cannot have what a reference to a file stands for; none: they have sent its bytes, and
/// those are here, or the image they became is.
pub(super) fn lack(app: &App, uid: u32, image: &ImageReference) -> Answer<Option<&'static str>> {
    let (Some(digest), Some(key)) = (image.digest(), images::prepared::key(image)) else {
        return Ok(Some("was not sent to bootsrv"));
    };
    if !app.engine.store.is_admitted(uid, &uploads::admission(digest))? {
        return Ok(Some("was not sent to bootsrv by you"));
    }
    let shelf = app.hub.application().shelf();
    let here = app.engine.uploaded(digest).is_some() || shelf.get(&key).map_err(refused)?.is_some();
    Ok((!here).then_some("is no longer at bootsrv"))
}

async fn resolve(
    app: &App,
    docker: &DockerReference,
    login: Option<&RegistryCredential>,
    limit: Duration,
) -> Result<Digest, PrepareError> {
    let asked = app.hub.application().resolve(docker, login.map(|login| &login.login));
    timeout(limit, asked).await.unwrap_or_else(|_| {
        let text = format!("registry {} did not answer in time", docker.registry);
        Err(PrepareError::site(text))
    })
}

fn admitted(
    app: &App,
    caller: &Caller,
    image: ImageReference,
    digest: &Digest,
) -> Answer<ImageReference> {
    let pinned = image.pinned(*digest);
    if let Some(content) = application::admission(&pinned) {
        app.engine.store.admit(caller.uid, &content, now_unix_ns())?;
    }
    Ok(pinned)
}

/// Of a pinned image until it is pulled; not at all if it is there already.
fn keep(
    app: &App,
    caller: &Caller,
    image: &ImageReference,
    login: Option<&RegistryCredential>,
) -> Answer<()> {
    let Some(login) = login else { return Ok(()) };
    let shelf = app.hub.application().shelf();
    let here = image.digest().map(|digest| shelf.get(digest)).transpose().map_err(refused)?;
    if !here.flatten().is_some_and(|here| here.is_from(image)) {
        app.engine.store.keep_credential(caller.uid, image, login, now_unix_ns())?;
    }
    Ok(())
}

/// Opens the sealed credential. It is the caller's own, for this registry, and nobody else's.
async fn open(
    caller: &Caller,
    docker: &DockerReference,
    sealed: Option<String>,
) -> Answer<Option<RegistryCredential>> {
    let Some(sealed) = sealed else { return Ok(None) };
    let decoding = tokio::task::spawn_blocking(move || munge::decode(&sealed, None));
    let decoded = decoding.await.map_err(|error| refuse(ErrorKind::Internal, error.to_string()))?;
    let decoded = decoded.map_err(|error| {
        let text = format!("the registry credential cannot be opened: {}", crate::chain(&error));
        Refused(ApiError::new(ErrorKind::Site, text).hint(
            "It is sealed for slurm_user of client.toml: that must be the user bootsrv runs as.",
        ))
    })?;
    if decoded.uid != caller.uid {
        return Err(refuse(ErrorKind::Forbidden, "the registry credential is another user's"));
    }
    let login: RegistryCredential = serde_json::from_slice(&decoded.payload)
        .map_err(|_| refuse(ErrorKind::User, "the registry credential is not valid"))?;
    if login.registry != docker.registry {
        let text = format!("the registry credential is not for {}", docker.registry);
        return Err(refuse(ErrorKind::User, text));
    }
    Ok(Some(login))
}
