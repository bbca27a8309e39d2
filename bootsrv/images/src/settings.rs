//! What a site decides about application images: `[application_images]` of bootsrv.toml.

use crate::layer::LayerLimits;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Largest [`Settings::pull_seconds`]: a layer on its way is kept so long, and no longer.
pub const PULL_SECONDS_MAX: u32 = 24 * 3600;
/// Largest [`Settings::layers_max`]: Linux takes 500 layers in one overlay, of which the node and the
/// correction of the layers need some.
pub const LAYERS_MAX: usize = 480;

/// The section. Everything has a default: public registries, no credentials, proxy from the
/// environment (`https_proxy`, `http_proxy`, `no_proxy`).
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The site's registry credentials, a file as `docker login` writes it; used where a user sends
    /// none.
    pub credentials_file: Option<PathBuf>,
    /// Which image of a multi-architecture index nodes get, in OCI's words; bootsrv's own by
    /// default, as its node agent has it.
    pub architecture: String,
    /// Longest time to a connection, in seconds.
    pub connect_seconds: u32,
    /// Longest silence of a registry, in seconds.
    pub idle_seconds: u32,
    /// Longest time one request is put off because a registry is down or asks for patience
    /// (`Retry-After`), in seconds.
    pub patience_seconds: u32,
    /// Longest time to fetch and convert one image, in seconds, at most [`PULL_SECONDS_MAX`]; what was
    /// fetched is kept for the next try.
    pub pull_seconds: u32,
    /// Layers fetched at once, in all images together; from one registry at most half of them, and for
    /// one user.
    pub parallel_downloads: usize,
    /// Layers converted at once, in all images together, for one user at most half of them; tar2sqfs
    /// itself uses all CPUs. One of them, and one of each user's, is for layers that are here whole:
    /// never held up by a registry.
    pub parallel_conversions: usize,
    /// What one layer may hold.
    pub limits: LayerLimits,
    /// Most layers of an image, at most [`LAYERS_MAX`].
    pub layers_max: usize,
    /// Most bytes of all layers of an image: packed as they come, unpacked, and as squashfs files.
    pub image_bytes_max: u64,
    /// Bytes that stay free on the file system of the state directory: below, nothing is pulled or
    /// received, and images that nobody uses are removed.
    pub disk_reserve_bytes: u64,
    /// Prepared images that no job uses are removed, the longest unused first, above so many bytes.
    pub cache_bytes: u64,
    /// And when they were unused for so many days.
    pub cache_days: u32,
    /// What is different at a registry, by its name as users write it, e.g. `r.example.org:5000`.
    pub registry: BTreeMap<String, RegistrySettings>,
}

/// What is different at one registry.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RegistrySettings {
    /// Plain HTTP.
    pub insecure: bool,
    /// PEM file of authorities, trusted besides the system's.
    pub ca_file: Option<PathBuf>,
    /// Asked in this order before the registry itself: `http[s]://host[:port][/prefix]`. A mirror
    /// gets the site's credentials for its own host only, never a user's.
    pub mirrors: Vec<String>,
    /// `http://host:port` of a proxy; `none`: no proxy, whatever the environment says.
    pub proxy: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            credentials_file: None,
            architecture: own_architecture().to_owned(),
            connect_seconds: 10,
            idle_seconds: 60,
            patience_seconds: 300,
            pull_seconds: 7200,
            parallel_downloads: 8,
            parallel_conversions: 4,
            limits: LayerLimits::default(),
            layers_max: 128,
            image_bytes_max: 128 << 30,
            disk_reserve_bytes: 2 << 30,
            cache_bytes: 200 << 30,
            cache_days: 30,
            registry: BTreeMap::new(),
        }
    }
}

impl Settings {
    /// What cannot be: the key, its value, and why.
    pub(crate) fn fault(&self) -> Option<String> {
        if !(1..=LAYERS_MAX).contains(&self.layers_max) {
            let layers = self.layers_max;
            return Some(format!("layers_max is {layers}; nodes take 1 to {LAYERS_MAX} layers"));
        }
        if !(1..=PULL_SECONDS_MAX).contains(&self.pull_seconds) {
            let seconds = self.pull_seconds;
            return Some(format!("pull_seconds is {seconds}; 1 to {PULL_SECONDS_MAX} can be used"));
        }
        None
    }
}

/// The architecture of this program, in OCI's words (those of Go).
fn own_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "powerpc64" => "ppc64le",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Settings, serde_json::Error> {
        serde_json::from_str(text)
    }

    #[test]
    fn an_empty_section_is_complete_and_an_unknown_key_is_refused() {
        assert_eq!(parse("{}").unwrap().parallel_downloads, 8);
        let one = parse(r#"{"registry":{"r.io:5000":{"insecure":true,"mirrors":["http://m"]}}}"#);
        assert!(one.unwrap().registry["r.io:5000"].insecure);
        for bad in [r#"{"layers_max":0}"#, r#"{"layers_max":481}"#, r#"{"pull_seconds":90000}"#] {
            assert!(parse(bad).unwrap().fault().is_some(), "{bad}");
        }
        assert_eq!(Settings::default().fault(), None);
        for bad in [r#"{"registy":{}}"#, r#"{"registry":{"r.io":{"tls":false}}}"#] {
            assert!(parse(bad).unwrap_err().to_string().contains("unknown field"), "{bad}");
        }
    }
}
