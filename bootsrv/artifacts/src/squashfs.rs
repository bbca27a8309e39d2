//! Makes squashfs files with `mksquashfs` and takes them apart with `unsquashfs`.
//!
//! Equal input gives equal bytes, if an archive has an entry for each directory. It must not know what
//! is inside.

use crate::program::{Program, ProgramError, Running};
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::time::Duration;

/// Longest a single file system may take.
const LIMIT: Duration = Duration::from_secs(3600);
/// Compression level of images: higher ones cost minutes and save a tenth (measured).
const IMAGE_LEVEL: &str = "3";
/// Compression level of module trees: a second for 90 MiB, a tenth smaller than level 3 (measured).
const MODULES_LEVEL: &str = "9";

fn mksquashfs(source: &OsStr, output: &Path, level: &str) -> Result<Program, ProgramError> {
    let mut arguments = vec![source.to_owned(), output.as_os_str().to_owned()];
    arguments.extend(
        [
            // The default compression, gzip, is the slowest to make and to read.
            "-comp",
            "zstd",
            "-Xcompression-level",
            level,
            "-b",
            "256K",
            "-mkfs-time",
            "0",
            "-root-time",
            "0",
            "-root-mode",
            "0755",
            "-no-exports",
            "-mem",
            "1G",
            "-quiet",
            "-no-progress",
        ]
        .map(OsString::from),
    );
    Ok(Program::find("mksquashfs", LIMIT)?.args(arguments))
}

/// A module tree: everything root's, all times 0.
pub(crate) fn from_modules(source: &Path, output: &Path) -> Result<(), ProgramError> {
    mksquashfs(source.as_os_str(), output, MODULES_LEVEL)?
        .args(["-all-root", "-all-time", "0", "-no-xattrs"])
        .run()
}

/// A root file system from a plain tar on the program's standard input. Owners and devices come
/// from the archive, so that no right on this machine is needed.
pub(crate) fn from_tar(output: &Path) -> Result<Running, ProgramError> {
    mksquashfs(OsStr::new("-"), output, IMAGE_LEVEL)?
        .args(["-tar", "-root-uid", "0", "-root-gid", "0"])
        .feed()
}

/// Unpacks a whole file system into `output`, which must not exist.
pub(crate) fn unpack(source: &Path, output: &Path) -> Result<(), ProgramError> {
    Program::find("unsquashfs", LIMIT)?
        .args(["-quiet", "-no-progress", "-no-xattrs", "-dest"])
        .args([output, source])
        .run()
}
