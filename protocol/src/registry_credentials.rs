//! Registry credentials in the form of `~/.docker/config.json`.
//!
//! A credential is never shown: not in `Debug`, not in an error. Read where the command is typed (the
//! user's file) and by bootsrv (the site's).

use crate::image_reference::DockerReference;
use crate::registry_host::canonical_registry;
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD as STANDARD, BASE64_STANDARD_NO_PAD as STANDARD_NO_PAD};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// Longest credentials file, in bytes.
pub const CREDENTIALS_BYTES_MAX: u64 = 1 << 20;

/// How one is known to a registry.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Credential {
    /// User name and password, or an access token in the password's place.
    Password {
        /// User name.
        user: String,
        /// Password.
        password: String,
    },
    /// An OAuth 2 refresh token (`identitytoken`).
    IdentityToken(String),
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Password { .. } => "Credential::Password(hidden)",
            Self::IdentityToken(_) => "Credential::IdentityToken(hidden)",
        })
    }
}

/// Why there is no credential; the text has none either.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// No JSON, or not of this form.
    #[error("the registry credentials are not of the form of ~/.docker/config.json")]
    Form,
    /// The password is kept by another program.
    #[error(
        "the password for {registry} is in the credential helper {helper:?}, which is not asked: \
         only passwords in config.json itself are read (log in again without a helper)"
    )]
    Helper {
        /// Whose password.
        registry: String,
        /// Name of the helper.
        helper: String,
    },
}

/// One entry of `auths`; what else it may hold is not ours to refuse.
#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    auth: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    identitytoken: String,
}

impl Entry {
    /// `None`: the entry is empty, as it is beside a credential helper.
    fn credential(&self) -> Result<Option<Credential>, CredentialError> {
        if !self.identitytoken.is_empty() {
            return Ok(Some(Credential::IdentityToken(self.identitytoken.clone())));
        }
        if self.auth.is_empty() {
            let named = !self.username.is_empty();
            let (user, password) = (self.username.clone(), self.password.clone());
            return Ok(named.then_some(Credential::Password { user, password }));
        }
        let bytes = STANDARD
            .decode(self.auth.trim())
            .or_else(|_| STANDARD_NO_PAD.decode(self.auth.trim()))
            .map_err(|_| CredentialError::Form)?;
        let text = String::from_utf8(bytes).map_err(|_| CredentialError::Form)?;
        // Some writers end the text with a NUL.
        let (user, password) =
            text.trim_end_matches('\0').split_once(':').ok_or(CredentialError::Form)?;
        Ok(Some(Credential::Password { user: user.to_owned(), password: password.to_owned() }))
    }
}

impl Credential {
    /// From one entry of `auths`, as JSON: `{"auth":"…"}` or `{"identitytoken":"…"}`.
    ///
    /// # Errors
    /// When it is no such entry, or holds neither.
    pub fn from_entry(json: &str) -> Result<Self, CredentialError> {
        let entry: Entry = serde_json::from_str(json).map_err(|_| CredentialError::Form)?;
        entry.credential()?.ok_or(CredentialError::Form)
    }
}

/// A whole file.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct CredentialsFile {
    auths: BTreeMap<String, Entry>,
    #[serde(rename = "credsStore")]
    store: Option<String>,
    #[serde(rename = "credHelpers")]
    helpers: BTreeMap<String, String>,
}

impl fmt::Debug for CredentialsFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.auths.keys()).finish()
    }
}

impl CredentialsFile {
    /// Parses a file's content.
    ///
    /// # Errors
    /// When it is not of the form.
    pub fn parse(json: &[u8]) -> Result<Self, CredentialError> {
        serde_json::from_slice(json).map_err(|_| CredentialError::Form)
    }

    /// The credential for an image: the entry of its longest path, as Podman has them, else of its
    /// registry. `None`: there is none.
    ///
    /// # Errors
    /// When the entry cannot be read, or a helper has the password.
    pub fn credential(
        &self,
        image: &DockerReference,
    ) -> Result<Option<Credential>, CredentialError> {
        // A mirror's host is as the site has written it.
        let registry =
            canonical_registry(&image.registry).unwrap_or_else(|| image.registry.clone());
        let whole = format!("{registry}/{}", image.repository);
        let mut path = whole.as_str();
        loop {
            let keyed = self.auths.iter().find(|(key, _)| canonical(key) == path);
            if let Some(found) = keyed.and_then(|(_, entry)| entry.credential().transpose()) {
                return found.map(Some);
            }
            if keyed.is_some() || path == registry {
                self.refuse_helper(&registry, keyed.is_some())?;
            }
            match path.rsplit_once('/') {
                Some((parent, _)) => path = parent,
                None => return Ok(None),
            }
        }
    }

    /// Says so where a helper, and no entry, has the password.
    fn refuse_helper(&self, registry: &str, listed: bool) -> Result<(), CredentialError> {
        let own = self.helpers.iter().find(|(key, _)| canonical(key) == registry);
        let all = self.store.as_ref().filter(|store| listed && !store.is_empty());
        match own.map(|(_, helper)| helper).or(all) {
            Some(helper) => Err(CredentialError::Helper {
                registry: registry.to_owned(),
                helper: helper.clone(),
            }),
            None => Ok(()),
        }
    }
}

/// A key of `auths` as references name it; Docker writes its own registry as a URL.
fn canonical(key: &str) -> String {
    let key = key.trim_start_matches("https://").trim_start_matches("http://");
    let key = key.trim_end_matches('/').trim_end_matches("/v1").trim_end_matches("/v2");
    let (host, path) = key.find('/').map_or((key, ""), |at| key.split_at(at));
    canonical_registry(host).map_or_else(|| key.to_owned(), |host| host + path)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"{
        "auths": {
            "https://index.docker.io/v1/": {"auth": "aHViOnNlY3JldA=="},
            "r.io:5000": {"auth": "YTpiOmM="},
            "r.io:5000/team/tools": {"identitytoken": "refresh"},
            "kept.io": {},
            "mirror": {"auth": "bTpt"},
            "https://Big.io:443/v2/": {"auth": "YmlnOmI="}
        },
        "credsStore": "desktop",
        "credHelpers": {"cloud.io": "cloud"},
        "detachKeys": "ctrl-e"
    }"#;

    fn find(image: &str) -> Result<Option<Credential>, CredentialError> {
        CredentialsFile::parse(FILE.as_bytes()).unwrap().credential(&image.parse().unwrap())
    }

    fn password(user: &str, password: &str) -> Credential {
        Credential::Password { user: user.into(), password: password.into() }
    }

    fn other() -> DockerReference {
        "other.io/x".parse().unwrap()
    }

    #[test]
    fn the_entry_of_the_longest_path_counts() {
        assert_eq!(find("ubuntu"), Ok(Some(password("hub", "secret"))));
        assert_eq!(find("r.io:5000/x"), Ok(Some(password("a", "b:c"))));
        let token = Credential::IdentityToken("refresh".into());
        assert_eq!(find("r.io:5000/team/tools/cc"), Ok(Some(token)));
        assert_eq!(find("r.io:5000/team/toolsmith"), Ok(Some(password("a", "b:c"))));
        assert_eq!(find("big.IO./x"), Ok(Some(password("big", "b"))), "however both are spelled");
        let mirror = DockerReference { registry: "mirror".into(), ..other() };
        let file = CredentialsFile::parse(FILE.as_bytes()).unwrap();
        assert_eq!(file.credential(&mirror), Ok(Some(password("m", "m"))));
        assert_eq!(file.credential(&other()), Ok(None));
    }

    #[test]
    fn a_helper_is_named_and_not_asked() {
        let text = |image| find(image).unwrap_err().to_string();
        assert!(text("kept.io/x").contains("kept.io is in the credential helper \"desktop\""));
        assert!(text("cloud.io/x").contains("\"cloud\""));
    }

    #[test]
    fn a_secret_is_in_no_text() {
        let credential = Credential::from_entry(r#"{"auth":"aHViOnNlY3JldA=="}"#).unwrap();
        assert_eq!(credential, password("hub", "secret"));
        assert!(!format!("{credential:?}").contains("secret"));
        let file = CredentialsFile::parse(FILE.as_bytes()).unwrap();
        assert!(!format!("{file:?}").contains("refresh"));
        for bad in ["", "{}", r#"{"auth":"%"}"#, r#"{"auth":"bm9jb2xvbg=="}"#, "[1]"] {
            let error = Credential::from_entry(bad).unwrap_err();
            assert_eq!(error, CredentialError::Form, "{bad}");
        }
    }
}
