//! Imports: from a package to three artifacts and one hub entry.

use super::initrd::{AgentError, Payload};
use super::module_order::{LoadOrder, module_name};
use super::module_tree::{ModuleTree, TreeError};
use super::{Kernel, PackageError, package, vmlinuz};
use crate::hub::{Hub, HubError};
use crate::squashfs;
use crate::store::{Sealed, Store, StoreError};
use protocol::boot::ArtifactRef;
use protocol::names::KernelName;
use std::io::{self, Read};
use std::path::PathBuf;

/// What the site puts into every initrd.
#[derive(Debug, Clone)]
pub struct ImportOptions {
    /// The node agent, statically linked.
    pub agent: PathBuf,
    /// The certificate that bootsrv shows to nodes, PEM, without its key.
    pub certificate_pem: String,
    /// Modules the agent loads at once, e.g. [`super::DEFAULT_MODULES`].
    pub initrd_modules: Vec<String>,
    /// Directories below `/usr/lib/modules/RELEASE` that nodes of the site do not need, e.g.
    /// [`super::DESKTOP_DIRECTORIES`]; with each byte less the node boots sooner. May be empty.
    pub left_out: Vec<String>,
}

/// Why a kernel cannot be imported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KernelError {
    /// The package is refused.
    #[error("import kernel package")]
    Package(#[source] PackageError),
    /// The module tree cannot be used.
    #[error("prepare kernel {name}")]
    Tree {
        /// The kernel.
        name: KernelName,
        /// Why.
        source: TreeError,
    },
    /// The site's part of the initrd cannot be used.
    #[error("prepare the initrd")]
    Agent(#[source] AgentError),
    /// The kernel file cannot be read.
    #[error("read kernel file {path:?}")]
    Vmlinuz {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The kernel file is of a kind that cannot be booted this way.
    #[error("the kernel file is no x86 bzImage")]
    NotBzImage,
    /// Kernel and modules do not belong together.
    #[error("the kernel file is release {kernel}, the module tree is {modules}")]
    ReleaseMismatch {
        /// What the kernel file says.
        kernel: String,
        /// The module tree's directory name.
        modules: String,
    },
    /// The modules are another kernel's, whatever their directory is called.
    #[error("the kernel file is release {kernel}, its module {file} was built for {module}")]
    ForeignModules {
        /// What the kernel file says.
        kernel: String,
        /// A module's file.
        file: String,
        /// What that module says.
        module: String,
    },
    /// The store or the hub failed.
    #[error("store kernel {name}")]
    Hub {
        /// The kernel.
        name: KernelName,
        /// Why.
        source: HubError,
    },
}

/// Imports a Debian `linux-image` package. An existing kernel of that name is replaced; what it
/// referred to stays until [`Hub::sweep`].
///
/// # Errors
/// When the package is refused or something cannot be written; the hub is then unchanged.
pub fn import_package(
    hub: &Hub,
    name: KernelName,
    package: impl Read,
    options: &ImportOptions,
) -> Result<Kernel, KernelError> {
    let import = Import::new(hub, name, options)?;
    let tree = package::unpack(package, import.scratch.path(), &options.left_out)
        .map_err(KernelError::Package)?;
    import.finish(&tree)
}

/// Makes the initrd of an imported kernel anew, for another agent, certificate or module list.
/// Kernel and modules stay the same artifacts. `None`: it is up to date.
///
/// # Errors
/// As [`import_package`].
pub fn rebuild_initrd(
    hub: &Hub,
    kernel: &Kernel,
    options: &ImportOptions,
) -> Result<Option<Kernel>, KernelError> {
    let import = Import::new(hub, kernel.name.clone(), options)?;
    if import.payload.inputs() == kernel.initrd_inputs {
        return Ok(None);
    }
    let root = import.scratch.join("tree");
    let source = hub.store().path(&kernel.modules.sha256);
    squashfs::unpack(&source, &root).map_err(|source| import.tree_error(source.into()))?;
    let tree = ModuleTree::new(root, &kernel.release, &[]);
    let initrd = import.scratch.join("initrd");
    let order = tree
        .tables()
        .and_then(|tables| import.payload.write(&tree, &tables, &initrd))
        .map_err(|source| import.tree_error(source))?;
    import
        .put(&kernel.release, &order, || {
            let there = |part: &ArtifactRef| Part::There(part.clone());
            Ok([there(&kernel.vmlinuz), Part::New(Store::seal(&initrd)?), there(&kernel.modules)])
        })
        .map(Some)
}

/// A file of a kernel.
enum Part {
    /// An artifact already.
    There(ArtifactRef),
    New(Sealed),
}

/// One import on its way.
struct Import<'a> {
    hub: &'a Hub,
    name: KernelName,
    payload: Payload<'a>,
    scratch: crate::scratch::Scratch,
}

impl<'a> Import<'a> {
    fn new(
        hub: &'a Hub,
        name: KernelName,
        options: &'a ImportOptions,
    ) -> Result<Self, KernelError> {
        let payload =
            Payload::read(&options.agent, &options.certificate_pem, &options.initrd_modules)
                .map_err(KernelError::Agent)?;
        let scratch = hub.store().scratch().map_err(|source: StoreError| KernelError::Hub {
            name: name.clone(),
            source: source.into(),
        })?;
        Ok(Self { hub, name, payload, scratch })
    }

    fn tree_error(&self, source: TreeError) -> KernelError {
        KernelError::Tree { name: self.name.clone(), source }
    }

    /// From an unpacked `vmlinuz` and tree to the hub.
    fn finish(self, tree: &ModuleTree<'_>) -> Result<Kernel, KernelError> {
        let [vmlinuz, initrd, modules] =
            ["vmlinuz", "initrd", "modules"].map(|name| self.scratch.join(name));
        let kernel = vmlinuz::release(&vmlinuz)
            .map_err(|source| KernelError::Vmlinuz { path: vmlinuz.clone(), source })?
            .ok_or(KernelError::NotBzImage)?;
        if kernel != tree.release() {
            return Err(KernelError::ReleaseMismatch {
                kernel,
                modules: tree.release().to_owned(),
            });
        }
        let tables = tree.index(self.scratch.path()).map_err(|source| self.tree_error(source))?;
        let built_for = tree.built_for(&tables).map_err(|source| self.tree_error(source))?;
        if let Some((file, module)) = built_for.filter(|(_, module)| *module != kernel) {
            return Err(KernelError::ForeignModules { kernel, file, module });
        }
        let build = || {
            let order = self.payload.write(tree, &tables, &initrd)?;
            tree.write_squashfs(&modules)?;
            Ok(order)
        };
        let order = build().map_err(|source| self.tree_error(source))?;
        self.put(&kernel, &order, || {
            let new = |path| Store::seal(path).map(Part::New);
            Ok([new(&vmlinuz)?, new(&initrd)?, new(&modules)?])
        })
    }

    fn put(
        &self,
        release: &str,
        order: &LoadOrder,
        parts: impl FnOnce() -> Result<[Part; 3], StoreError>,
    ) -> Result<Kernel, KernelError> {
        if !order.missing.is_empty() {
            log::info!("kernel {} has no module {}", self.name, order.missing.join(", "));
        }
        let put = || {
            // Nobody waits for the lock while files are hashed.
            let [vmlinuz, initrd, modules] = parts()?;
            let change = self.hub.change()?;
            let take = |part| match part {
                Part::There(artifact) => Ok(artifact),
                Part::New(sealed) => change.publish(sealed),
            };
            let [vmlinuz, initrd, modules] = [take(vmlinuz)?, take(initrd)?, take(modules)?];
            let kernel = Kernel {
                name: self.name.clone(),
                release: release.to_owned(),
                bytes: vmlinuz.bytes + initrd.bytes + modules.bytes,
                vmlinuz,
                initrd,
                modules,
                initrd_inputs: self.payload.inputs(),
                initrd_modules: order.files.iter().map(|file| module_name(file)).collect(),
                initrd_builtin: order.builtin.clone(),
                initrd_missing: order.missing.clone(),
            };
            change.put(&kernel)?;
            Ok(kernel)
        };
        put().map_err(|source| KernelError::Hub { name: self.name.clone(), source })
    }
}
