//! `[application_images]` of bootsrv.toml: what jobs may run, and how nodes get at it. How images are
//! pulled stands in the same section, and is read by the crate that pulls them.

use protocol::application::{BindMount, LayerSource, RootMode};
use protocol::image_reference::{DockerReference, FileFormat};
use protocol::registry_host::canonical_registry;
use serde::{Deserialize, Deserializer, de::Error};

/// The section.
#[derive(Debug, Clone, Default)]
pub struct ApplicationImages {
    /// Ours.
    pub site: Site,
    /// The puller's.
    pub pull: images::Settings,
}

impl ApplicationImages {
    /// The first value that cannot work: key, value, and what is wrong with it.
    #[must_use]
    pub fn broken(&self) -> Option<(&'static str, String, &'static str)> {
        let misspelled = |name: &&String| match canonical_registry(name) {
            // A mirror's name may have no dot: its URL needs no port to tell it from a repository.
            Some(canonical) => canonical != **name && canonical != format!("{name}:443"),
            None => true,
        };
        if let Some(name) = self.pull.registry.keys().find(misspelled) {
            return Some(("registry", name.clone(), NOT_CANONICAL));
        }
        self.site.broken()
    }
}

/// Said of what no reference would ever be like: references have one spelling, rules must have it too.
const NOT_CANONICAL: &str = "is not spelled as references are compared: HOST[:PORT] in lower case, without a \
     dot at its end and without :443; docker.io for Docker's registry; in rules HOST[:PORT]/REPOSITORY, \
     docker.io/library/NAME for Docker's own";

/// What bootsrv itself decides. Everything has a default.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Site {
    /// How nodes get at an image, where neither partition nor job says so.
    pub root: RootMode,
    /// The NFS server that exports the artifacts' directory; none: no job can have its root there.
    pub nfs: Option<Export>,
    /// Directories of the node that are in every image, `SRC[:DST[:ro]]`.
    pub mounts: Vec<BindMount>,
    /// Directories of the node below which users may mount with `--bmc-mounts`.
    pub mounts_allowed: Vec<String>,
    /// Which references may be used where.
    #[serde(rename = "rule")]
    pub rules: Vec<ReferenceRule>,
    /// How often an image is tried that a registry or this site fails to give, before its jobs are
    /// held.
    pub tries: u32,
    /// Longest a job's nodes wait for an image to be pulled and converted, in seconds; then the job is
    /// held, and the pull goes on. Below prolog_timeout_seconds of client.toml.
    pub prepare_seconds: u32,
    /// Longest file a user may send, in bytes.
    pub upload_bytes: u64,
    /// Most bytes of one user's files that are kept.
    pub upload_bytes_per_user: u64,
    /// Files that are received at once, of all users; one user sends one at a time.
    pub uploads_at_once: usize,
    /// Files are deleted when nobody has used them for so many days.
    pub upload_days: u32,
}

impl Default for Site {
    fn default() -> Self {
        Self {
            root: RootMode::Ram,
            nfs: None,
            mounts: Vec::new(),
            mounts_allowed: Vec::new(),
            rules: Vec::new(),
            tries: 3,
            prepare_seconds: 600,
            upload_bytes: 16 << 30,
            upload_bytes_per_user: 64 << 30,
            uploads_at_once: 4,
            upload_days: 7,
        }
    }
}

/// The keys of [`Site`]; the others are the puller's.
const SITE_KEYS: [&str; 11] = [
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
];

impl<'de> Deserialize<'de> for ApplicationImages {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let (site, pull) = toml::Table::deserialize(from)?
            .into_iter()
            .partition::<toml::Table, _>(|(key, _)| SITE_KEYS.contains(&key.as_str()));
        let refuse = |error: toml::de::Error| D::Error::custom(error.message());
        Ok(Self {
            site: Site::deserialize(site).map_err(refuse)?,
            pull: images::Settings::deserialize(pull).map_err(refuse)?,
        })
    }
}

/// An NFS export of the artifacts' directory.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Export {
    /// `server:/path`.
    pub source: String,
    /// Options as in mount(8).
    #[serde(default = "default_options")]
    pub options: String,
}

fn default_options() -> String {
    "ro,vers=4.2,nosuid,nodev,noatime".into()
}

impl Site {
    /// The export as nodes are told.
    #[must_use]
    pub fn export(&self) -> Option<LayerSource> {
        let Export { source, options } = self.nfs.clone()?;
        Some(LayerSource::Nfs { source, options })
    }

    fn broken(&self) -> Option<(&'static str, String, &'static str)> {
        let relative =
            |path: &&String| !path.starts_with('/') || path.split('/').any(|part| part == "..");
        if let Some(path) = self.mounts_allowed.iter().find(relative) {
            return Some(("mounts_allowed", path.clone(), "is not an absolute path without '..'"));
        }
        if let Some(export) = self.nfs.as_ref().filter(|nfs| !nfs.source.contains(":/")) {
            return Some(("nfs.source", export.source.clone(), "is not like 10.0.0.1:/images"));
        }
        if self.root == RootMode::Nfs && self.nfs.is_none() {
            return Some(("root", "nfs".into(), "needs nfs.source"));
        }
        let globs = |rule: &ReferenceRule| [rule.allow.clone(), rule.deny.clone()].concat();
        if let Some(glob) = self.rules.iter().flat_map(globs).find(|glob| !is_canonical(glob)) {
            return Some(("rule", glob, NOT_CANONICAL));
        }
        if self.tries == 0 {
            return Some(("tries", "0".into(), "would never try"));
        }
        if self.prepare_seconds == 0 {
            return Some(("prepare_seconds", "0".into(), "would hold every job"));
        }
        if self.uploads_at_once == 0 {
            return Some(("uploads_at_once", "0".into(), "would take no file"));
        }
        None
    }
}

/// Which references may be used; one rule after the other must agree.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReferenceRule {
    /// Only for jobs of these partitions; empty: of all.
    pub partitions: Vec<String>,
    /// Only for jobs of these accounts; empty: of all.
    pub accounts: Vec<String>,
    /// `registry/repository` or `format:path`, `*` for any text; empty: everything.
    pub allow: Vec<String>,
    /// As above; weighs more.
    pub deny: Vec<String>,
}

/// Whether a reference can be what a glob of a rule says: a `deny` that never fits is a hole.
fn is_canonical(glob: &str) -> bool {
    if FileFormat::ALL.iter().any(|format| glob.split(':').next() == Some(format.prefix())) {
        return true;
    }
    if !glob.contains('*') {
        let read = glob.parse::<DockerReference>();
        return read.is_ok_and(|read| format!("{}/{}", read.registry, read.repository) == glob);
    }
    let Some((host, repository)) = glob.split_once('/') else {
        // A star is in it: `*`, or the beginning of a host's name.
        return !glob.contains(|c: char| c.is_ascii_uppercase());
    };
    if repository.contains(|c: char| c.is_ascii_uppercase()) {
        return false;
    }
    if host.contains('*') {
        return !host.contains(|c: char| c.is_ascii_uppercase()) && !host.ends_with('.');
    }
    canonical_registry(host).as_deref() == Some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<ApplicationImages, String> {
        toml::from_str(text).map_err(|error: toml::de::Error| error.to_string())
    }

    #[test]
    fn one_section_has_the_sites_keys_and_the_pullers() {
        let text = "tries = 5\nlayers_max = 7\nmounts = [\"/home\"]\n\
                    [registry.\"r.io:5000\"]\ninsecure = true\n\
                    [[rule]]\ndeny = [\"*\"]\n";
        let both = parse(text).unwrap();
        assert_eq!((both.site.tries, both.pull.layers_max), (5, 7));
        assert!(both.pull.registry["r.io:5000"].insecure);
        assert_eq!(both.site.rules.len(), 1);
        assert_eq!(parse("").unwrap().site.prepare_seconds, 600);
    }

    #[test]
    fn unknown_keys_are_refused_wherever_they_stand() {
        for bad in ["trys = 1", "[[rule]]\ndenies = []", "nfs = { source = \"a:/b\", mode = 1 }"] {
            assert!(parse(bad).unwrap_err().contains("unknown field"), "{bad}");
        }
    }

    #[test]
    fn what_no_reference_is_like_is_refused() {
        for (good, text) in [
            (true, "[[rule]]\nallow = [\"r.io:5000/*\", \"sif:*\", \"dir:/home/Alice/*\", \"*\"]"),
            (
                true,
                "[[rule]]\ndeny = [\"*/*-nightly\", \"docker.io/library/debian\", \"*.r.io/x\"]",
            ),
            (
                true,
                "[registry.\"docker.io\"]\n[registry.\"registry:443\"]\n[registry.\"mirror\"]\n[registry.\"[::1]:5000\"]",
            ),
            (false, "[[rule]]\ndeny = [\"R.io/*\"]"),
            (false, "[[rule]]\ndeny = [\"*.R.io/*\"]"),
            (false, "[[rule]]\nallow = [\"r.io:443/*\"]"),
            (false, "[[rule]]\ndeny = [\"r.io./*\"]"),
            (false, "[[rule]]\ndeny = [\"index.docker.io/*\"]"),
            (false, "[[rule]]\ndeny = [\"docker.io/debian\"]"),
            (false, "[[rule]]\ndeny = [\"r.io/x:1\"]"),
            (false, "[[rule]]\ndeny = [\"docker://r.io/*\"]"),
            (false, "[[rule]]\ndeny = [\"r.io\"]"),
            (false, "[registry.\"R.io\"]"),
            (false, "[registry.\"r.io:443\"]"),
            (false, "[registry.\"registry-1.docker.io\"]"),
        ] {
            assert_eq!(parse(text).unwrap().broken().is_none(), good, "{text}");
        }
    }

    #[test]
    fn values_that_cannot_work_are_named() {
        for (text, expected) in [
            ("mounts_allowed = [\"scratch\"]", "mounts_allowed"),
            ("nfs = { source = \"/images\" }", "nfs.source"),
            ("root = \"nfs\"", "root"),
            ("tries = 0", "tries"),
            ("prepare_seconds = 0", "prepare_seconds"),
            ("uploads_at_once = 0", "uploads_at_once"),
        ] {
            assert_eq!(parse(text).unwrap().broken().unwrap().0, expected);
        }
        assert_eq!(parse("").unwrap().broken(), None);
    }
}
