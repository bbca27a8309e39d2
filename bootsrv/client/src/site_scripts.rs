//! A second look into a `client.toml` that was refused. The site's own scripts were there before us:
//! a mistake in a key of ours must not skip them.

use crate::config::{ConfigError, absolute, from_toml, read_text};
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// The site's own scripts, and nothing else of the file: any other key may be wrong.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct SiteScripts {
    /// As [`crate::ClientConfig::site_prolog`].
    pub site_prolog: Option<PathBuf>,
    /// As [`crate::ClientConfig::site_epilog`].
    pub site_epilog: Option<PathBuf>,
}

impl SiteScripts {
    /// Reads the file anew.
    ///
    /// # Errors
    /// When it cannot be read, is not TOML, or one of the two is not an absolute path: then nobody
    /// knows which scripts there are.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let scripts: Self = from_toml(&read_text(path)?, path)?;
        let paths = [
            ("site_prolog", scripts.site_prolog.as_ref()),
            ("site_epilog", scripts.site_epilog.as_ref()),
        ];
        match absolute(paths) {
            None => Ok(scripts),
            Some((key, value, rule)) => {
                Err(ConfigError::Value { path: path.to_owned(), key, value, rule })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_keys_may_be_wrong_but_not_these() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let load = |text: &str| {
            std::fs::write(file.path(), text).unwrap();
            SiteScripts::load(file.path()).map_err(|error| error.to_string())
        };
        let scripts = load("tpyo = 1\ntries_max = \"x\"\nsite_prolog = \"/site\"\n").unwrap();
        assert_eq!(scripts.site_prolog.as_deref(), Some(Path::new("/site")));
        assert_eq!(scripts.site_epilog, None);
        for (text, expected) in [
            ("site_prolog = \"/site\"\nnot toml", ":2: "),
            ("site_epilog = 1", ":1: invalid type"),
            ("site_epilog = \"site\"", "it is an absolute path"),
        ] {
            let message = load(text).unwrap_err();
            assert!(message.contains(expected), "{message}");
        }
        assert!(SiteScripts::load(Path::new("/nonexistent/client.toml")).is_err());
    }
}
