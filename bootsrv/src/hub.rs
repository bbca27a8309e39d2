//! The site's kernels and images: the `artifacts` crate behind the one certificate and the one
//! directory of this bootsrv, with errors as the API says them.

use crate::config::Config;
use artifacts::{Hub as Shelf, Image, Kernel};
use protocol::error::{ApiError, ErrorKind};
use protocol::names::{Digest, ImageName, KernelName};
use std::path::{Path, PathBuf};

/// Kernels and images.
#[derive(Debug)]
pub struct Hub {
    shelf: Shelf,
}
impl Hub {
    pub fn open(_c: &Config, _p: &Path) -> Result<Self, ApiError> { Err(ApiError::new(ErrorKind::Site, "")) }
    pub fn kernels(&self) -> Result<Vec<Kernel>, ApiError> { Ok(vec![]) }
    pub fn images(&self) -> Result<Vec<Image>, ApiError> { Ok(vec![]) }
    pub fn path(&self, _d: &Digest) -> PathBuf { PathBuf::new() }
    pub fn import_kernel(&self, _n: &KernelName, _f: &Path) -> Result<Kernel, ApiError> { Err(ApiError::new(ErrorKind::Site, "")) }
    pub fn import_image(&self, _n: &ImageName, _f: &Path) -> Result<Image, ApiError> { Err(ApiError::new(ErrorKind::Site, "")) }
    pub fn remove_kernel(&self, _n: &KernelName) -> Result<(), ApiError> { Ok(()) }
    pub fn remove_image(&self, _n: &ImageName) -> Result<(), ApiError> { Ok(()) }
}
