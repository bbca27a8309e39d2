//! The plan of one boot: what the node agent is told, and what it gets with its token.

use crate::clock::now_unix_ns;
use crate::config::{Config, SiteFileSource};
use crate::deployment::{Application, Deployment};
use crate::pin::Pin;
use protocol::api::NodeDefinition;
use protocol::boot::{BootPlan, Secrets, Setting, SiteFile};
use protocol::names::Digest;
use protocol::profile::{CpusLeft, Profile};
use sha2::{Digest as _, Sha256};

/// Between two heartbeats of a running node, in seconds.
const HEARTBEAT_SECONDS: u32 = 10;
/// Longest site file, in bytes.
const SITE_FILE_BYTES_MAX: usize = 1 << 20;

/// A site file could not be read.
#[derive(Debug, thiserror::Error)]
#[error("reading site file {path}")]
pub struct SiteFileError {
    path: std::path::PathBuf,
    #[source]
    source: std::io::Error,
}

/// The plan, without a secret in it.
///
/// # Errors
/// When a site file cannot be read.
pub fn plan(
    config: &Config,
    node: &NodeDefinition,
    deployment: &Deployment,
    pin: &Pin,
) -> Result<BootPlan, SiteFileError> {
    let mut files = site_files(config, node, false)?;
    files.push(SiteFile {
        path: "/etc/bare-metal-container/node.env".into(),
        mode: 0o644,
        owner: "root".into(),
        group: "root".into(),
        content: format!(
            "NODE_NAME={}\nSLURM_CONF_SERVER={}\n",
            node.name, config.slurm.conf_server
        )
        .into_bytes(),
    });
    Ok(BootPlan {
        node: node.name.clone(),
        job: deployment.job,
        kernel_release: pin.release.clone(),
        root: pin.root.clone(),
        modules: pin.modules.clone(),
        settings: settings(&pin.profile),
        files,
        mounts: pin.mounts.iter().chain(&config.mounts).cloned().collect(),
        init: pin.init.clone(),
        time_unix_ns: now_unix_ns(),
        heartbeat_seconds: HEARTBEAT_SECONDS,
        application: deployment.application != Application::None,
    })
}

/// The secrets of this boot.
///
/// # Errors
/// When a site file cannot be read.
pub fn secrets(config: &Config, node: &NodeDefinition) -> Result<Secrets, SiteFileError> {
    Ok(Secrets { files: site_files(config, node, true)? })
}

/// Digest of everything a node gets from the site's configuration beside kernel and image. A file that
/// cannot be read counts as such: the boot says which.
#[must_use]
pub fn site_digest(config: &Config, node: &NodeDefinition) -> Digest {
    let mut hash = Sha256::new();
    let mut add = |text: &str| {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text.as_bytes());
    };
    let definition = (&node.name, node.mac, &node.address, &node.gateway);
    add(&format!("{definition:?} {} {}", node.cpus, node.threads_per_core));
    add(&format!("{:?} {:?}", config.kernel_arguments, config.mounts));
    add(&format!("{:?} {:?}", config.slurm.conf_server, config.url));
    for file in &config.site_files {
        add(&format!("{file:?}"));
        match std::fs::read(&file.source) {
            Ok(content) => add(&format!("{}", Digest(Sha256::digest(content).into()))),
            Err(error) => add(&error.to_string()),
        }
    }
    Digest(hash.finalize().into())
}

/// A profile's settings in the order they are applied: modules first, because they bring the files
/// that the others write; CPUs last, because a CPU that is off-line cannot be tuned any more.
#[must_use]
pub fn settings(profile: &Profile) -> Vec<Setting> {
    let modules = profile.modules.iter().cloned().map(Setting::Module);
    let sysctl = profile
        .sysctl
        .iter()
        .map(|(key, value)| Setting::Sysctl { key: key.clone(), value: value.clone() });
    let sysfs = profile
        .sysfs
        .iter()
        .map(|(path, value)| Setting::Sysfs { path: path.clone(), value: value.clone() });
    let cpus = profile.cpus_offline.iter().copied().map(Setting::CpuOffline);
    modules.chain(sysctl).chain(sysfs).chain(cpus).collect()
}

/// The CPUs a node has on-line under a profile.
#[must_use]
pub fn cpus_expected(profile: &Profile, node: &NodeDefinition) -> u32 {
    let offline = u32::try_from(profile.cpus_offline.len()).unwrap_or(u32::MAX);
    match profile.cpus {
        CpusLeft::All => node.cpus,
        CpusLeft::OnePerCore => node.cpus / node.threads_per_core.max(1),
        CpusLeft::AllButOffline => node.cpus.saturating_sub(offline),
    }
}

fn site_files(
    config: &Config,
    node: &NodeDefinition,
    secret: bool,
) -> Result<Vec<SiteFile>, SiteFileError> {
    let wanted = config.site_files.iter().filter(|file| file.secret == secret);
    wanted.map(|source| site_file(source, node)).collect()
}

fn site_file(source: &SiteFileSource, node: &NodeDefinition) -> Result<SiteFile, SiteFileError> {
    let error = |cause| SiteFileError { path: source.source.clone(), source: cause };
    let bytes = std::fs::read(&source.source).map_err(error)?;
    if bytes.len() > SITE_FILE_BYTES_MAX {
        return Err(error(std::io::Error::other("longer than 1 MiB")));
    }
    // Only text has templates; a key stays as it is.
    let content = match (source.secret, String::from_utf8(bytes)) {
        (false, Ok(text)) => fill(&text, node).into_bytes(),
        (true, Ok(text)) => text.into_bytes(),
        (_, Err(binary)) => binary.into_bytes(),
    };
    Ok(SiteFile {
        path: source.path.clone(),
        mode: u32::from_str_radix(&source.mode, 8).unwrap_or(0o600),
        owner: source.owner.clone(),
        group: source.group.clone(),
        content,
    })
}

fn fill(text: &str, node: &NodeDefinition) -> String {
    let address = node.address.split('/').next().unwrap_or("");
    text.replace("{{node}}", node.name.as_str()).replace("{{address}}", address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_come_modules_first_and_cpus_last() {
        let profile: Profile = toml::from_str(
            "kernel = \"k\"\ncpus_offline = [1]\nmodules = [\"m\"]\n\
             [sysfs]\n\"a/b\" = \"1\"\n[sysctl]\n\"net.x\" = \"2\"",
        )
        .unwrap();
        let expected = [
            Setting::Module("m".into()),
            Setting::Sysctl { key: "net.x".into(), value: "2".into() },
            Setting::Sysfs { path: "a/b".into(), value: "1".into() },
            Setting::CpuOffline(1),
        ];
        assert_eq!(settings(&profile), expected);
    }
}
