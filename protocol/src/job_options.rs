//! What the user asked for: parsed at submit time, and parsed again wherever it arrives, because
//! everything between comes through the user's environment.

use crate::names::{ImageName, InvalidName, KernelName};
use serde::{Deserialize, Serialize};

/// The user's choice. Both empty: the job does not use this system beyond the partition's default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobOptions {
    /// `--bmc-kernel`.
    pub kernel: Option<KernelName>,
    /// `--bmc-image`.
    pub image: Option<ImageName>,
}

/// Why an option's value was refused; the text is shown to the user after the option's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidOption {
    /// Not a catalog name.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// An application image reference, which is not supported yet.
    #[error(
        "{0:?} is a reference to an application image: this version boots node images of the \
         site's catalog only (list them with --bmc-image=help)"
    )]
    ApplicationImage(String),
}

/// Parses the value of `--bmc-kernel`.
///
/// # Errors
/// When it is not a kernel name.
pub fn parse_kernel(text: &str) -> Result<KernelName, InvalidOption> {
    Ok(text.parse()?)
}

/// Parses the value of `--bmc-image`.
///
/// # Errors
/// When it is not a name of the catalog, with a sentence of its own for image references.
pub fn parse_image(text: &str) -> Result<ImageName, InvalidOption> {
    if text.contains([':', '/', '@']) {
        return Err(InvalidOption::ApplicationImage(text.chars().take(64).collect()));
    }
    Ok(text.parse()?)
}

/// Whether the value asks for the list of choices instead of naming one.
#[must_use]
pub fn asks_for_list(text: &str) -> bool {
    matches!(text, "help" | "list")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn image_references_get_a_sentence() {
        for reference in ["docker://ubuntu:24.04", "sif:/x.sif", "ubuntu@sha256:00"] {
            assert!(matches!(parse_image(reference), Err(InvalidOption::ApplicationImage(_))));
        }
        assert!(matches!(parse_image("a b"), Err(InvalidOption::Name(_))));
        assert_eq!(parse_image("debian12").unwrap().as_str(), "debian12");
    }
}
