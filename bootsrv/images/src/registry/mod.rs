//! Registries: the OCI distribution specification, as far as pulling needs it.
//!
//! Knows HTTP, logins, mirrors and patience; does not know what becomes of the bytes.

mod auth;
mod client;
mod endpoint;
pub(crate) mod failure;
pub(crate) mod manifest;
#[cfg(test)]
mod manifest_tests;
mod patience;
mod reach;
mod session;

pub(crate) use failure::Failure;
pub(crate) use patience::{Patience, Trial};
pub(crate) use session::{BlobStream, Refused, Session};

use crate::credentials::{CREDENTIALS_BYTES_MAX, Credential, CredentialsFile};
use crate::error::PrepareError;
use crate::progress::Progress;
use crate::settings::{RegistrySettings, Settings};
use client::{Caller, wrong};
use endpoint::{Endpoint, Login, Whose};
use protocol::image_reference::DockerReference;
use reqwest::Url;
use reqwest::header::HeaderValue;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use tokio::sync::Mutex;

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
    /// For registries without settings.
    any: Caller,
    /// For mirrors without settings of their own.
    mirrors: Caller,
    special: BTreeMap<String, Caller>,
}

impl Registries {
    /// Reads the files the settings name.
    pub(crate) fn open(settings: &Settings, pace: Pace) -> Result<Self, PrepareError> {
        let special = settings.registry.iter().map(|(name, special)| {
            check_mirrors(name, special)?;
            Ok((name.clone(), Caller::anywhere(pace, name, special)?))
        });
        let registries = Self {
            special: special.collect::<Result<_, PrepareError>>()?,
            any: Caller::outside(pace)?,
            mirrors: Caller::anywhere(pace, "", &RegistrySettings::default())?,
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
        let base = format!("{scheme}://{host}");
        let own = self.endpoint(&image.registry, base, &image.repository, &self.any);
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
        let base = format!("{scheme}://{host}");
        let endpoint = self.endpoint(host, base, repository, &self.mirrors);
        Ok(Endpoint { login, ..endpoint })
    }

    fn endpoint(&self, name: &str, base: String, repository: &str, any: &Caller) -> Endpoint {
        Endpoint {
            name: name.to_owned(),
            base,
            repository: repository.to_owned(),
            caller: self.special.get(name).unwrap_or(any).clone(),
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
