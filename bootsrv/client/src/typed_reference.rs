//! References to files as people type them.

use protocol::image_reference::FileFormat;
use std::path::Path;

/// `sif:x.sif` is meant from where it is typed. The path of a reference is an existing one, so that
/// `..` and links are followed here, once, with the user's own rights.
///
/// # Errors
/// When there is nothing at the path: with the path.
pub fn absolute_reference(text: &str, directory: &Path) -> Result<String, String> {
    let Some((format, rest)) = text.split_once(':').and_then(|(prefix, rest)| {
        let format = FileFormat::ALL.into_iter().find(|format| format.prefix() == prefix)?;
        Some((format, rest))
    }) else {
        return Ok(text.to_owned());
    };
    let has_tag =
        matches!(format, FileFormat::Oci | FileFormat::OciArchive | FileFormat::DockerArchive);
    let (path, tag) = match rest.split_once(':') {
        // A digest's colon is no tag's.
        Some((path, tag)) if has_tag && !path.contains('@') => (path, Some(tag)),
        _ => (rest, None),
    };
    let plain = path.starts_with('/') && !path.split('/').any(|part| part == "..");
    if plain || path.is_empty() {
        return Ok(text.to_owned());
    }
    let found = std::fs::canonicalize(directory.join(path))
        .map_err(|error| format!("{}:{path} cannot be found: {error}", format.prefix()))?;
    let tag = tag.map(|tag| format!(":{tag}")).unwrap_or_default();
    Ok(format!("{}:{}{tag}", format.prefix(), found.display()))
}
