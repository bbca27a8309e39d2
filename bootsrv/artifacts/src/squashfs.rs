//! Makes squashfs files with `mksquashfs` and takes them apart with `unsquashfs`; a layer of a
//! container image is made by `tar2sqfs`, read by `sqfs2tar` and `sqfscat`.
//!
//! Equal input gives equal bytes, if an archive has an entry for each directory. It must not know what
//! is inside.

use crate::program::{Program, ProgramError, Running, STANDARD_INPUT};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::num::NonZero;
use std::path::Path;
use std::time::Duration;

/// Longest a single file system may take.
const LIMIT: Duration = Duration::from_secs(3600);
/// Compression level of images: higher ones cost minutes and save a tenth (measured).
const IMAGE_LEVEL: &str = "3";
/// Compression level of module trees: a second for 90 MiB, a tenth smaller than level 3 (measured).
const MODULES_LEVEL: &str = "9";
/// Compressing threads for one layer: more are for other layers.
const LAYER_JOBS_MAX: usize = 8;
/// What `sqfscat` may hold of data and of fragments; its own default is 256.
const CONTENTS_QUEUE_MIB: &str = "16";

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

/// A layer from a plain tar on the program's standard input, to an absolute path. Unlike `mksquashfs -tar` it takes the
/// root directory's owner, mode and time from the archive, gives equal bytes for equal archives, and
/// needs a quarter of the memory (measured). Directories may come after what is in them; a path
/// must not come twice.
///
/// # Errors
/// When it is not installed or cannot be started.
pub fn from_layer(output: &Path, level: u8) -> Result<Running, ProgramError> {
    let jobs = std::thread::available_parallelism().map_or(1, NonZero::get).min(LAYER_JOBS_MAX);
    Program::find("tar2sqfs", LIMIT)?
        .args(["--quiet", "--force", "--no-skip", "--compressor", "zstd", "--block-size", "256K"])
        .args(["--comp-extra".to_owned(), format!("level={level}")])
        .args(["--num-jobs".to_owned(), jobs.to_string()])
        .args([output])
        .feed()
}

/// The tar archive of a whole file system that a user made, its root as `./`; nothing of it is mounted,
/// and the program is confined to that file.
///
/// # Errors
/// When the program is not installed or cannot be started.
pub fn to_tar(source: File) -> Result<Running, ProgramError> {
    Program::find("sqfs2tar", LIMIT)?
        .args(["--no-skip", "--root-becomes", ".", STANDARD_INPUT])
        .confined_to(source)
        .read()
}

/// The contents of files of a file system, one after the other.
///
/// # Errors
/// When the program is not installed or cannot be started.
pub fn contents<'a>(
    source: &Path,
    files: impl IntoIterator<Item = &'a OsStr>,
) -> Result<Running, ProgramError> {
    Program::find("sqfscat", LIMIT)?
        .args(["-no-wildcards", "-da", CONTENTS_QUEUE_MIB, "-fr", CONTENTS_QUEUE_MIB])
        .args([source])
        .args(files)
        .read()
}

/// Unpacks a whole file system into `output`, which must not exist.
pub(crate) fn unpack(source: &Path, output: &Path) -> Result<(), ProgramError> {
    Program::find("unsquashfs", LIMIT)?
        .args(["-quiet", "-no-progress", "-no-xattrs", "-dest"])
        .args([output, source])
        .run()
}
