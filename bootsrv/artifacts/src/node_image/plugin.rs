//! Which Slurm a plugin was built for: every plugin of Slurm says it in the symbol
//! `plugin_version` (slurm/spank.h, `SLURM_VERSION_NUMBER`).

use object::{File, Object, ObjectSection, ObjectSymbol};
use std::fmt;
use std::io;
use std::path::Path;

/// The symbol that every plugin of Slurm exports.
const VERSION_SYMBOL: &str = "plugin_version";
/// Largest plugin, in bytes; ours has 2 MiB, Slurm's own a tenth of it.
pub(super) const PLUGIN_BYTES_MAX: u64 = 64 << 20;

/// A version of Slurm, e.g. 22.05.8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlurmVersion(u32);

impl SlurmVersion {
    /// What a plugin's bytes say; `None`: it is no plugin of Slurm.
    pub(super) fn of(plugin: &[u8]) -> Option<Self> {
        let file = File::parse(plugin).ok()?;
        let symbol = file.dynamic_symbols().find(|symbol| symbol.name() == Ok(VERSION_SYMBOL))?;
        let section = file.section_by_index(symbol.section_index()?).ok()?;
        let bytes = section.data_range(symbol.address(), 4).ok()??;
        let number: [u8; 4] = bytes.try_into().ok()?;
        Some(Self(if file.is_little_endian() {
            u32::from_le_bytes(number)
        } else {
            u32::from_be_bytes(number)
        }))
    }

    #[cfg(test)]
    pub(super) fn new(major: u8, minor: u8, micro: u8) -> Self {
        Self(u32::from_be_bytes([0, major, minor, micro]))
    }

    /// Whether slurmd of version `other` loads a plugin of this one: the third number may differ.
    #[must_use]
    pub fn fits(self, other: Self) -> bool {
        self.0 >> 8 == other.0 >> 8
    }
}

impl fmt::Display for SlurmVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [_, major, minor, micro] = self.0.to_be_bytes();
        write!(f, "{major}.{minor:02}.{micro}")
    }
}

/// Why a file cannot be the plugin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PluginError {
    /// It cannot be read.
    #[error("read the plugin")]
    Read(#[from] io::Error),
    /// It is something else.
    #[error("this is no plugin of Slurm")]
    NotAPlugin,
}

/// The SPANK plugin as it goes into an image.
#[derive(Debug, Clone)]
pub struct Plugin {
    pub(super) bytes: Vec<u8>,
    pub(super) version: SlurmVersion,
}

impl Plugin {
    /// Reads a plugin of at most 64 MiB.
    ///
    /// # Errors
    /// When it cannot be read, or is none.
    pub fn read(path: &Path) -> Result<Self, PluginError> {
        if std::fs::metadata(path)?.len() > PLUGIN_BYTES_MAX {
            return Err(PluginError::NotAPlugin);
        }
        let bytes = std::fs::read(path)?;
        let version = SlurmVersion::of(&bytes).ok_or(PluginError::NotAPlugin)?;
        Ok(Self { bytes, version })
    }

    /// The Slurm it was built for.
    #[must_use]
    pub fn version(&self) -> SlurmVersion {
        self.version
    }
}

#[cfg(test)]
pub(super) const MUNGE_PLUGIN: &str = "/usr/lib/x86_64-linux-gnu/slurm-wlm/auth_munge.so";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_fit_when_the_first_two_numbers_are_equal() {
        let version = SlurmVersion::new(22, 5, 8);
        assert_eq!(version.to_string(), "22.05.8");
        assert!(version.fits(SlurmVersion::new(22, 5, 11)));
        assert!(!version.fits(SlurmVersion::new(23, 2, 8)));
    }

    #[test]
    fn a_plugin_says_its_version() {
        // Debian's Slurm is there wherever the plugin is built.
        let plugin = Plugin::read(MUNGE_PLUGIN.as_ref()).unwrap();
        let shown = plugin.version().to_string();
        assert!(shown.split('.').count() == 3 && shown.starts_with("22.05."), "{shown}");
        let other = Plugin::read("/bin/sh".as_ref()).unwrap_err();
        assert!(matches!(other, PluginError::NotAPlugin), "{other}");
    }
}
