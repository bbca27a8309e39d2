//! Takes the kernel file and the module tree out of a Debian `linux-image` package.
//!
//! The package comes from outside: nothing else of it is used, no script of it is run, and what
//! does not look like a kernel package is refused. Format: deb(5).

use super::module_tree::{BUILD_LINKS, ModuleTree, TreeError};
use crate::compression;
use crate::unpack::{self, ArchiveError, Limited};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use tar::EntryType;

/// Largest package content, unpacked, in bytes; Debian's largest kernel has 0.5 GiB.
const CONTENT_BYTES_MAX: u64 = 8 << 30;
/// Most entries; Debian's largest kernel has 5,000.
const ENTRIES_MAX: usize = 100_000;
/// Largest kernel file, in bytes.
const VMLINUZ_BYTES_MAX: u64 = 256 << 20;
/// Members of a package's outer archive; there are three.
const MEMBERS_MAX: usize = 16;

/// Why a package is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PackageError {
    /// The archive is damaged or hostile.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// It does not start as a Debian package does.
    #[error("not a Debian package (format 2)")]
    NotAPackage,
    /// It is a package of something else.
    #[error("the package has no {what}")]
    Lacks {
        /// What is not there.
        what: &'static str,
    },
    /// Two kernels in one package, or names that are no releases.
    #[error("the package has an unexpected second kernel or module directory: {path:?}")]
    Ambiguous {
        /// The entry.
        path: String,
    },
    /// A link or a device where a file should be.
    #[error("the package has something else than a file at {path:?}")]
    NotAFile {
        /// The entry.
        path: String,
    },
    /// The kernel file cannot be written.
    #[error("unpack to {path:?}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A module cannot be written.
    #[error(transparent)]
    Tree(#[from] TreeError),
}

/// Unpacks to `vmlinuz` and `tree` in `scratch`, without the module directories `left_out`.
pub(super) fn unpack<'a>(
    package: impl Read,
    scratch: &Path,
    left_out: &'a [String],
) -> Result<ModuleTree<'a>, PackageError> {
    let mut archive = ar::Archive::new(package);
    for index in 0..MEMBERS_MAX {
        let Some(member) = archive.next_entry() else { break };
        let mut member = member.map_err(|error| match index {
            0 => PackageError::NotAPackage,
            _ => ArchiveError::Read(error).into(),
        })?;
        let name = String::from_utf8_lossy(member.header().identifier()).into_owned();
        if index == 0 {
            let mut version = String::new();
            let read = member.by_ref().take(8).read_to_string(&mut version);
            if read.is_err() || name != "debian-binary" || !version.starts_with("2.") {
                return Err(PackageError::NotAPackage);
            }
        } else if name.starts_with("data.tar") {
            let plain = compression::plain(member).map_err(ArchiveError::Read)?;
            return unpack_data(Limited::new(plain, CONTENT_BYTES_MAX), scratch, left_out);
        }
    }
    Err(PackageError::NotAPackage)
}

fn unpack_data<'a>(
    data: impl Read,
    scratch: &Path,
    left_out: &'a [String],
) -> Result<ModuleTree<'a>, PackageError> {
    let mut tree: Option<ModuleTree<'a>> = None;
    let mut has_vmlinuz = false;
    let mut archive = tar::Archive::new(data);
    for (index, entry) in archive.entries().map_err(ArchiveError::Read)?.enumerate() {
        let entry = entry.map_err(ArchiveError::Read)?;
        if index >= ENTRIES_MAX {
            return Err(ArchiveError::TooManyEntries { max: ENTRIES_MAX }.into());
        }
        let raw_path = entry.path_bytes().into_owned();
        let parts = unpack::parts(&raw_path)?;
        let path = || parts.join("/");
        let kind = entry.header().entry_type();
        if kind.is_dir() {
            continue;
        }
        match parts.as_slice() {
            ["boot", name] if name.starts_with("vmlinuz-") => {
                require_file(kind, path)?;
                if has_vmlinuz {
                    return Err(PackageError::Ambiguous { path: path() });
                }
                write_vmlinuz(entry, &scratch.join("vmlinuz"))?;
                has_vmlinuz = true;
            }
            ["lib", "modules", release, rest @ ..]
            | ["usr", "lib", "modules", release, rest @ ..] => {
                if rest.first().is_none_or(|name| BUILD_LINKS.contains(name)) {
                    continue;
                }
                require_file(kind, path)?;
                let tree = match &tree {
                    Some(tree) if tree.release() == *release => tree,
                    None if super::is_release(release) => {
                        tree.insert(ModuleTree::new(scratch.join("tree"), release, left_out))
                    }
                    _ => return Err(PackageError::Ambiguous { path: path() }),
                };
                tree.place(rest, entry)?;
            }
            _ => {}
        }
    }
    // The compressor's check sum over the last block stands behind the archive's end mark.
    io::copy(&mut archive.into_inner(), &mut io::sink()).map_err(ArchiveError::Read)?;
    match tree {
        None => Err(PackageError::Lacks { what: "module tree (lib/modules/RELEASE)" }),
        Some(_) if !has_vmlinuz => {
            Err(PackageError::Lacks { what: "kernel file (boot/vmlinuz-…)" })
        }
        Some(tree) => Ok(tree),
    }
}

fn require_file(kind: EntryType, path: impl Fn() -> String) -> Result<(), PackageError> {
    if kind.is_file() || kind.is_contiguous() {
        Ok(())
    } else {
        Err(PackageError::NotAFile { path: path() })
    }
}

fn write_vmlinuz(content: impl Read, path: &Path) -> Result<(), PackageError> {
    let write =
        || io::copy(&mut Limited::new(content, VMLINUZ_BYTES_MAX), &mut File::create_new(path)?);
    write().map(drop).map_err(|source| PackageError::Write { path: path.to_owned(), source })
}
