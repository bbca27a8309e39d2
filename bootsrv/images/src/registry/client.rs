//! HTTP clients, as a site's settings have them.

use super::reach::{self, Local, Outside};
use super::{Pace, read_limited};
use crate::error::PrepareError;
use crate::settings::RegistrySettings;
use reqwest::{Certificate, Client, ClientBuilder, Proxy, Url, redirect};
use std::sync::Arc;

/// Most redirects of one request; registries need one, to where their blobs are.
const REDIRECTS_MAX: usize = 5;

/// How hosts are asked; clones share the connections.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    pub(super) client: Client,
    /// Follows no redirect: it sends secrets in bodies, which would go along to any host.
    pub(super) poster: Client,
    /// Goes nowhere on this machine or its link.
    is_outside: bool,
}

impl Caller {
    /// For hosts that users name as they like.
    pub(super) fn outside(pace: Pace) -> Result<Self, PrepareError> {
        Self::of(pace, "", &RegistrySettings::default(), true)
    }

    /// For a host of the site's choice.
    pub(super) fn anywhere(
        pace: Pace,
        name: &str,
        special: &RegistrySettings,
    ) -> Result<Self, PrepareError> {
        Self::of(pace, name, special, false)
    }

    fn of(
        pace: Pace,
        name: &str,
        special: &RegistrySettings,
        is_outside: bool,
    ) -> Result<Self, PrepareError> {
        // bootsrv's main did so already; the second is told so, and nothing changes.
        drop(rustls::crypto::ring::default_provider().install_default());
        let make = |policy| {
            let builder = builder(pace, name, special)?.redirect(policy);
            let builder = match is_outside {
                true => builder.dns_resolver(Arc::new(Outside::new())),
                false => builder,
            };
            builder.build().map_err(|error| wrong(name, "HTTP client", &error))
        };
        let (client, poster) = (make(follow(is_outside))?, make(redirect::Policy::none())?);
        Ok(Self { client, poster, is_outside })
    }

    /// Refuses hosts that are not asked.
    pub(super) fn check(&self, url: &Url) -> Result<(), Local> {
        if self.is_outside { reach::check(url) } else { Ok(()) }
    }
}

pub(super) fn wrong(name: &str, what: &str, why: &dyn std::fmt::Display) -> PrepareError {
    PrepareError::site(format!("[application_images.registry.\"{name}\"] {what}: {why}"))
}

fn builder(
    pace: Pace,
    name: &str,
    special: &RegistrySettings,
) -> Result<ClientBuilder, PrepareError> {
    let mut builder = Client::builder()
        .user_agent(concat!("bare-metal-container/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(pace.connect)
        .read_timeout(pace.idle)
        .referer(false);
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
    Ok(builder)
}

/// To other hosts too, where blobs are; the client sends no login there. Never from TLS to none.
fn follow(is_outside: bool) -> redirect::Policy {
    redirect::Policy::custom(move |attempt| {
        let was_tls = attempt.previous().last().is_some_and(|url| url.scheme() == "https");
        if attempt.previous().len() > REDIRECTS_MAX {
            return attempt.error("too many redirects");
        }
        if was_tls && attempt.url().scheme() != "https" {
            return attempt.error("it leads from TLS to plain HTTP");
        }
        match if is_outside { reach::check(attempt.url()) } else { Ok(()) } {
            Err(local) => attempt.error(local),
            Ok(()) => attempt.follow(),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;
    use crate::tests::scripted::{Reply, Scripted};

    #[tokio::test]
    async fn no_redirect_leads_to_this_machine() {
        let inside = Scripted::start(|_| Reply::new(200, "secret"));
        let to = format!("http://{}/", inside.name());
        let registry = Scripted::start(move |_| Reply::new(307, "").header("location", to.clone()));
        let pace = Pace::new(&Settings::default());
        // Asked directly, because all that a test can reach is on this machine.
        let from = format!("http://{}/", registry.name());
        let outside = Caller::outside(pace).unwrap();
        let error = outside.client.get(&from).send().await.unwrap_err();
        assert!(error.is_redirect(), "{error}");
        assert_eq!(inside.received().len(), 0);
        let anywhere = Caller::anywhere(pace, "r", &RegistrySettings::default()).unwrap();
        assert!(anywhere.client.get(&from).send().await.unwrap().status().is_success());
    }
}
