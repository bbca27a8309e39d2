//! Loading kernel modules: those of the initrd, those of the kernel's tree, and on the kernel's
//! own request.
//!
//! Which files a name needs is decided in `module_tree`.

use crate::console::say;
use crate::module_tree::{ModuleTree, Resolution, module_name};
use protocol::boot::MODULE_ORDER_FILE;
use rustix::io::Errno;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// Where the modules squashfs is mounted until the node's init starts; the agent's own
/// modprobe looks here too.
pub(crate) const MODULES_MOUNT: &str = "/stage/modules";

/// How a module came to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Present {
    /// It is part of the kernel.
    Builtin,
    /// It was loaded, now or before.
    Loaded,
}

/// Loads everything that the initrd lists. A module that does not load is named and passed over:
/// the list serves many kinds of node, and what is really missing shows itself at its use.
pub(crate) fn load_initrd_modules() {
    let list = match fs::read_to_string(MODULE_ORDER_FILE) {
        Ok(list) => list,
        Err(error) => return say(format_args!("{MODULE_ORDER_FILE}: {error}")),
    };
    for path in list.lines().map(str::trim).filter(|line| !line.is_empty()) {
        match load_file(Path::new(path)) {
            Ok(()) => {}
            // A driver of hardware that is not here.
            Err(error) if error.raw_os_error() == Some(Errno::NODEV.raw_os_error()) => {}
            Err(error) => say(format_args!("module {path} did not load: {error}")),
        }
    }
}

/// The module tree of the running kernel, once its squashfs is mounted.
#[derive(Debug)]
pub(crate) struct Modules {
    directory: PathBuf,
    tree: ModuleTree,
}

impl Modules {
    /// Reads the lists of a root that has the kernel's modules: [`MODULES_MOUNT`], later `/`.
    pub(crate) fn open(root: &Path, kernel_release: &str) -> io::Result<Self> {
        let directory = root.join("usr/lib/modules").join(kernel_release);
        let read = |name| fs::read_to_string(directory.join(name));
        let tree = ModuleTree {
            dependencies: read("modules.dep")?,
            builtin: read("modules.builtin").unwrap_or_default(),
            aliases: read("modules.alias").unwrap_or_default(),
        };
        Ok(Self { directory, tree })
    }

    /// Loads a module with all it needs; one that is there already is as good.
    pub(crate) fn load(&self, name: &str) -> io::Result<Present> {
        match self.tree.resolve(name) {
            Resolution::Builtin => Ok(Present::Builtin),
            Resolution::Load(files) => {
                for file in files {
                    let loaded = Path::new("/sys/module").join(module_name(&file));
                    if !loaded.join("initstate").exists() {
                        load_file(&self.directory.join(file))?;
                    }
                }
                Ok(Present::Loaded)
            }
            Resolution::Missing => {
                Err(io::Error::new(io::ErrorKind::NotFound, "the kernel's tree has no such module"))
            }
        }
    }
}

fn load_file(path: &Path) -> io::Result<()> {
    match rustix::system::finit_module(File::open(path)?, c"", 0) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Lets the kernel ask for modules while the agent applies settings and mounts: it runs
/// `/sbin/modprobe` (`CONFIG_MODPROBE_PATH`), which is this program under another name.
pub(crate) fn offer_modprobe() -> io::Result<()> {
    fs::create_dir_all("/sbin")?;
    match std::os::unix::fs::symlink("/init", "/sbin/modprobe") {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// What this program does under the name `modprobe`: the last argument is the module.
pub(crate) fn answer_kernel(name: &str) -> bool {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    Modules::open(Path::new(MODULES_MOUNT), &release).and_then(|modules| modules.load(name)).is_ok()
}
