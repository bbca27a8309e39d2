//! Test images in the cluster's own registry, as people push them: with skopeo.

use super::check;
use crate::cluster::Cluster;
use crate::cluster::on_demand::{self, LOGIN, LOGIN_REGISTRY, REGISTRY, REGISTRY_HOST};
use anyhow::{Context, Result};
use std::path::Path;

/// The images of the layout (`tests/images/build`) that are pushed for people; cases push what they want.
pub const IMAGES: [&str; 5] = ["static", "musl", "systemd", "mpi", "config"];
/// The tag they get unless a case moves it.
pub const TAG: &str = "1";

/// An image as a job names it.
#[must_use]
pub fn reference(registry: &str, image: &str, tag: &str) -> String {
    format!("docker://{REGISTRY_HOST}:{}/test/{image}:{tag}", on_demand::port(registry))
}

/// Starts the open registry if need be and pushes an image; gives its reference.
///
/// # Errors
/// When the registry does not come up, or skopeo fails.
pub fn push(cluster: &Cluster, layout: &Path, image: &str, tag: &str) -> Result<String> {
    push_to(cluster, REGISTRY, layout, image, &reference(REGISTRY, image, tag))
}

/// As [`push`], under another name: `REPOSITORY:TAG`.
///
/// # Errors
/// As [`push`].
pub fn push_as(cluster: &Cluster, layout: &Path, image: &str, name: &str) -> Result<String> {
    let to = format!("docker://{REGISTRY_HOST}:{}/{name}", on_demand::port(REGISTRY));
    push_to(cluster, REGISTRY, layout, image, &to)
}

/// As [`push`], to the registry with a login; with a manifest of Docker's, and so another digest.
///
/// # Errors
/// As [`push`].
pub fn push_with_login(cluster: &Cluster, layout: &Path, image: &str, tag: &str) -> Result<String> {
    push_to(cluster, LOGIN_REGISTRY, layout, image, &reference(LOGIN_REGISTRY, image, tag))
}

fn push_to(
    cluster: &Cluster,
    registry: &str,
    layout: &Path,
    image: &str,
    to: &str,
) -> Result<String> {
    if !cluster.services().iter().any(|(name, _)| name == registry) {
        cluster.start_service(registry)?;
    }
    let from = format!("oci:{}:{image}", layout.display());
    let login = format!("--dest-creds={}:{}", LOGIN.0, LOGIN.1);
    let mut words =
        vec!["skopeo", "--insecure-policy", "copy", "--quiet", "--dest-tls-verify=false"];
    if registry == LOGIN_REGISTRY {
        words.extend(["--format=v2s2", &login]);
    }
    words.extend([from.as_str(), to]);
    check(cluster.run("root", &words)?).with_context(|| format!("pushing {image}"))?;
    Ok(to.to_owned())
}
