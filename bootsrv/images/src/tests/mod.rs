//! Pulling, against the real registry program and against one that misbehaves as told.

mod disk;
mod failures;
mod interrupted;
mod login;
mod pulls;
mod real;
mod sample;
pub(crate) mod scripted;
mod shared;
mod slow;

use crate::registry::{Pace, Patience};
use crate::settings::RegistrySettings;
use crate::{Images, PrepareError, PreparedImage, Request, Settings};
use artifacts::store::Store;
use protocol::image_reference::ImageReference;
use sample::{Sample, digest};
use scripted::Scripted;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Everything fast, so that tests do not wait.
fn pace() -> Pace {
    Pace {
        connect: Duration::from_millis(500),
        idle: Duration::from_millis(300),
        rate_window: Duration::from_millis(500),
        patience: Patience {
            first: Duration::from_millis(5),
            tries: 3,
            total: Duration::from_secs(5),
        },
    }
}

fn open_with(directory: &Path, settings: Settings) -> Images {
    let store = Store::open(directory.join("artifacts")).unwrap();
    Images::open_with(directory, store, settings, pace()).unwrap()
}

/// Images that reach one registry by plain HTTP.
fn open(directory: &Path, registry: &str) -> Images {
    let insecure = RegistrySettings { insecure: true, ..RegistrySettings::default() };
    let settings =
        Settings { registry: [(registry.to_owned(), insecure)].into(), ..Settings::default() };
    open_with(directory, settings)
}

fn reference(text: &str) -> ImageReference {
    text.parse().unwrap()
}

/// Pins and prepares, as a job does.
async fn pull(images: &Images, text: &str) -> Result<PreparedImage, PrepareError> {
    let ImageReference::Docker(image) = reference(text) else { panic!("{text}") };
    let digest = images.resolve(&image, None).await?;
    images.start(request(text, digest)).finished().await
}

fn request(text: &str, digest: protocol::names::Digest) -> Request {
    Request {
        reference: reference(text).pinned(digest),
        uploaded: None,
        credential: None,
        uid: None,
    }
}

/// Where the lowest layer of a server's image is while it is fetched.
fn blob_file(directory: &Path, server: &Scripted, sample: &Sample) -> PathBuf {
    let (digest, size) = (digest(&sample.layers[0]), sample.layers[0].len() as u64);
    directory.join("blobs").join(crate::blob::file_name(&server.name(), &digest, size))
}

/// Unfinished blobs.
fn blobs(directory: &Path) -> usize {
    std::fs::read_dir(directory.join("blobs")).unwrap().count()
}
