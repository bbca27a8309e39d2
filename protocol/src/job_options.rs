//! What the user asked for: parsed at submit time, and parsed again wherever it arrives, because
//! everything between comes through the user's environment.

use crate::application::{BindMount, RootMode};
use crate::image_reference::ImageChoice;
use crate::job_env::{self, OptionVariables};
use crate::names::{ImageName, InvalidName, KernelName};
use serde::{Deserialize, Serialize};

/// Most `--bmc-mounts` of one job.
pub const MOUNTS_MAX: usize = 64;

/// The user's choice. All empty: the job does not use this system beyond the partition's default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct JobOptions {
    /// `--bmc-kernel`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernel: Option<KernelName>,
    /// `--bmc-image`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageChoice>,
    /// `--bmc-node-image`: the node image below an application image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_image: Option<ImageName>,
    /// `--bmc-root`: how nodes get at an application image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root: Option<RootMode>,
    /// `--bmc-mounts`: the node's directories inside an application image.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<BindMount>,
    /// `--bmc-entrypoint`: the application image's entry point goes before the command.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub entrypoint: bool,
}

/// One of the options, as users type it and as it travels to prolog: a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OptionName {
    /// `--bmc-kernel`.
    Kernel,
    /// `--bmc-image`.
    Image,
    /// `--bmc-node-image`.
    NodeImage,
    /// `--bmc-root`.
    Root,
    /// `--bmc-mounts`.
    Mounts,
    /// `--bmc-entrypoint`.
    Entrypoint,
}

impl OptionName {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Kernel, Self::Image, Self::NodeImage, Self::Root, Self::Mounts, Self::Entrypoint];

    /// Without the two hyphens.
    #[must_use]
    pub fn long(self) -> &'static str {
        match self {
            Self::Kernel => "bmc-kernel",
            Self::Image => "bmc-image",
            Self::NodeImage => "bmc-node-image",
            Self::Root => "bmc-root",
            Self::Mounts => "bmc-mounts",
            Self::Entrypoint => "bmc-entrypoint",
        }
    }

    /// Its environment forms.
    #[must_use]
    pub fn variables(self) -> OptionVariables {
        match self {
            Self::Kernel => job_env::KERNEL,
            Self::Image => job_env::IMAGE,
            Self::NodeImage => job_env::NODE_IMAGE,
            Self::Root => job_env::ROOT,
            Self::Mounts => job_env::MOUNTS,
            Self::Entrypoint => job_env::ENTRYPOINT,
        }
    }
}

impl JobOptions {
    /// Takes the value of one option; empty for [`OptionName::Entrypoint`]: yes.
    ///
    /// # Errors
    /// When the value is not one of that option's; it is left as it was then.
    pub fn set(&mut self, name: OptionName, text: &str) -> Result<(), InvalidName> {
        match name {
            OptionName::Kernel => self.kernel = Some(text.parse()?),
            OptionName::Image => self.image = Some(text.parse()?),
            OptionName::NodeImage => self.node_image = Some(text.parse()?),
            OptionName::Root => self.root = Some(text.parse()?),
            OptionName::Mounts => self.mounts = parse_mounts(text)?,
            OptionName::Entrypoint => self.entrypoint = parse_entrypoint(text)?,
        }
        Ok(())
    }

    /// The value of one option as [`Self::set`] takes it; none: not chosen.
    #[must_use]
    pub fn text(&self, name: OptionName) -> Option<String> {
        match name {
            OptionName::Kernel => self.kernel.as_ref().map(ToString::to_string),
            OptionName::Image => self.image.as_ref().map(ToString::to_string),
            OptionName::NodeImage => self.node_image.as_ref().map(ToString::to_string),
            OptionName::Root => self.root.map(|root| root.to_string()),
            OptionName::Mounts => (!self.mounts.is_empty()).then(|| {
                let mounts: Vec<String> = self.mounts.iter().map(ToString::to_string).collect();
                mounts.join(",")
            }),
            OptionName::Entrypoint => self.entrypoint.then(|| "yes".to_owned()),
        }
    }

    /// An option that says something about an application image, in a choice without any image.
    #[must_use]
    pub fn without_image(&self) -> Option<OptionName> {
        [OptionName::Root, OptionName::Mounts, OptionName::Entrypoint]
            .into_iter()
            .find(|name| self.image.is_none() && self.text(*name).is_some())
    }
}

fn parse_mounts(text: &str) -> Result<Vec<BindMount>, InvalidName> {
    let mounts: Vec<BindMount> =
        text.split(',').filter(|one| !one.is_empty()).map(str::parse).collect::<Result<_, _>>()?;
    if mounts.is_empty() {
        return Err(InvalidName::new("mounts", text, "it is SRC:DST[:ro],…"));
    }
    if mounts.len() > MOUNTS_MAX {
        return Err(InvalidName::new("mounts", text, "there are at most 64"));
    }
    Ok(mounts)
}

fn parse_entrypoint(text: &str) -> Result<bool, InvalidName> {
    match text {
        // Slurm's own copy of an option that was typed without a value is the text "(null)".
        "yes" | "" | "(null)" => Ok(true),
        "no" => Ok(false),
        _ => Err(InvalidName::new("entry point", text, "it is yes or no")),
    }
}

/// Whether the value asks for the list of choices instead of naming one.
#[must_use]
pub fn asks_for_list(text: &str) -> bool {
    matches!(text, "help" | "list")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_option_is_the_text_it_was_set_from() {
        for (name, typed, whole) in [
            (OptionName::Kernel, "6.1", Some("6.1")),
            (
                OptionName::Image,
                "docker://ubuntu",
                Some("docker://docker.io/library/ubuntu:latest"),
            ),
            (OptionName::NodeImage, "debian12", Some("debian12")),
            (OptionName::Root, "nfs", Some("nfs")),
            (OptionName::Mounts, "/a,/c:/d:ro", Some("/a:/a,/c:/d:ro")),
            (OptionName::Entrypoint, "", Some("yes")),
            (OptionName::Entrypoint, "(null)", Some("yes")),
            (OptionName::Entrypoint, "no", None),
        ] {
            let mut options = JobOptions::default();
            options.set(name, typed).unwrap();
            assert_eq!(options.text(name).as_deref(), whole, "{typed}");
            for other in OptionName::ALL.into_iter().filter(|other| *other != name) {
                assert_eq!(options.text(other), None);
            }
        }
        let many = vec!["/a"; MOUNTS_MAX + 1].join(",");
        for (name, bad) in [
            (OptionName::Mounts, ""),
            (OptionName::Mounts, &*many),
            (OptionName::Root, "disk"),
            (OptionName::Entrypoint, "maybe"),
            (OptionName::NodeImage, "docker://x"),
        ] {
            assert!(JobOptions::default().set(name, bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_an_older_client_sends_is_still_understood() {
        let options: JobOptions = serde_json::from_str(r#"{"kernel":"k","image":null}"#).unwrap();
        assert_eq!(options.kernel.unwrap().as_str(), "k");
        assert_eq!(serde_json::to_string(&JobOptions::default()).unwrap(), "{}");
    }
}
