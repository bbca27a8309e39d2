//! The module tree on its way from a package to a squashfs: every module uncompressed, so that a
//! node loads it without a decompressor, and the tables made by depmod.
//!
//! It must not know where the files come from.

use super::module_order::ModuleTables;
use crate::compression;
use crate::program::{Program, ProgramError};
use crate::squashfs;
use crate::unpack::Limited;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Largest file of a module tree, uncompressed, in bytes; Debian's largest module has 10 MiB.
const FILE_BYTES_MAX: u64 = 256 << 20;
/// Largest table of depmod that is read, in bytes; Debian's largest has 2 MiB.
const TABLE_BYTES_MAX: u64 = 64 << 20;
/// Longest depmod may take; 4,000 modules take 2 s.
const DEPMOD_LIMIT: Duration = Duration::from_secs(300);

/// Links to the place the kernel was built at; dangling on every node.
pub(super) const BUILD_LINKS: [&str; 2] = ["build", "source"];

/// Drivers that compute nodes rarely have a use for. Graphics cards are not among them: some
/// compute, and a server's own console is one.
pub const DESKTOP_DIRECTORIES: [&str; 9] = [
    "kernel/sound",
    "kernel/drivers/media",
    "kernel/drivers/staging",
    "kernel/drivers/net/wireless",
    "kernel/drivers/bluetooth",
    "kernel/drivers/iio",
    "kernel/net/bluetooth",
    "kernel/net/mac80211",
    "kernel/net/wireless",
];

/// What went wrong with a module tree.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TreeError {
    /// A file of the tree cannot be read or written.
    #[error("module tree file {path:?}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is no module in it.
    #[error("the module tree of {release} has no modules")]
    Empty {
        /// The release.
        release: String,
    },
    /// depmod or squashfs-tools failed.
    #[error(transparent)]
    Program(#[from] ProgramError),
}

/// A tree being put together: `ROOT/usr/lib/modules/RELEASE`.
#[derive(Debug)]
pub(super) struct ModuleTree<'a> {
    root: PathBuf,
    release: String,
    left_out: &'a [String],
}

impl<'a> ModuleTree<'a> {
    /// A tree at `root`, which may be empty. `release` was checked by [`super::is_release`];
    /// [`Self::place`] passes over everything below the directories `left_out`.
    pub(super) fn new(root: PathBuf, release: &str, left_out: &'a [String]) -> Self {
        Self { root, release: release.to_owned(), left_out }
    }

    pub(super) fn release(&self) -> &str {
        &self.release
    }

    /// The directory depmod's paths are relative to.
    pub(super) fn directory(&self) -> PathBuf {
        self.root.join("usr/lib/modules").join(&self.release)
    }

    /// Puts a file in, decompressing a module. `parts` is its checked path below the directory.
    pub(super) fn place(&self, parts: &[&str], content: impl Read) -> Result<(), TreeError> {
        let below: PathBuf = parts.iter().collect();
        if self.left_out.iter().any(|directory| below.starts_with(directory)) {
            return Ok(());
        }
        let mut path = self.directory().join(below);
        let module = parts.last().and_then(|name| uncompressed_name(name));
        if let Some(name) = module {
            path.set_file_name(name);
        }
        let write = || {
            fs::create_dir_all(path.parent().unwrap_or(&self.root))?;
            let plain = match module {
                Some(_) => compression::plain(content)?,
                None => Box::new(content),
            };
            io::copy(&mut Limited::new(plain, FILE_BYTES_MAX), &mut File::create_new(&path)?)
        };
        write().map(drop).map_err(|source| TreeError::File { path: path.clone(), source })
    }

    /// Runs depmod over the finished tree and reads what it wrote.
    pub(super) fn index(&self, scratch: &Path) -> Result<ModuleTables, TreeError> {
        // depmod looks below `lib/modules` of its base, while the tree has the merged layout.
        let base = scratch.join("depmod");
        let link = || {
            fs::create_dir_all(&base)?;
            symlink(self.root.join("usr/lib"), base.join("lib"))
        };
        link().map_err(|source| TreeError::File { path: base.clone(), source })?;
        Program::find("depmod", DEPMOD_LIMIT)?
            .args(["--basedir".as_ref(), base.as_os_str(), self.release.as_ref()])
            .run()?;
        self.tables()
    }

    /// Reads the tables of a tree that depmod has seen.
    pub(super) fn tables(&self) -> Result<ModuleTables, TreeError> {
        let dep = self.table("modules.dep")?;
        if dep.trim().is_empty() {
            return Err(TreeError::Empty { release: self.release.clone() });
        }
        let builtin = self.table("modules.builtin")?;
        Ok(ModuleTables::parse(&dep, &builtin, &self.table("modules.softdep")?))
    }

    /// One module's bytes; `file` is as in `modules.dep`.
    pub(super) fn module(&self, file: &str) -> Result<Vec<u8>, TreeError> {
        let path = self.directory().join(file);
        read(&path, FILE_BYTES_MAX).map_err(|source| TreeError::File { path, source })
    }

    /// The release that a module says it was built for, with the module's file; `None`: it does not
    /// say. One stands for all: trees are mixed up as a whole.
    pub(super) fn built_for(
        &self,
        tables: &ModuleTables,
    ) -> Result<Option<(String, String)>, TreeError> {
        let Some(file) = tables.any_file() else { return Ok(None) };
        let module = self.module(file)?;
        Ok(vermagic_release(&module).map(|release| (file.to_owned(), release)))
    }

    pub(super) fn write_squashfs(&self, output: &Path) -> Result<(), TreeError> {
        Ok(squashfs::from_modules(&self.root, output)?)
    }

    /// A table's text; a kernel without built-in drivers has no such file.
    fn table(&self, name: &str) -> Result<String, TreeError> {
        let path = self.directory().join(name);
        match read(&path, TABLE_BYTES_MAX) {
            Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
            Err(source) => Err(TreeError::File { path, source }),
        }
    }
}

/// The first word of a module's `vermagic` (include/linux/vermagic.h).
fn vermagic_release(module: &[u8]) -> Option<String> {
    const KEY: &[u8] = b"\0vermagic=";
    let at = module.windows(KEY.len()).position(|window| window == KEY)?;
    let text = module.get(at + KEY.len()..)?;
    let word = text.split(|byte| byte.is_ascii_whitespace() || *byte == 0).next()?;
    std::str::from_utf8(word).ok().map(str::to_owned)
}

fn read(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    Limited::new(File::open(path)?, bytes_max).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// `x.ko` for `x.ko.xz`, `x.ko.zst` and `x.ko.gz`; nothing for other files.
fn uncompressed_name(name: &str) -> Option<&str> {
    let (plain, ending) = name.rsplit_once('.')?;
    (plain.ends_with(".ko") && ["xz", "zst", "gz"].contains(&ending)).then_some(plain)
}
