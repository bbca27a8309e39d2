//! Application images: what a job's options mean for it, who may use which, and how one is prepared.

pub mod choice;
pub mod fitness;
pub mod keeping;
pub mod naming;
pub mod policy;
pub mod preparation;
pub mod request;
mod service;
pub mod settings;
pub mod uploads;

pub use preparation::Board;
pub use request::{Prepared, Request};
pub use service::start;

use protocol::image_reference::ImageReference;
use protocol::names::Digest;

/// What makes two requests the same preparation: what the image is kept by, or the text of what is not
/// pinned yet.
#[must_use]
pub fn key(image: &ImageReference) -> String {
    images::prepared::key(image).map_or_else(|| image.to_string(), |digest| digest.to_string())
}

/// What the store knows a pinned reference's admissions by: whoever has sent a file's bytes may have
/// every image in it.
#[must_use]
pub fn admission(image: &ImageReference) -> Option<Digest> {
    let digest = image.digest()?;
    Some(match image {
        ImageReference::File(_) => images::prepared::file_key(digest, None),
        ImageReference::Docker(_) => *digest,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_content_is_one_preparation_and_another_tag_is_another() {
        let digest = "ab".repeat(32);
        let key = |text: &str| key(&format!("{text}@sha256:{digest}").parse().unwrap());
        assert_eq!(key("docker://r.io/x:1"), key("docker://mirror.io/y"));
        assert_eq!(key("sif:/home/a/x.sif"), key("sif:/scratch/x.sif"));
        assert_ne!(key("oci-archive:/x:1"), key("oci-archive:/x:2"));
        assert_ne!(key("sif:/x.sif"), key("docker://r.io/x"), "a manifest's bytes are no image");
        let admission =
            |text: &str| admission(&format!("{text}@sha256:{digest}").parse().unwrap()).unwrap();
        assert_eq!(admission("oci-archive:/x:1"), admission("oci-archive:/y:2"));
        assert_ne!(admission("sif:/x.sif"), admission("docker://r.io/x"));
    }
}
