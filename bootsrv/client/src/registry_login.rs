//! The user's credential for the registry of an image: found where `docker login` and `podman login`
//! put it, and sealed so that only bootsrv can open it. Read with the user's own rights.

use crate::{ClientConfig, chain};
use protocol::api::RegistryCredential;
use protocol::image_reference::DockerReference;
use protocol::registry_credentials::{CREDENTIALS_BYTES_MAX, CredentialsFile};
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

/// The sealed credential for an image, as [`protocol::api::CheckRequest::credential`] takes it; none
/// if the user has none. `variable`: the environment.
///
/// # Errors
/// When the file of credentials cannot be read, a credential is there that cannot be used, or nobody
/// here knows SlurmUser, for whom alone it is sealed.
pub fn registry_login(
    config: &ClientConfig,
    image: &DockerReference,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Option<String>, String> {
    let Some(path) = credentials_path(variable) else { return Ok(None) };
    let named = |reason: String| format!("{}: {reason}", path.display());
    let Some(bytes) = read(&path).map_err(|error| named(error.to_string()))? else {
        return Ok(None);
    };
    let found = CredentialsFile::parse(&bytes).and_then(|file| file.credential(image));
    let Some(login) = found.map_err(|error| named(chain(&error)))? else { return Ok(None) };
    let credential = RegistryCredential { registry: image.registry.clone(), login };
    let slurm_user = user_id(&config.slurm_user).ok_or_else(|| {
        format!("no user {:?} here (slurm_user of client.toml)", config.slurm_user)
    })?;
    let text = serde_json::to_vec(&credential).map_err(|error| named(error.to_string()))?;
    munge::encode_for(&text, config.munge_socket.as_deref(), slurm_user)
        .map(Some)
        .map_err(|error| chain(&error))
}

fn user_id(name: &str) -> Option<u32> {
    let known = || nix::unistd::User::from_name(name).ok().flatten().map(|user| user.uid.as_raw());
    name.parse().ok().or_else(known)
}

/// Where the tools that log in to registries keep what they were told.
fn credentials_path(variable: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let set = |name| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("REGISTRY_AUTH_FILE")
        .or_else(|| Some(set("DOCKER_CONFIG")?.join("config.json")))
        .or_else(|| Some(set("HOME")?.join(".docker/config.json")))
}

fn read(path: &Path) -> std::io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.take(CREDENTIALS_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use munge::test_daemon::PrivateMunged;
    use protocol::registry_credentials::Credential;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn the_users_entry_goes_along_for_slurm_user_alone() {
        let Some(munged) = PrivateMunged::start() else { return };
        let home = tempfile::tempdir().unwrap();
        let own = std::fs::metadata(home.path()).unwrap().uid();
        let text = format!(
            "server = \"http://h:1\"\nmunge_socket = \"{}\"\nslurm_user = \"{own}\"",
            munged.socket().display()
        );
        let mut config = ClientConfig::parse(&text, Path::new("client.toml")).unwrap();
        let image: DockerReference = "r.io:5000/x".parse().unwrap();
        let variable = |name: &str| (name == "HOME").then(|| home.path().display().to_string());
        assert_eq!(registry_login(&config, &image, &variable), Ok(None));

        std::fs::create_dir(home.path().join(".docker")).unwrap();
        let file = home.path().join(".docker/config.json");
        std::fs::write(&file, r#"{"auths":{"r.io:5000":{"auth":"YTpi"}}}"#).unwrap();
        let sealed = registry_login(&config, &image, &variable).unwrap().unwrap();
        let opened = munge::decode(&sealed, config.munge_socket.as_deref()).unwrap().payload;
        let login = Credential::Password { user: "a".into(), password: "b".into() };
        let expected = RegistryCredential { registry: "r.io:5000".into(), login };
        assert_eq!(serde_json::from_slice::<RegistryCredential>(&opened).unwrap(), expected);
        let other: DockerReference = "other.io/x".parse().unwrap();
        assert_eq!(registry_login(&config, &other, &variable), Ok(None));

        config.slurm_user = "nobody of that name".into();
        let error = registry_login(&config, &image, &variable).unwrap_err();
        assert!(error.contains("no user \"nobody of that name\" here"), "{error}");

        std::fs::write(&file, "{").unwrap();
        let error = registry_login(&config, &image, &variable).unwrap_err();
        assert!(error.contains("config.json: the registry credentials are not of"), "{error}");
    }

    #[test]
    fn the_files_place_is_the_tools_own() {
        let path = |variables: &[(&str, &str)]| {
            credentials_path(&|name| {
                let found = variables.iter().find(|variable| variable.0 == name);
                found.map(|variable| variable.1.to_owned())
            })
        };
        let all = [("HOME", "/h"), ("DOCKER_CONFIG", "/d"), ("REGISTRY_AUTH_FILE", "/r.json")];
        assert_eq!(path(&all), Some("/r.json".into()));
        assert_eq!(path(&all[..2]), Some("/d/config.json".into()));
        assert_eq!(path(&all[..1]), Some("/h/.docker/config.json".into()));
        assert_eq!(path(&[("HOME", "")]), None);
    }
}
