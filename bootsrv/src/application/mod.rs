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
mod waits;

pub use preparation::Board;
pub use request::{Prepared, Request};
pub use service::start;

use protocol::image_reference::{DockerReference, ImageReference};
use protocol::names::Digest;
use sha2::{Digest as _, Sha256};

/// What makes two requests of a user the same preparation: where the image comes from and its content,
/// or the text of what is not pinned yet.
#[must_use]
pub fn key(image: &ImageReference) -> String {
    let pinned = match image {
        ImageReference::Docker(docker) => source(docker),
        ImageReference::File(_) => images::prepared::key(image).map(|digest| digest.to_string()),
    };
    pinned.unwrap_or_else(|| image.to_string())
}

/// What the store knows a pinned reference's admissions by. One registry's word counts for its own
/// repository only; whoever has sent a file's bytes may have every image in it.
#[must_use]
pub fn admission(image: &ImageReference) -> Option<Digest> {
    match image {
        ImageReference::File(file) => file.digest.as_ref().map(uploads::admission),
        ImageReference::Docker(docker) => {
            source(docker).map(|source| Digest(Sha256::digest(source).into()))
        }
    }
}

/// A content at a place; the tag is of no importance.
fn source(docker: &DockerReference) -> Option<String> {
    docker.digest.as_ref()?;
    Some(format!("docker://{}", DockerReference { tag: None, ..docker.clone() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_content_of_one_place_is_one_preparation() {
        let digest = "ab".repeat(32);
        let key = |text: &str| key(&format!("{text}@sha256:{digest}").parse().unwrap());
        assert_eq!(key("docker://r.io/x:1"), key("docker://r.io/x:2"));
        assert_ne!(key("docker://r.io/x:1"), key("docker://evil.io/x:1"));
        assert_ne!(key("docker://r.io/x"), key("docker://r.io/y"));
        assert_eq!(key("sif:/home/a/x.sif"), key("sif:/scratch/x.sif"));
        assert_ne!(key("oci-archive:/x:1"), key("oci-archive:/x:2"));
        assert_ne!(key("oci-archive:/x"), key("dir:/x"), "the same bytes are two images");
        assert_ne!(key("sif:/x.sif"), key("docker://r.io/x"), "a manifest's bytes are no image");
    }

    #[test]
    fn who_may_have_bytes_may_have_what_is_in_them_and_no_more() {
        let digest = "ab".repeat(32);
        let admission =
            |text: &str| admission(&format!("{text}@sha256:{digest}").parse().unwrap()).unwrap();
        assert_eq!(admission("oci-archive:/x:1"), admission("sif:/y"));
        assert_ne!(admission("sif:/x.sif"), admission("docker://r.io/x"));
        assert_eq!(admission("docker://r.io/x:1"), admission("docker://r.io/x"));
        assert_ne!(admission("docker://r.io/x"), admission("docker://evil.io/x"));
        assert_ne!(admission("docker://r.io/x"), admission("docker://r.io/y"));
    }
}
