//! Limits of what preparations take from the disk: of one image, and of all together.

use crate::error::PrepareError;
use crate::layer::{LayerError, LayerLimits};
use crate::places::Kind;
use crate::prepared::PreparedLayer;
use crate::settings::Settings;
use crate::unfinished::{AGE_MAX_FULL, Unfinished};
use std::fmt;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::SystemTime;

/// Bytes of a layer between two looks at the disk. A packed byte gives at most a hundred
/// (`limits.ratio_max`).
const LOOK_BYTES: u64 = 1 << 20;

type MakeRoom = Box<dyn Fn(u64) + Send + Sync>;

/// The file system of the state directory; clones share it.
#[derive(Clone)]
pub struct Disk {
    directory: PathBuf,
    /// Bytes that stay free.
    reserve: u64,
    unfinished: Unfinished,
    make_room: Arc<OnceLock<MakeRoom>>,
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Disk").field("directory", &self.directory).finish_non_exhaustive()
    }
}

impl Disk {
    pub(crate) fn new(directory: PathBuf, reserve: u64, unfinished: Unfinished) -> Self {
        Self { directory, reserve, unfinished, make_room: Arc::default() }
    }

    /// What is called with the bytes that are missing before anything is refused; the first counts.
    pub(crate) fn on_full(&self, make_room: MakeRoom) {
        drop(self.make_room.set(make_room));
    }

    /// Checks that the reserve is left when so many bytes more are written. Waits for the disk: not for
    /// a thread that others need.
    ///
    /// # Errors
    /// When it is not, and no room can be made.
    pub fn require(&self, bytes: u64) -> Result<(), PrepareError> {
        let wanted = bytes.saturating_add(self.reserve);
        if self.free()? >= wanted {
            return Ok(());
        }
        if let Err(error) = self.unfinished.clean(AGE_MAX_FULL, SystemTime::now()) {
            log::warn!("removing unfinished blobs: {error}");
        }
        let free = self.free()?;
        if free >= wanted {
            return Ok(());
        }
        if let Some(make_room) = self.make_room.get() {
            make_room(wanted - free);
        }
        let free = self.free()?;
        if free >= wanted {
            return Ok(());
        }
        let mib = |bytes: u64| bytes >> 20;
        Err(PrepareError::site(format!(
            "the boot server's disk is full: {} has {} MiB free, {} MiB are needed and {} MiB stay \
             free (disk_reserve_bytes); an administrator can make room with bmc image gc",
            self.directory.display(),
            mib(free),
            mib(bytes),
            mib(self.reserve)
        )))
    }

    /// Watches that the reserve is left while something is written.
    pub(crate) fn floor(&self) -> Floor {
        Floor { disk: self.clone(), unseen: LOOK_BYTES }
    }

    fn free(&self) -> Result<u64, PrepareError> {
        let system = rustix::fs::statvfs(&self.directory).map_err(|error| {
            PrepareError::site(format!("cannot look at {}: {error}", self.directory.display()))
        })?;
        Ok(system.f_bavail.saturating_mul(system.f_frsize))
    }
}

/// Ends a work that would fill the disk: what it was going to write was not known, or others write, too.
#[derive(Debug)]
pub(crate) struct Floor {
    disk: Disk,
    /// Bytes since the last look.
    unseen: u64,
}

impl Floor {
    /// So many bytes more were written, or will be for so many bytes that were read.
    pub(crate) fn wrote(&mut self, bytes: usize) -> Result<(), PrepareError> {
        self.unseen = self.unseen.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
        if self.unseen < LOOK_BYTES {
            return Ok(());
        }
        self.unseen = 0;
        self.disk.require(0)
    }
}

/// What is read of a layer while its squashfs file is written.
pub(crate) struct AboveFloor<R> {
    pub(crate) archive: R,
    pub(crate) floor: Floor,
}

impl<R: Read> Read for AboveFloor<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.archive.read(buffer)?;
        let full = |error: PrepareError| {
            let error = io::Error::new(io::ErrorKind::StorageFull, error);
            io::Error::other(LayerError::Write(error))
        };
        self.floor.wrote(length).map_err(full)?;
        Ok(length)
    }
}

/// What one image may still take, and in whose name.
#[derive(Debug)]
pub(crate) struct Budget {
    /// Whose places it takes.
    pub(crate) owner: Kind,
    bytes_max: u64,
    used: Mutex<Used>,
}

/// Bytes of the layers that are ready.
#[derive(Debug, Default)]
struct Used {
    unpacked: u64,
    squashfs: u64,
}

impl Budget {
    pub(crate) fn new(settings: &Settings, owner: Option<u32>) -> Arc<Self> {
        let owner = Kind::Owner(owner);
        Arc::new(Self { owner, bytes_max: settings.image_bytes_max, used: Mutex::default() })
    }

    /// The limits of the next layer.
    pub(crate) fn limits(&self, layer: &LayerLimits) -> LayerLimits {
        let used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let left = self.bytes_max.saturating_sub(used.unpacked);
        LayerLimits { unpacked_bytes_max: layer.unpacked_bytes_max.min(left), ..*layer }
    }

    /// Says of a layer that was refused for what it holds that the others had their part.
    pub(crate) fn explain(&self, limits: &LayerLimits, error: PrepareError) -> PrepareError {
        if error.reason.contains(&format!("more than {} bytes", limits.unpacked_bytes_max)) {
            let max = self.bytes_max;
            let reason = format!("{} (all layers: {max}, image_bytes_max)", error.reason);
            return PrepareError { reason, ..error };
        }
        error
    }

    /// A layer is ready.
    pub(crate) fn take(&self, layer: &PreparedLayer) -> Result<(), PrepareError> {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.unpacked = used.unpacked.saturating_add(layer.unpacked_bytes);
        used.squashfs = used.squashfs.saturating_add(layer.squashfs.bytes);
        self.check(used.unpacked.max(used.squashfs))
    }

    /// Refuses an image of so many bytes, packed or not.
    pub(crate) fn check(&self, bytes: u64) -> Result<(), PrepareError> {
        if bytes <= self.bytes_max {
            return Ok(());
        }
        let max = self.bytes_max;
        Err(PrepareError::user(format!(
            "its layers have more than {max} bytes, the site's limit (image_bytes_max)"
        )))
    }
}
