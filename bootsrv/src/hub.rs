//! The site's kernels and images: the `artifacts` crate with this site's agent and certificate, and
//! errors as the API says them.

use crate::config::{Config, Initrd};
use artifacts::image::{ImageError, ImageOptions, import_tar};
use artifacts::kernel::{ImportOptions, KernelError, import_package, rebuild_initrd};
use artifacts::{Hub as Shelf, Image, Kernel};
use protocol::error::{ApiError, ErrorKind};
use protocol::names::{Digest, ImageName, KernelName};
use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};

/// Kernels and images.
#[derive(Debug)]
pub struct Hub {
    shelf: Shelf,
    initrd: Initrd,
    certificate: PathBuf,
}

impl Hub {
    /// Opens the hub below the state directory.
    ///
    /// # Errors
    /// When a directory cannot be made.
    pub fn open(config: &Config, certificate: &Path) -> Result<Self, ApiError> {
        let shelf = Shelf::open(&config.state_dir).map_err(|error| site(&error))?;
        Ok(Self { shelf, initrd: config.initrd.clone(), certificate: certificate.into() })
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

    /// Deletes what imports have replaced. Only while no node boots: it may still need it.
    ///
    /// # Errors
    /// When the hub cannot be read or written.
    pub fn sweep(&self) -> Result<(), ApiError> {
        let (count, bytes) = self.shelf.sweep(&BTreeSet::new()).map_err(|error| site(&error))?;
        if count > 0 {
            log::info!("deleted {count} artifacts that nothing refers to, {bytes} bytes");
        }
        Ok(())
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

    /// Imports a Debian kernel package.
    ///
    /// # Errors
    /// When it is refused or cannot be stored; the hub is then unchanged.
    pub fn import_kernel(&self, name: &KernelName, package: &Path) -> Result<Kernel, ApiError> {
        let package = File::open(package).map_err(|error| site(&error))?;
        import_package(&self.shelf, name.clone(), package, &self.options()?)
            .map_err(|error| kernel_error(&error))
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
                ImageError::Directory { .. }
                | ImageError::Squashfs(_)
                | ImageError::Hub { .. }
                | _ => ErrorKind::Site,
            };
            ApiError::new(kind, crate::chain(&error))
        })
    }

    /// Removes a kernel; whether it is in use was asked before.
    ///
    /// # Errors
    /// When there is none of that name, or it cannot be removed.
    pub fn remove_kernel(&self, name: &KernelName) -> Result<(), ApiError> {
        let removed =
            self.shelf.remove_kernel(name, &BTreeSet::new()).map_err(|error| site(&error))?;
        let none = || ApiError::new(ErrorKind::User, format!("there is no imported kernel {name}"));
        removed.map(drop).ok_or_else(none)
    }

    /// Removes an image; whether it is in use was asked before.
    ///
    /// # Errors
    /// When there is none of that name, or it cannot be removed.
    pub fn remove_image(&self, name: &ImageName) -> Result<(), ApiError> {
        let removed =
            self.shelf.remove_image(name, &BTreeSet::new()).map_err(|error| site(&error))?;
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

fn site(error: &(dyn std::error::Error + 'static)) -> ApiError {
    ApiError::new(ErrorKind::Site, crate::chain(error))
}

/// What is wrong with the package is the caller's; what is wrong here is the site's.
fn kernel_error(error: &KernelError) -> ApiError {
    let kind = match error {
        KernelError::Package(_)
        | KernelError::NotBzImage
        | KernelError::ReleaseMismatch { .. }
        | KernelError::NotARelease { .. } => ErrorKind::User,
        KernelError::Tree { .. }
        | KernelError::Agent(_)
        | KernelError::Vmlinuz { .. }
        | KernelError::Hub { .. }
        | _ => ErrorKind::Site,
    };
    ApiError::new(kind, crate::chain(error))
}
