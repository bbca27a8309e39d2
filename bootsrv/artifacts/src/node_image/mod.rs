//! Node images on their way to the catalog: built from packages, given the SPANK plugin, packed.
//!
//! Everything here makes a tar archive for `crate::image`, on whatever machine an administrator
//! works. It must not know bootsrv's store.

mod add_plugin;
pub mod debian;
mod plugin;

pub use add_plugin::{AddPluginError, add_plugin};
pub use plugin::{Plugin, PluginError, SlurmVersion};

use crate::program::{Program, ProgramError};
use std::path::Path;
use std::time::Duration;

/// Longest a directory may take to be packed.
const PACK_LIMIT: Duration = Duration::from_secs(3600);

/// Packs a root file system that lies in a directory; the caller must be able to read it wholly.
/// Other file systems mounted in it stay behind.
///
/// # Errors
/// When `tar` is missing or fails, as it does for a file that cannot be read.
pub fn pack(directory: &Path, output: &Path) -> Result<(), ProgramError> {
    Program::find("tar", PACK_LIMIT)?
        .args(["--create", "--one-file-system", "--numeric-owner", "--sort=name"])
        .args(["--xattrs", "--xattrs-include=*", "--file"])
        .args([output.as_os_str(), "--directory".as_ref(), directory.as_os_str(), ".".as_ref()])
        .run()
}
