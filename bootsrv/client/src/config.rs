//! `client.toml`: where bootsrv is and which partitions are ours. Read by the plugin, the hooks and
//! the command; holds no secret and may be world-readable.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::ffi::OsString;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Longest `client.toml`, in bytes; a full one is under 1 KiB.
const CONFIG_BYTES_MAX: u64 = 64 * 1024;

/// `scontrol`, where `client.toml` names no other or cannot be read.
pub const DEFAULT_SCONTROL: &str = "/usr/bin/scontrol";
/// [`ClientConfig::tries_max`], where `client.toml` has no other or cannot be read.
pub const DEFAULT_TRIES_MAX: u32 = 3;

/// The checked content of `client.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientConfig {
    /// Base URL of bootsrv's API: `http://host[:port]`, without a path.
    pub server: String,
    /// Partitions that are ours; the hooks leave any other alone, without network.
    #[serde(default)]
    pub partitions: Vec<String>,
    /// Absolute path of `scontrol`.
    #[serde(default = "default_scontrol")]
    pub scontrol: PathBuf,
    /// The slurm.conf scontrol reads, where it is not the default one and slurmctld does not name it
    /// to its scripts (22.05 does not).
    pub slurm_conf: Option<PathBuf>,
    /// Seconds after which prolog gives up, counted from its start with the site's own script; must
    /// be below Slurm's `PrologEpilogTimeout`.
    #[serde(default = "default_prolog_timeout_seconds")]
    pub prolog_timeout_seconds: u32,
    /// A job that has met a faulty node or site so often is held.
    #[serde(default = "default_tries_max")]
    pub tries_max: u32,
    /// The site's own PrologSlurmctld, run first with the same environment.
    pub site_prolog: Option<PathBuf>,
    /// The site's own EpilogSlurmctld, run last with the same environment.
    pub site_epilog: Option<PathBuf>,
    /// Socket of munged, where it is not the system's.
    pub munge_socket: Option<PathBuf>,
    /// SlurmUser, by name or number: who alone can open what users seal for bootsrv.
    #[serde(default = "default_slurm_user")]
    pub slurm_user: String,
}

fn default_slurm_user() -> String {
    "slurm".to_owned()
}

fn default_scontrol() -> PathBuf {
    PathBuf::from(DEFAULT_SCONTROL)
}

fn default_prolog_timeout_seconds() -> u32 {
    900
}

fn default_tries_max() -> u32 {
    DEFAULT_TRIES_MAX
}

/// Why `client.toml` was refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is not TOML, or has a key that does not exist.
    #[error("{}:{line}: {message}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// What is wrong there.
        message: String,
    },
    /// A value makes no sense.
    #[error("{}: {key} = {value:?}: {rule}", path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// The key.
        key: &'static str,
        /// Its value.
        value: String,
        /// The rule it breaks.
        rule: &'static str,
    },
}

impl ClientConfig {
    /// The path to read: the value of `$BMC_CLIENT_CONFIG` if it is set and not empty.
    #[must_use]
    pub fn path(variable: Option<OsString>) -> PathBuf {
        variable
            .filter(|value| !value.is_empty())
            .map_or_else(|| PathBuf::from(protocol::job_env::CLIENT_CONFIG), PathBuf::from)
    }

    /// Reads and checks the file.
    ///
    /// # Errors
    /// When it cannot be read, or is not right.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        Self::parse(&read_text(path)?, path)
    }

    /// Checks the text of a file; `path` is for error messages.
    ///
    /// # Errors
    /// When it is not right.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let config: Self = from_toml(text, path)?;
        match config.broken_rule() {
            None => Ok(config),
            Some((key, value, rule)) => {
                Err(ConfigError::Value { path: path.to_owned(), key, value, rule })
            }
        }
    }

    fn broken_rule(&self) -> Option<(&'static str, String, &'static str)> {
        let authority = self.server.strip_prefix("http://").unwrap_or("");
        let plain = |c: char| c.is_ascii_alphanumeric() || ".-:[]".contains(c);
        if authority.is_empty() || !authority.chars().all(plain) {
            return Some(("server", self.server.clone(), "it is http://HOST:PORT, nothing after"));
        }
        if self.prolog_timeout_seconds == 0 || self.prolog_timeout_seconds > 65_533 {
            let value = self.prolog_timeout_seconds.to_string();
            return Some(("prolog_timeout_seconds", value, "it is from 1 to 65533"));
        }
        if self.tries_max == 0 {
            return Some(("tries_max", "0".into(), "it is at least 1"));
        }
        absolute([
            ("scontrol", Some(&self.scontrol)),
            ("slurm_conf", self.slurm_conf.as_ref()),
            ("site_prolog", self.site_prolog.as_ref()),
            ("site_epilog", self.site_epilog.as_ref()),
            ("munge_socket", self.munge_socket.as_ref()),
        ])
    }

    /// Whether jobs of this partition are ours.
    #[must_use]
    pub fn manages(&self, partition: &str) -> bool {
        self.partitions.iter().any(|managed| managed == partition)
    }
}

/// The text of a `client.toml`.
pub(crate) fn read_text(path: &Path) -> Result<String, ConfigError> {
    let read = |source| ConfigError::Read { path: path.to_owned(), source };
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(read)?;
    file.take(CONFIG_BYTES_MAX).read_to_string(&mut text).map_err(read)?;
    Ok(text)
}

/// What `T` knows of the text; `path` is for error messages.
pub(crate) fn from_toml<T: DeserializeOwned>(text: &str, path: &Path) -> Result<T, ConfigError> {
    toml::from_str(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        let line = 1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count();
        let message = error.message().replace('\n', " ");
        ConfigError::Parse { path: path.to_owned(), line, message }
    })
}

/// The first path that is not absolute: key, value and the rule it breaks.
pub(crate) fn absolute<'a>(
    paths: impl IntoIterator<Item = (&'static str, Option<&'a PathBuf>)>,
) -> Option<(&'static str, String, &'static str)> {
    paths.into_iter().find_map(|(key, path)| {
        let path = path.filter(|path| !path.is_absolute())?;
        let rule = "it is an absolute path: Slurm's hooks have no search path";
        Some((key, path.display().to_string(), rule))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<ClientConfig, String> {
        ClientConfig::parse(text, Path::new("client.toml")).map_err(|error| error.to_string())
    }

    #[test]
    fn the_shortest_file_is_the_server() {
        let config = parse("server = \"http://10.77.0.1:8080\"").unwrap();
        assert_eq!((config.tries_max, config.prolog_timeout_seconds), (3, 900));
        assert_eq!(config.scontrol, Path::new("/usr/bin/scontrol"));
        assert!(!config.manages("bmc"));
    }

    #[test]
    fn errors_name_file_line_and_rule() {
        let server = "server = \"http://h:1\"\n";
        for (text, expected) in [
            (format!("{server}\ntypo = 1\n"), "client.toml:3: unknown field `typo`"),
            (format!("{server}tries_max = \"x\""), "client.toml:2: invalid type"),
            ("partitions = []".into(), "client.toml:1: missing field `server`"),
            ("server = \"https://h\"".into(), "client.toml: server = \"https://h\": it is http://"),
            ("server = \"http://h/api\"".into(), "nothing after"),
            ("server = \"http://u:p@h\"".into(), "nothing after"),
            (format!("{server}tries_max = 0"), "tries_max = \"0\": it is at least 1"),
            (
                format!("{server}scontrol = \"scontrol\""),
                "scontrol = \"scontrol\": it is an absolute",
            ),
            (format!("{server}prolog_timeout_seconds = 0"), "from 1 to 65533"),
        ] {
            let message = parse(&text).unwrap_err();
            assert!(message.contains(expected), "{message}");
            assert!(!message.contains('\n'), "{message:?}");
        }
    }

    #[test]
    fn the_environment_may_name_another_file() {
        assert_eq!(ClientConfig::path(None), Path::new(protocol::job_env::CLIENT_CONFIG));
        assert_eq!(
            ClientConfig::path(Some("".into())),
            Path::new(protocol::job_env::CLIENT_CONFIG)
        );
        assert_eq!(ClientConfig::path(Some("/x".into())), Path::new("/x"));
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = ClientConfig::load(Path::new("/nonexistent/client.toml")).unwrap_err();
        assert_eq!(error.to_string(), "cannot read /nonexistent/client.toml");
    }
}
