//! What a site decides about application images: `[application_images]` of bootsrv.toml.

use crate::layer::LayerLimits;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

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
    /// Layers fetched at once, in all images together.
    pub parallel_downloads: usize,
    /// Layers converted at once, in all images together; tar2sqfs itself uses all CPUs.
    pub parallel_conversions: usize,
    /// What one layer may hold.
    pub limits: LayerLimits,
    /// Most layers of an image; a node's overlayfs takes a few hundred.
    pub layers_max: usize,
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
            parallel_downloads: 4,
            parallel_conversions: 2,
            limits: LayerLimits::default(),
            layers_max: 128,
            cache_bytes: 200 << 30,
            cache_days: 30,
            registry: BTreeMap::new(),
        }
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
        assert_eq!(parse("{}").unwrap().parallel_downloads, 4);
        let one = parse(r#"{"registry":{"r.io:5000":{"insecure":true,"mirrors":["http://m"]}}}"#);
        assert!(one.unwrap().registry["r.io:5000"].insecure);
        for bad in [r#"{"registy":{}}"#, r#"{"registry":{"r.io":{"tls":false}}}"#] {
            assert!(parse(bad).unwrap_err().to_string().contains("unknown field"), "{bad}");
        }
    }
}
