//! An entry's name as a path inside the image, and nowhere else.

use super::error::LayerError;
use super::limits::{LayerLimits, NAME_BYTES_MAX};

/// Marks what hides something of the layers below (OCI image specification, layer.md).
const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";

/// What an entry's name stands for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Named {
    /// A path; empty: the root.
    Path(Vec<u8>),
    /// A whiteout of this path.
    Whiteout(Vec<u8>),
    /// This directory is opaque.
    Opaque(Vec<u8>),
}

/// The path from the image's root: absolute names count from it, and `..` never leaves it.
pub(super) fn clean(name: &[u8], limits: &LayerLimits) -> Result<Vec<u8>, LayerError> {
    let refuse = |why: &str| Err(LayerError::entry(name, why));
    if name.contains(&0) {
        return refuse("has a NUL byte in its name");
    }
    if name.len() > limits.path_bytes_max {
        return refuse(&format!("has a path of more than {} bytes", limits.path_bytes_max));
    }
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in name.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => drop(parts.pop()),
            part if part.len() > NAME_BYTES_MAX => {
                return refuse(&format!("has a name of more than {NAME_BYTES_MAX} bytes"));
            }
            part => parts.push(part),
        }
    }
    if parts.len() > limits.depth_max + 1 {
        return refuse(&format!("is below more than {} directories", limits.depth_max));
    }
    Ok(parts.join(&b'/'))
}

/// Tells whiteouts from files.
pub(super) fn named(name: &[u8], limits: &LayerLimits) -> Result<Named, LayerError> {
    let path = clean(name, limits)?;
    let (parent, last) = split(&path);
    if parent.split(|byte| *byte == b'/').any(|part| part.starts_with(WHITEOUT)) {
        return Err(LayerError::entry(name, "is in a directory whose name begins with .wh."));
    }
    if last == OPAQUE {
        return Ok(Named::Opaque(parent.to_vec()));
    }
    match last.strip_prefix(WHITEOUT) {
        None => Ok(Named::Path(path)),
        Some(b"" | b"." | b"..") => {
            Err(LayerError::entry(name, "is a whiteout that names nothing"))
        }
        Some(hidden) => Ok(Named::Whiteout(join(parent, hidden))),
    }
}

/// Directory and name.
pub(super) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(at) => (path.get(..at).unwrap_or_default(), path.get(at + 1..).unwrap_or_default()),
        None => (b"", path),
    }
}

pub(super) fn join(directory: &[u8], name: &[u8]) -> Vec<u8> {
    match directory {
        b"" => name.to_vec(),
        _ => [directory, b"/", name].concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leaves_the_root() {
        let limits = LayerLimits::default();
        for (name, path) in [
            ("./a//b/", "a/b"),
            ("/etc/passwd", "etc/passwd"),
            ("../../x", "x"),
            ("a/../../b/./c", "b/c"),
            ("./", ""),
            ("..", ""),
        ] {
            assert_eq!(named(name.as_bytes(), &limits).unwrap(), Named::Path(path.into()));
        }
        let long = "x/".repeat(3000);
        let deep = "x/".repeat(200);
        let wide = "x".repeat(256);
        for bad in ["a\0b", "a/.wh.", ".wh..", "a/.wh...", ".wh.a/b", &long, &deep, &wide] {
            assert!(named(bad.as_bytes(), &limits).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn whiteouts_are_told_by_their_names() {
        let limits = LayerLimits::default();
        let named = |name: &str| named(name.as_bytes(), &limits).unwrap();
        assert_eq!(named("a/.wh.b"), Named::Whiteout(b"a/b".to_vec()));
        assert_eq!(named("a/.wh..wh..opq"), Named::Opaque(b"a".to_vec()));
        assert_eq!(named(".wh..wh..opq"), Named::Opaque(b"".to_vec()));
        assert_eq!(named("a/.whx"), Named::Path(b"a/.whx".to_vec()));
    }
}
