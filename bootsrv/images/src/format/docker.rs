//! What `docker save` writes. Only `manifest.json` says what belongs together: the other names in the
//! archive are of older versions of Docker, some of them links.

use super::archive::Archive;
use super::oci::{shown, user};
use super::section::Section;
use super::{FileImage, FileLayer, Source};
use crate::error::PrepareError;
use crate::registry::manifest::{CONFIG_BYTES_MAX, MANIFEST_BYTES_MAX, parse_configuration};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Image {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

pub(super) fn open(
    section: &Section,
    tag: Option<&str>,
    architecture: &str,
) -> Result<FileImage, PrepareError> {
    let archive = Archive::open(section)?;
    let manifest = archive
        .file("manifest.json")
        .map_err(|_| PrepareError::user("the file is no Docker archive (it has no manifest.json)"))?
        .read(MANIFEST_BYTES_MAX, "manifest.json")?;
    let images: Vec<Image> = serde_json::from_slice(&manifest)
        .map_err(|error| PrepareError::user(format!("its manifest.json is not valid: {error}")))?;
    let image = choose(images, tag)?;
    let config = archive.file(&image.config)?.read(CONFIG_BYTES_MAX, "configuration")?;
    let config = parse_configuration(&config, image.layers.len(), architecture).map_err(user)?;
    let layers = image.layers.iter().zip(&config.diff_ids).map(|(name, diff_id)| {
        let section = archive.file(name)?.clone();
        let bytes = section.bytes;
        Ok(FileLayer { diff_id: Some(*diff_id), bytes, source: Source::Archive(section) })
    });
    let layers = layers.collect::<Result<_, PrepareError>>()?;
    Ok(FileImage { architecture: config.architecture, config: config.run, layers })
}

/// The image of that name, or the only one.
fn choose(mut images: Vec<Image>, tag: Option<&str>) -> Result<Image, PrepareError> {
    let names: Vec<String> =
        images.iter().flat_map(|image| image.repo_tags.clone().unwrap_or_default()).collect();
    match (tag, images.len()) {
        (_, 0) => Err(PrepareError::user("the Docker archive is empty")),
        (None, 1) => images.pop().ok_or_else(|| PrepareError::user("the Docker archive is empty")),
        (None, _) => Err(PrepareError::user(format!(
            "it has several images, name one: FILE:NAME:TAG with one of {}",
            shown(&names)
        ))),
        (Some(tag), _) => {
            let is_it = |name: &String| {
                name == tag
                    || *name == format!("{tag}:latest")
                    || name.ends_with(&format!("/{tag}"))
            };
            let wanted = |image: &Image| image.repo_tags.iter().flatten().any(is_it);
            let found = images.into_iter().find(wanted);
            found.ok_or_else(|| {
                PrepareError::user(format!("it has no image '{tag}', only {}", shown(&names)))
            })
        }
    }
}
