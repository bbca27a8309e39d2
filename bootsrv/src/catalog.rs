//! What may be chosen, by whom, and what a choice means: profiles on top of the hub's kernels.

use crate::config::{Config, Partition};
use crate::hub::Hub;
use artifacts::{Image, Kernel};
use protocol::api::{Catalog, CatalogEntry, ImageKind};
use protocol::error::{ApiError, ErrorKind};
use protocol::job_options::JobOptions;
use protocol::names::{ImageName, KernelName, NodeName};
use protocol::nearest::nearest;
use protocol::profile::{Asker, Profile};
use std::collections::BTreeMap;
use std::path::Path;

/// A kernel as users choose it: a profile with the imported kernel below it.
#[derive(Debug, Clone)]
pub struct Choice {
    /// What users type.
    pub name: KernelName,
    /// Its settings; for an imported kernel without a profile, none.
    pub profile: Profile,
    /// The imported kernel.
    pub kernel: Kernel,
}

/// All kernels and profiles of the site. A profile whose kernel is missing is left out, with a
/// line in the log.
///
/// # Errors
/// When the hub or the profiles cannot be read, or a profile is not valid.
pub fn choices(config: &Config, hub: &Hub) -> Result<BTreeMap<KernelName, Choice>, ApiError> {
    let kernels: BTreeMap<KernelName, Kernel> =
        hub.kernels()?.into_iter().map(|kernel| (kernel.name.clone(), kernel)).collect();
    let mut choices = BTreeMap::new();
    for kernel in kernels.values() {
        let profile = plain(kernel);
        let name = kernel.name.clone();
        choices.insert(name.clone(), Choice { name, profile, kernel: kernel.clone() });
    }
    for (name, profile) in profiles(&config.profiles_dir)? {
        // One bad file must not stop the jobs that do not use it.
        let profile = match profile {
            Ok(profile) => profile,
            Err(error) => {
                log::warn!("{error}");
                continue;
            }
        };
        match kernels.get(&profile.kernel) {
            Some(kernel) => {
                choices.insert(name.clone(), Choice { name, profile, kernel: kernel.clone() });
            }
            None => log::warn!(
                "profile {name} names kernel {}, which is not in the hub",
                profile.kernel
            ),
        }
    }
    Ok(choices)
}

fn plain(kernel: &Kernel) -> Profile {
    Profile {
        kernel: kernel.name.clone(),
        description: format!("Linux {}", kernel.release),
        arguments: Vec::new(),
        modules: Vec::new(),
        sysfs: BTreeMap::new(),
        sysctl: BTreeMap::new(),
        cpus_offline: Vec::new(),
        cpus: protocol::profile::CpusLeft::All,
        allow: protocol::profile::Allow::default(),
    }
}

/// Longest profile file, in bytes.
const PROFILE_BYTES_MAX: u64 = 64 * 1024;

type ReadProfile = Result<Profile, ApiError>;

fn profiles(directory: &Path) -> Result<Vec<(KernelName, ReadProfile)>, ApiError> {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(broken(directory, &error)),
    };
    let mut profiles = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| broken(directory, &error))?.path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or("");
        let Ok(name) = stem.parse() else {
            log::warn!("profile {} does not have the name of a kernel", path.display());
            continue;
        };
        profiles.push((name, read_profile(&path)));
    }
    Ok(profiles)
}

fn broken(path: &Path, error: &dyn std::fmt::Display) -> ApiError {
    ApiError::new(ErrorKind::Site, format!("profile {}: {error}", path.display()))
}

fn read_profile(path: &Path) -> ReadProfile {
    if path.metadata().is_ok_and(|metadata| metadata.len() > PROFILE_BYTES_MAX) {
        return Err(broken(path, &"is longer than 64 KiB"));
    }
    let text = std::fs::read_to_string(path).map_err(|error| broken(path, &error))?;
    toml::from_str(&text).map_err(|error| broken(path, &error))
}

/// Finds the kernel of that name, whoever may use it; `asker` gets only names that are open to them
/// as suggestions.
///
/// # Errors
/// Unknown name: with the nearest ones.
pub fn find(
    config: &Config,
    hub: &Hub,
    name: &KernelName,
    asker: Asker<'_>,
) -> Result<Choice, ApiError> {
    let mut choices = choices(config, hub)?;
    if let Some(choice) = choices.remove(name) {
        return Ok(choice);
    }
    let own_file = config.profiles_dir.join(format!("{name}.toml"));
    if own_file.is_file() {
        // It is there and not among the choices: say what is wrong with it.
        read_profile(&own_file)?;
    }
    let known = choices.values().filter(|choice| choice.profile.allow.permits(asker));
    let names = known.map(|choice| choice.name.as_str());
    Err(unknown("kernel", name.as_str(), &nearest(name.as_str(), names)))
}

/// Finds the kernel of that name and checks that the one who asks may use it.
///
/// # Errors
/// Unknown name: with the nearest ones. Not allowed: with how to see what is.
pub fn kernel(
    config: &Config,
    hub: &Hub,
    name: &KernelName,
    asker: Asker<'_>,
) -> Result<Choice, ApiError> {
    let choice = find(config, hub, name, asker)?;
    if choice.profile.allow.permits(asker) {
        return Ok(choice);
    }
    let who = asker.user.map_or_else(String::new, |user| format!(" user {user}"));
    Err(ApiError::new(ErrorKind::Forbidden, format!("kernel {name} is not open to{who}"))
        .hint("List what you may choose with --bmc-kernel=help."))
}

/// Finds the image of that name.
///
/// # Errors
/// Unknown name: with the nearest ones.
pub fn image(hub: &Hub, name: &ImageName) -> Result<Image, ApiError> {
    let images = hub.images()?;
    let names: Vec<&str> = images.iter().map(|image| image.name.as_str()).collect();
    images
        .iter()
        .find(|image| &image.name == name)
        .cloned()
        .ok_or_else(|| unknown("image", name.as_str(), &nearest(name.as_str(), names)))
}

fn unknown(what: &str, name: &str, near: &[&str]) -> ApiError {
    let suggestion = match near {
        [] => String::new(),
        names => format!("Did you mean {}? ", names.join(" or ")),
    };
    ApiError::new(ErrorKind::User, format!("there is no {what} {name}"))
        .hint(format!("{suggestion}List what you may choose with --bmc-{what}=help."))
}

/// The kernel's name a node boots for these options: the user's, the canary's, the default.
#[must_use]
pub fn kernel_name(options: &JobOptions, partition: &Partition, node: &NodeName) -> KernelName {
    if let Some(kernel) = &options.kernel {
        return kernel.clone();
    }
    match &partition.canary {
        Some(canary) if canary.includes(node) => canary.kernel.clone(),
        _ => partition.default_kernel.clone(),
    }
}

/// What the one who asks may choose.
///
/// # Errors
/// When the hub or the profiles cannot be read.
pub fn list(config: &Config, hub: &Hub, asker: Asker<'_>) -> Result<Catalog, ApiError> {
    let partition = asker
        .partition
        .and_then(|name| config.partition(name))
        .or_else(|| config.partitions.first());
    let kernels = choices(config, hub)?
        .into_values()
        .filter(|choice| choice.profile.allow.permits(asker))
        .map(|choice| CatalogEntry {
            default: partition.is_some_and(|p| p.default_kernel == choice.name),
            description: choice.profile.description,
            name: choice.name.into(),
        })
        .collect();
    let (nodes, applications): (Vec<Image>, Vec<Image>) =
        hub.images()?.into_iter().partition(|image| image.kind == ImageKind::Node);
    let entry = |word: &str, image: Image| CatalogEntry {
        default: partition.is_some_and(|p| p.default_image == image.name),
        description: format!("{word} image, {} MB", image.bytes() / 1_000_000),
        name: image.name.into(),
    };
    let images = nodes.into_iter().map(|image| entry("node", image)).collect();
    let application_images =
        applications.into_iter().map(|image| entry("application", image)).collect();
    Ok(Catalog { kernels, images, application_images })
}
