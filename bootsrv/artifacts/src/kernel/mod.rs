//! Kernels: a kernel file, an initrd with the node agent in it, and the module tree as squashfs.
//!
//! Imported from a Debian package; its scripts are never run.

mod import;
mod initrd;
mod module_order;
mod module_tree;
mod package;
mod vmlinuz;

pub use import::{ImportOptions, KernelError, import_package, rebuild_initrd};
pub use initrd::{AgentError, DEFAULT_MODULES, HARDWARE_MODULES};
pub use module_order::{LoadOrder, ModuleTables, module_name};
pub use module_tree::{DESKTOP_DIRECTORIES, TreeError};
pub use package::PackageError;

use protocol::boot::ArtifactRef;
use protocol::names::{Digest, KernelName};
use serde::{Deserialize, Serialize};

/// An imported kernel, as it stands in the hub's file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kernel {
    /// What users type.
    pub name: KernelName,
    /// `uname -r`.
    pub release: String,
    /// The kernel file.
    pub vmlinuz: ArtifactRef,
    /// zstd-compressed cpio: agent, certificate, modules for the first seconds.
    pub initrd: ArtifactRef,
    /// squashfs with `usr/lib/modules/RELEASE`.
    pub modules: ArtifactRef,
    /// Bytes of the three together.
    pub bytes: u64,
    /// SHA-256 over agent, certificate and module list, to notice an initrd that is out of date.
    pub initrd_inputs: Digest,
    /// Modules in the initrd, in load order.
    pub initrd_modules: Vec<String>,
    /// Wanted modules that this kernel has built in.
    pub initrd_builtin: Vec<String>,
    /// Wanted modules that this kernel does not have.
    pub initrd_missing: Vec<String>,
}

/// Longest release, in bytes (Linux's `__NEW_UTS_LEN`).
const RELEASE_BYTES_MAX: usize = 64;

/// Whether a text can be a kernel's release. It becomes a directory's name.
fn is_release(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit())
        && text.len() <= RELEASE_BYTES_MAX
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "._+-~".contains(c))
}

#[cfg(test)]
mod tests;
