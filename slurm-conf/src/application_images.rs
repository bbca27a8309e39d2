//! `[application_images]` of bootsrv.toml: its keys, and values that cannot work. bootsrv refuses the
//! same when it starts; a site learns it here before it stops the bootsrv it has. Pure.

use protocol::application::{BindMount, RootMode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Every key of the section.
const KEYS: [&str; 26] = [
    "root",
    "nfs",
    "mounts",
    "mounts_allowed",
    "rule",
    "tries",
    "prepare_seconds",
    "upload_bytes",
    "upload_bytes_per_user",
    "uploads_at_once",
    "upload_days",
    "credentials_file",
    "architecture",
    "connect_seconds",
    "idle_seconds",
    "patience_seconds",
    "parallel_downloads",
    "parallel_conversions",
    "limits",
    "layers_max",
    "image_bytes_max",
    "pull_seconds",
    "disk_reserve_bytes",
    "cache_bytes",
    "cache_days",
    "registry",
];

/// What is wrong with the section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// The key it stands at.
    pub key: String,
    /// What is wrong, to be read after the key.
    pub what: String,
    /// What to write instead.
    pub instead: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Export {
    source: String,
    #[serde(default, rename = "options")]
    _options: String,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Rule {
    partitions: Vec<String>,
    #[serde(rename = "accounts")]
    _accounts: Vec<String>,
    allow: Vec<String>,
    deny: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Registry {
    insecure: bool,
    ca_file: Option<PathBuf>,
    mirrors: Vec<String>,
    proxy: Option<String>,
}

/// Whether nodes can have an image's layers by NFS.
#[must_use]
pub fn has_export(section: &toml::Table) -> bool {
    section.contains_key("nfs")
}

/// All that cannot work; `partitions` are the names of the site's.
#[must_use]
pub fn wrong(section: &toml::Table, partitions: &[&str]) -> Vec<Wrong> {
    let mut found = Found { section, wrong: Vec::new() };
    found.unknown_keys();
    found.root();
    found.mounts();
    found.rules(partitions);
    found.registries();
    for key in ["tries", "prepare_seconds", "pull_seconds", "layers_max", "uploads_at_once"] {
        if found.get::<u32>(key) == Some(0) {
            found.add(key, "is 0: no image could be had", format!("{key} = N, 1 or more"));
        }
    }
    if found.get::<PathBuf>("credentials_file").is_some_and(|path| !path.is_absolute()) {
        found.add("credentials_file", "is not an absolute path", "a path that begins with /");
    }
    found.wrong
}

struct Found<'a> {
    section: &'a toml::Table,
    wrong: Vec<Wrong>,
}

impl Found<'_> {
    fn add(&mut self, key: &str, what: impl Into<String>, instead: impl Into<String>) {
        let (key, what, instead) = (key.to_owned(), what.into(), instead.into());
        self.wrong.push(Wrong { key, what, instead });
    }

    /// A value; `None`: absent, or of another form, which is noted.
    fn get<T: DeserializeOwned>(&mut self, key: &str) -> Option<T> {
        match self.section.get(key)?.clone().try_into() {
            Ok(value) => Some(value),
            Err(error) => {
                let what = format!("is refused: {}", error.message().replace('\n', " "));
                self.add(key, what, "as the administrator's guide says");
                None
            }
        }
    }

    fn unknown_keys(&mut self) {
        for key in self.section.keys().filter(|key| !KEYS.contains(&key.as_str())) {
            let near = protocol::nearest::nearest(key, KEYS);
            let instead = near.first().map_or("nothing", |near| near);
            let what = "is no key of [application_images]: bootsrv does not start with it";
            self.wrong.push(Wrong { key: key.clone(), what: what.into(), instead: instead.into() });
        }
    }

    fn root(&mut self) {
        let example = "nfs = { source = \"10.0.0.1:/images\" }";
        if self.get::<RootMode>("root") == Some(RootMode::Nfs) && !has_export(self.section) {
            let what = "is \"nfs\", and no nfs names the export";
            self.add("root", what, format!("{example} beside it, or root = \"ram\""));
        }
        if let Some(export) = self.get::<Export>("nfs").filter(|nfs| !nfs.source.contains(":/")) {
            let what = format!("has the source {:?}, which is no SERVER:/PATH", export.source);
            self.add("nfs", what, example);
        }
    }

    fn mounts(&mut self) {
        self.get::<Vec<BindMount>>("mounts");
        let relative =
            |path: &String| !path.starts_with('/') || path.split('/').any(|part| part == "..");
        let allowed = self.get::<Vec<String>>("mounts_allowed").unwrap_or_default();
        if let Some(path) = allowed.into_iter().find(relative) {
            let what = format!("has {path:?}, which is not an absolute path without '..'");
            self.add("mounts_allowed", what, "directories of the nodes, as \"/scratch\"");
        }
    }

    fn rules(&mut self, known: &[&str]) {
        for rule in self.get::<Vec<Rule>>("rule").unwrap_or_default() {
            let unknown = |name: &&String| !known.contains(&name.as_str());
            if let Some(name) = rule.partitions.iter().find(unknown) {
                let what = format!("is for the partition {name:?}, which is none of ours");
                self.add("rule", what, format!("one of {}", known.join(", ")));
            }
            if rule.allow.is_empty() && rule.deny.is_empty() {
                let what = "without allow and deny decides nothing";
                self.add("rule", what, "allow = [\"registry.example.org/*\"]");
            }
        }
    }

    fn registries(&mut self) {
        for (host, registry) in
            self.get::<BTreeMap<String, Registry>>("registry").unwrap_or_default()
        {
            if host.contains('/') {
                let what =
                    format!("has {host:?}, which is no host name: no reference is like that");
                self.add("registry", what, "HOST or HOST:PORT, as it stands in docker://HOST/…");
            }
            if registry.insecure && registry.ca_file.is_some() {
                let what =
                    format!("has {host:?} with insecure and ca_file: plain HTTP has no authority");
                self.add("registry", what, "one of them");
            }
            if registry.ca_file.is_some_and(|path| !path.is_absolute()) {
                let what = format!("has {host:?} with a ca_file that is not an absolute path");
                self.add("registry", what, "a path that begins with /");
            }
            let is_url =
                |text: &String| ["http://", "https://"].iter().any(|s| text.starts_with(s));
            let proxy = registry.proxy.filter(|proxy| proxy != "none");
            if let Some(text) = registry.mirrors.into_iter().chain(proxy).find(|url| !is_url(url)) {
                let what = format!("has {host:?} with {text:?}, which is no address of a server");
                self.add("registry", what, "http://HOST:PORT or https://HOST:PORT");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<(String, String)> {
        let section: toml::Table = toml::from_str(text).unwrap();
        wrong(&section, &["bmc"]).into_iter().map(|wrong| (wrong.key, wrong.what)).collect()
    }

    #[test]
    fn each_mistake_is_named_once() {
        for (text, key, expected) in [
            ("trys = 3", "trys", "is no key"),
            ("root = \"nsf\"", "root", "is refused: unknown variant `nsf`"),
            ("root = \"nfs\"", "root", "no nfs names the export"),
            ("nfs = { source = \"/images\" }", "nfs", "no SERVER:/PATH"),
            ("nfs = { option = \"ro\" }", "nfs", "unknown field `option`"),
            ("mounts = [\"home\"]", "mounts", "is refused"),
            ("mounts_allowed = [\"/a/..\"]", "mounts_allowed", "without '..'"),
            ("rule = [{ partitions = [\"x\"], deny = [\"*\"] }]", "rule", "none of ours"),
            ("rule = [{ accounts = [\"x\"] }]", "rule", "decides nothing"),
            ("rule = [{ denies = [\"x\"] }]", "rule", "unknown field `denies`"),
            ("tries = 0", "tries", "is 0"),
            ("credentials_file = \"a\"", "credentials_file", "absolute"),
            ("registry.\"https://r.io\".insecure = true", "registry", "no host name"),
            ("registry.\"r.io\".mirrors = [\"m.io\"]", "registry", "no address of a server"),
            ("registry.\"r.io\" = { insecure = true, ca_file = \"/a\" }", "registry", "insecure"),
            ("registry.\"r.io\".ca_file = \"a\"", "registry", "absolute"),
            ("registry.\"r.io\".tls = false", "registry", "unknown field `tls`"),
        ] {
            let found = found(text);
            assert_eq!(found.len(), 1, "{text}: {found:?}");
            assert!(found[0].0 == key && found[0].1.contains(expected), "{text}: {found:?}");
        }
    }

    #[test]
    fn what_works_is_not_found() {
        let good = "root = \"nfs\"\nnfs = { source = \"10.0.0.1:/images\", options = \"ro\" }\n\
                    mounts = [\"/home\", \"/a:/b:ro\"]\nmounts_allowed = [\"/scratch\"]\n\
                    registry.\"r.io:5000\" = { mirrors = [\"https://m\"], proxy = \"none\" }\n\
                    rule = [{ partitions = [\"bmc\"], allow = [\"sif:*\"] }]\n";
        assert_eq!(found(good), []);
        assert_eq!(found(""), []);
    }

    /// bootsrv's own settings are the source of the keys.
    #[test]
    fn the_keys_are_bootsrvs() {
        let mut keys = Vec::new();
        for text in [
            include_str!("../../bootsrv/src/application/settings.rs"),
            include_str!("../../bootsrv/images/src/settings.rs"),
        ] {
            for name in ["pub struct Site {", "pub struct Settings {"] {
                let Some((_, fields)) = text.split_once(name) else { continue };
                let fields = fields.split("\n}").next().unwrap();
                let names = fields.lines().filter_map(|line| line.trim().strip_prefix("pub "));
                keys.extend(names.filter_map(|line| line.split(':').next()));
            }
        }
        // Its tables are `[[application_images.rule]]`.
        let mut keys: Vec<_> =
            keys.into_iter().map(|key| if key == "rules" { "rule" } else { key }).collect();
        keys.sort_unstable();
        let mut own = KEYS;
        own.sort_unstable();
        assert_eq!(keys, own);
    }
}
