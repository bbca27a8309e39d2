//! Registries: the OCI distribution specification, as far as pulling needs it.
//!
//! Knows HTTP, logins, mirrors and patience; does not know what becomes of the bytes.

mod auth;
mod endpoint;
pub(crate) mod failure;
pub(crate) mod manifest;
#[cfg(test)]
mod manifest_tests;
mod patience;
mod session;

pub(crate) use failure::Failure;
pub(crate) use patience::{Patience, Trial};
pub(crate) use session::{BlobStream, Refused, Session};

use crate::credentials::{CREDENTIALS_BYTES_MAX, Credential, CredentialsFile};
use crate::error::PrepareError;
use crate::progress::Progress;
use crate::settings::{RegistrySettings, Settings};
use endpoint::{Endpoint, Login, Whose};
use protocol::image_reference::DockerReference;
use reqwest::header::HeaderValue;
use reqwest::{Certificate, Client, Proxy, Url, redirect};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use tokio::sync::Mutex;

/// Most redirects of one request; registries need one, to where their blobs are.
const REDIRECTS_MAX: usize = 5;
/// Where the API of `docker.io` is.
const DOCKER_HUB: &str = "registry-1.docker.io";

/// Over which the rate of a layer is taken.
const RATE_WINDOW: Duration = Duration::from_secs(60);

/// How long things may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// To a connection.
    pub(crate) connect: Duration,
    /// A registry's silence.
    pub(crate) idle: Duration,
    /// Over which the rate of a layer is taken.
    pub(crate) rate_window: Duration,
    pub(crate) patience: Patience,
}

impl Pace {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            connect: seconds(settings.connect_seconds),
            idle: seconds(settings.idle_seconds),
            rate_window: RATE_WINDOW,
            patience: Patience::new(seconds(settings.patience_seconds)),
        }
    }
}

/// The registries of a site, as its settings have them.
#[derive(Debug)]
pub(crate) struct Registries {
    settings: BTreeMap<String, RegistrySettings>,
    credentials_file: Option<PathBuf>,
    pace: Pace,
    any: Client,
    special: BTreeMap<String, Client>,
}

impl Registries {
    /// Reads the files the settings name.
    pub(crate) fn open(settings: &Settings, pace: Pace) -> Result<Self, PrepareError> {
        // bootsrv's main did so already; the second is told so, and nothing changes.
        drop(rustls::crypto::ring::default_provider().install_default());
        let special = settings.registry.iter().map(|(name, special)| {
            check_mirrors(name, special)?;
            Ok((name.clone(), client(pace, name, special)?))
        });
        let registries = Self {
            special: special.collect::<Result<_, PrepareError>>()?,
            any: client(pace, "", &RegistrySettings::default())?,
            settings: settings.registry.clone(),
            credentials_file: settings.credentials_file.clone(),
            pace,
        };
        registries.site_credentials().map(|_| registries)
    }

    /// Where an image can be had, the mirrors first.
    pub(crate) fn session(
        &self,
        image: &DockerReference,
        user: Option<&Credential>,
        progress: Arc<Progress>,
    ) -> Result<Session, PrepareError> {
        let site = self.site_credentials()?;
        let special = self.settings.get(&image.registry);
        let mirrors = special.map_or(&[][..], |special| &special.mirrors);
        let mut endpoints = Vec::with_capacity(mirrors.len() + 1);
        for mirror in mirrors {
            endpoints.push(self.mirror(mirror, image, &site)?);
        }
        let login = match user {
            Some(credential) => Some(Login { credential: credential.clone(), whose: Whose::User }),
            None => site_login(&site, image)?,
        };
        let scheme = if special.is_some_and(|special| special.insecure) { "http" } else { "https" };
        let host = if image.registry == "docker.io" { DOCKER_HUB } else { &image.registry };
        let own = self.endpoint(&image.registry, format!("{scheme}://{host}"), &image.repository);
        Ok(Session::new(endpoints, Endpoint { login, ..own }, self.pace.patience, progress))
    }

    fn mirror(
        &self,
        mirror: &str,
        image: &DockerReference,
        site: &CredentialsFile,
    ) -> Result<Endpoint, PrepareError> {
        let (scheme, rest) = mirror.trim_end_matches('/').split_once("://").unwrap_or_default();
        let (host, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let repository = format!("{prefix}/{}", image.repository);
        let repository = repository.trim_start_matches('/');
        let there = DockerReference {
            registry: host.to_owned(),
            repository: repository.to_owned(),
            ..image.clone()
        };
        let login = site_login(site, &there)?;
        let endpoint = self.endpoint(host, format!("{scheme}://{host}"), repository);
        Ok(Endpoint { login, ..endpoint })
    }

    fn endpoint(&self, name: &str, base: String, repository: &str) -> Endpoint {
        Endpoint {
            name: name.to_owned(),
            base,
            repository: repository.to_owned(),
            client: self.special.get(name).unwrap_or(&self.any).clone(),
            login: None,
            idle: self.pace.idle,
            rate_window: self.pace.rate_window,
            authorization: Mutex::new(None::<HeaderValue>),
            given_up: AtomicBool::new(false),
        }
    }

    /// Read each time: passwords are changed without a restart.
    fn site_credentials(&self) -> Result<CredentialsFile, PrepareError> {
        let Some(path) = &self.credentials_file else { return Ok(CredentialsFile::default()) };
        let fail = |error: &dyn std::fmt::Display| {
            PrepareError::site(format!("the site's credentials_file {}: {error}", path.display()))
        };
        let bytes = read_limited(path).map_err(|error| fail(&error))?;
        CredentialsFile::parse(&bytes).map_err(|error| fail(&error))
    }
}

fn site_login(
    site: &CredentialsFile,
    image: &DockerReference,
) -> Result<Option<Login>, PrepareError> {
    let found = site
        .credential(image)
        .map_err(|error| PrepareError::site(format!("the site's credentials: {error}")))?;
    Ok(found.map(|credential| Login { credential, whose: Whose::Site }))
}

fn seconds(number: u32) -> Duration {
    Duration::from_secs(u64::from(number.max(1)))
}

fn read_limited(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(CREDENTIALS_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn wrong(name: &str, what: &str, why: &dyn std::fmt::Display) -> PrepareError {
    PrepareError::site(format!("[application_images.registry.\"{name}\"] {what}: {why}"))
}

fn check_mirrors(name: &str, special: &RegistrySettings) -> Result<(), PrepareError> {
    for mirror in &special.mirrors {
        let url = Url::parse(mirror).map_err(|error| wrong(name, mirror, &error))?;
        let plain = url.username().is_empty() && url.password().is_none() && url.query().is_none();
        if !plain || !url.has_host() || !matches!(url.scheme(), "http" | "https") {
            return Err(wrong(name, mirror, &"a mirror is http[s]://host[:port][/prefix]"));
        }
    }
    Ok(())
}

fn client(pace: Pace, name: &str, special: &RegistrySettings) -> Result<Client, PrepareError> {
    let mut builder = Client::builder()
        .user_agent(concat!("bare-metal-container/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(pace.connect)
        .read_timeout(pace.idle)
        .referer(false)
        .redirect(redirect_policy());
    if let Some(path) = &special.ca_file {
        let fail = |error: &dyn std::fmt::Display| wrong(name, &path.display().to_string(), error);
        let pem = read_limited(path).map_err(|error| fail(&error))?;
        let certificates = Certificate::from_pem_bundle(&pem).map_err(|error| fail(&error))?;
        if certificates.is_empty() {
            return Err(fail(&"there is no certificate in it"));
        }
        builder = builder.tls_certs_merge(certificates);
    }
    match special.proxy.as_deref() {
        None => {}
        Some("none") => builder = builder.no_proxy(),
        Some(proxy) => {
            let proxy = Proxy::all(proxy).map_err(|error| wrong(name, "proxy", &error))?;
            builder = builder.proxy(proxy);
        }
    }
    builder.build().map_err(|error| wrong(name, "HTTP client", &error))
}

/// To other hosts too, where blobs are; the client sends no login there. Never from TLS to none.
fn redirect_policy() -> redirect::Policy {
    redirect::Policy::custom(|attempt| {
        let was_tls = attempt.previous().last().is_some_and(|url| url.scheme() == "https");
        if attempt.previous().len() > REDIRECTS_MAX {
            attempt.error("too many redirects")
        } else if was_tls && attempt.url().scheme() != "https" {
            attempt.error("it leads from TLS to plain HTTP")
        } else {
            attempt.follow()
        }
    })
}
