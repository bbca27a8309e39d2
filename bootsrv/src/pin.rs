//! What one boot consists of, resolved from names to content when the deployment is written.
//!
//! Script, plan and artifacts of a boot all come from its pin: a kernel or an image that is imported
//! again, a profile that is edited, count for the next boot and never for one on its way.

use crate::catalog::Choice;
use artifacts::Image;
use protocol::boot::{ArtifactRef, Mount};
use protocol::names::Digest;
use protocol::profile::Profile;
use serde::{Deserialize, Serialize};

/// Kernel, initrd, module tree, settings and root of one boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pin {
    /// `uname -r`.
    pub release: String,
    /// The kernel file.
    pub vmlinuz: ArtifactRef,
    /// Its initrd.
    pub initrd: ArtifactRef,
    /// Its module tree.
    pub modules: ArtifactRef,
    /// Arguments and settings.
    pub profile: Profile,
    /// The image's root file system: layers, the lowest first.
    pub root: Vec<ArtifactRef>,
    /// The image's first process.
    pub init: Vec<String>,
    /// The image's mounts.
    pub mounts: Vec<Mount>,
    /// Of what the site adds ([`crate::plan::site_digest`]): a running node has what it was booted
    /// with. `None`: written before nodes could stay on.
    #[serde(default)]
    pub site: Option<Digest>,
}

impl Pin {
    /// Resolves a choice and an image; `site`: of what the site adds.
    #[must_use]
    pub fn new(choice: Choice, image: Image, site: Digest) -> Self {
        let Choice { profile, kernel, name: _ } = choice;
        Self {
            release: kernel.release,
            vmlinuz: kernel.vmlinuz,
            initrd: kernel.initrd,
            modules: kernel.modules,
            profile,
            root: image.layers,
            init: image.init,
            mounts: image.mounts,
            site: Some(site),
        }
    }

    /// The artifacts that must stay while the deployment lives.
    pub fn artifacts(&self) -> impl Iterator<Item = Digest> {
        let kernel = [&self.vmlinuz, &self.initrd, &self.modules];
        kernel.into_iter().chain(&self.root).map(|artifact| artifact.sha256)
    }
}

#[cfg(test)]
impl Pin {
    /// A pin of artifacts that do not exist.
    pub(crate) fn of_nothing() -> Self {
        let artifact = |byte| ArtifactRef { sha256: Digest([byte; 32]), bytes: 1 };
        Self {
            release: "6.1.0".into(),
            vmlinuz: artifact(1),
            initrd: artifact(2),
            modules: artifact(3),
            profile: toml::from_str("kernel = \"k\"").unwrap(),
            root: vec![artifact(4)],
            init: vec!["/sbin/init".into()],
            mounts: vec![],
            site: None,
        }
    }
}
