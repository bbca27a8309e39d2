//! The site's kernels and images: the `artifacts` crate with this site's agent and certificate, and
//! errors as the API says them.

use crate::config::{Config, Initrd};
use crate::store::Store;
use artifacts::image::{ImageError, ImageOptions, import_tar};
use artifacts::kernel::{ImportOptions, KernelError, import_package, rebuild_initrd};
use artifacts::{Hub as Shelf, Image, Kernel, squashfs};
use images::Images;
use protocol::error::{ApiError, ErrorKind};
use protocol::names::{Digest, ImageName, KernelName};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Most answers about modules that are remembered.
const KNOWN_MODULES_MAX: usize = 1_000;
/// Longest text of a module tree's tables that is read, in bytes; Debian's have 1 MiB.
const MODULE_TABLES_BYTES_MAX: u64 = 64 << 20;

/// Kernels and images.
#[derive(Debug)]
pub struct Hub {
    shelf: Shelf,
    application: Images,
    initrd: Initrd,
    certificate: PathBuf,
    /// What was found in module trees, by their digest and the module's name.
    modules: Mutex<BTreeMap<(Digest, String), bool>>,
    /// Held while names are resolved and pinned, and while artifacts are deleted.
    pinning: Mutex<()>,
}

impl Hub {
    /// Opens the hub below the state directory.
    ///
    /// # Errors
    /// When a directory cannot be made.
    pub fn open(config: &Config, certificate: &Path) -> Result<Self, ApiError> {
        let shelf = Shelf::open(&config.state_dir).map_err(|error| site(&error))?;
        let settings = config.application_images.pull.clone();
        let application = Images::open(&config.state_dir, shelf.store().clone(), settings)
            .map_err(|error| site(&error))?;
        Ok(Self {
            shelf,
            application,
            initrd: config.initrd.clone(),
            certificate: certificate.into(),
            modules: Mutex::default(),
            pinning: Mutex::default(),
        })
    }

    /// Makes initrds anew whose agent, certificate or module list has changed since their import:
    /// an updated agent must not wait for the next import of every kernel.
    ///
    /// # Errors
    /// When the hub cannot be read or written.
    pub fn refresh(&self) -> Result<(), ApiError> {
        for kernel in self.kernels()? {
            match rebuild_initrd(&self.shelf, &kernel, &self.options()?) {
                Ok(Some(_)) => log::info!("kernel {}: initrd made anew", kernel.name),
                Ok(None) => {}
                Err(error) => return Err(kernel_error(&error)),
            }
        }
        Ok(())
    }

    /// Until what is returned is dropped, no artifact is deleted: from the look into the hub until
    /// the store has the pin.
    pub fn keep(&self) -> MutexGuard<'_, ()> {
        self.pinning.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Deletes the artifacts that no name refers to and no live deployment has pinned.
    ///
    /// # Errors
    /// When the hub or the store cannot be read, or an artifact cannot be deleted.
    pub fn sweep(&self, store: &Store) -> Result<(), ApiError> {
        let _kept = self.keep();
        let pinned = store.pinned().map_err(|error| site(&error))?;
        let (count, bytes) = self.shelf.sweep(&pinned).map_err(|error| site(&error))?;
        if count > 0 {
            log::info!("deleted {count} artifacts that nothing refers to, {bytes} bytes");
        }
        Ok(())
    }

    /// The application images.
    #[must_use]
    pub fn application(&self) -> &Images {
        &self.application
    }

    /// All imported kernels.
    ///
    /// # Errors
    /// When the hub cannot be read.
    pub fn kernels(&self) -> Result<Vec<Kernel>, ApiError> {
        self.shelf.kernels().map_err(|error| site(&error))
    }

    /// All images.
    ///
    /// # Errors
    /// When the hub cannot be read.
    pub fn images(&self) -> Result<Vec<Image>, ApiError> {
        self.shelf.images().map_err(|error| site(&error))
    }

    /// Where an artifact is, if it is there.
    #[must_use]
    pub fn path(&self, sha256: &Digest) -> PathBuf {
        self.shelf.store().path(sha256)
    }

    /// Whether a kernel has a module, built in or in its tree; `None`: its tree cannot be looked into.
    /// The first look takes some 10 ms.
    #[must_use]
    pub fn has_module(&self, kernel: &Kernel, module: &str) -> Option<bool> {
        let key = (kernel.modules.sha256, module.to_owned());
        let mut known = self.modules.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.get(&key) {
            return Some(*known);
        }
        match module_files(&self.path(&kernel.modules.sha256), &kernel.release) {
            Ok(files) => {
                let file = format!("/{module}.ko");
                let has = files.lines().any(|line| {
                    line.split(':').next().is_some_and(|path| path.trim().ends_with(&file))
                });
                if known.len() >= KNOWN_MODULES_MAX {
                    known.clear();
                }
                known.insert(key, has);
                Some(has)
            }
            Err(error) => {
                log::warn!("kernel {}: looking for {module}: {error}", kernel.name);
                None
            }
        }
    }

    /// Imports a Debian kernel package.
    ///
    /// # Errors
    /// When it is refused or cannot be stored; the hub is then unchanged.
    pub fn import_kernel(&self, name: &KernelName, package: &Path) -> Result<Kernel, ApiError> {
        let package = File::open(package).map_err(|error| site(&error))?;
        import_package(&self.shelf, name.clone(), package, &self.options()?)
            .map_err(|error| kernel_error(&error))
    }

    /// Gives a name to layers that are artifacts already.
    ///
    /// # Errors
    /// When a layer is missing, or the hub cannot be written.
    pub fn put_image(&self, image: &Image) -> Result<(), ApiError> {
        self.shelf.put_image(image).map_err(|error| site(&error))
    }

    /// Imports a node image from a tar archive.
    ///
    /// # Errors
    /// When it is refused or cannot be stored; the hub is then unchanged.
    pub fn import_image(&self, name: &ImageName, archive: &Path) -> Result<Image, ApiError> {
        let archive = File::open(archive).map_err(|error| site(&error))?;
        import_tar(&self.shelf, name.clone(), archive, &ImageOptions::default()).map_err(|error| {
            let kind = match error {
                ImageError::Tar(_) | ImageError::NoInit { .. } => ErrorKind::User,
                ImageError::Squashfs(_) | ImageError::Hub { .. } | _ => ErrorKind::Site,
            };
            ApiError::new(kind, crate::chain(&error))
        })
    }

    /// Removes a kernel; whether its name is in use was asked before.
    ///
    /// # Errors
    /// When there is none of that name, or it cannot be removed.
    pub fn remove_kernel(&self, name: &KernelName, store: &Store) -> Result<(), ApiError> {
        let _kept = self.keep();
        let pinned = store.pinned().map_err(|error| site(&error))?;
        let removed = self.shelf.remove_kernel(name, &pinned).map_err(|error| site(&error))?;
        let none = || ApiError::new(ErrorKind::User, format!("there is no imported kernel {name}"));
        removed.map(drop).ok_or_else(none)
    }

    /// Removes an image; whether its name is in use was asked before.
    ///
    /// # Errors
    /// When there is none of that name, or it cannot be removed.
    pub fn remove_image(&self, name: &ImageName, store: &Store) -> Result<(), ApiError> {
        let _kept = self.keep();
        let pinned = store.pinned().map_err(|error| site(&error))?;
        let removed = self.shelf.remove_image(name, &pinned).map_err(|error| site(&error))?;
        let none = || ApiError::new(ErrorKind::User, format!("there is no image {name}"));
        removed.map(drop).ok_or_else(none)
    }

    fn options(&self) -> Result<ImportOptions, ApiError> {
        let certificate_pem =
            std::fs::read_to_string(&self.certificate).map_err(|error| site(&error))?;
        Ok(ImportOptions {
            agent: self.initrd.agent.clone(),
            certificate_pem,
            initrd_modules: self.initrd.modules.clone(),
            left_out: self.initrd.left_out.clone(),
        })
    }
}

/// The tables of a module tree that name every module: one path a line.
fn module_files(tree: &Path, release: &str) -> anyhow::Result<String> {
    let directory = format!("usr/lib/modules/{release}");
    let tables = ["modules.dep", "modules.builtin"].map(|table| format!("{directory}/{table}"));
    let mut running = squashfs::contents(tree, tables.iter().map(OsStr::new))?;
    let mut text = String::new();
    if let Some(output) = running.output() {
        output.take(MODULE_TABLES_BYTES_MAX).read_to_string(&mut text)?;
    }
    running.finish()?;
    Ok(text)
}

fn site(error: &(dyn std::error::Error + 'static)) -> ApiError {
    ApiError::new(ErrorKind::Site, crate::chain(error))
}

/// What is wrong with the package is the caller's; what is wrong here is the site's.
fn kernel_error(error: &KernelError) -> ApiError {
    let kind = match error {
        KernelError::Package(_)
        | KernelError::NotBzImage
        | KernelError::ReleaseMismatch { .. }
        | KernelError::ForeignModules { .. } => ErrorKind::User,
        KernelError::Tree { .. }
        | KernelError::Agent(_)
        | KernelError::Vmlinuz { .. }
        | KernelError::Hub { .. }
        | _ => ErrorKind::Site,
    };
    ApiError::new(kind, crate::chain(error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog;
    use crate::examples::CONFIG;
    use crate::pin::Pin;
    use crate::token;

    /// An archive with nothing but an init of that text.
    fn archive(directory: &Path, text: &str) -> PathBuf {
        let path = directory.join("image.tar");
        let mut builder = tar::Builder::new(File::create(&path).unwrap());
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len().try_into().unwrap());
        header.set_mode(0o755);
        builder.append_data(&mut header, "sbin/init", text.as_bytes()).unwrap();
        builder.finish().unwrap();
        path
    }

    #[test]
    fn what_a_live_deployment_has_pinned_outlives_its_name() {
        let directory = tempfile::tempdir().unwrap();
        let text = CONFIG.replace("STATE", &directory.path().to_string_lossy());
        let hub = Hub::open(&toml::from_str(&text).unwrap(), Path::new("/none")).unwrap();
        let store = Store::in_memory().unwrap();
        let name: ImageName = "i".parse().unwrap();
        hub.import_image(&name, &archive(directory.path(), "old")).unwrap();
        let old = catalog::image(&hub, &name).unwrap();
        let pin = Pin { root: old.layers.clone(), ..Pin::of_nothing() };
        let (node, kernel) = ("n1".parse().unwrap(), "k".parse().unwrap());
        let new = token::new_deployment(node, kernel, name.clone(), pin.clone());
        let id = store.add_jobless(&new, 1).unwrap();

        hub.import_image(&name, &archive(directory.path(), "new")).unwrap();
        hub.sweep(&store).unwrap();
        assert_ne!(catalog::image(&hub, &name).unwrap().layers, old.layers);
        assert_eq!(store.pin(id).unwrap(), pin);
        assert!(hub.path(&old.layers[0].sha256).exists(), "a node may still fetch it");

        let released = crate::deployment::State::Released;
        store.change(id, Some(released), None, &[], 2).unwrap();
        hub.sweep(&store).unwrap();
        assert!(!hub.path(&old.layers[0].sha256).exists());
        hub.remove_image(&name, &store).unwrap();
    }
}
