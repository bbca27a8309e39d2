//! A name of the catalog for a prepared image: what an image must have for what it is to be.

use crate::hub::Hub;
use artifacts::Image;
use artifacts::image::{DEFAULT_INITS, Entries, Node, is_program};
use images::PreparedImage;
use images::layer::index::{Entry, Kind, LayerIndex};
use protocol::api::{ImageImport, ImageKind};
use protocol::error::{ApiError, ErrorKind};
use protocol::names::ImageName;

/// Where slurmd is in Debian's and the Red Hat family's packages, and where sites put their own.
const SLURMDS: [&str; 4] =
    ["/usr/sbin/slurmd", "/sbin/slurmd", "/usr/local/sbin/slurmd", "/opt/slurm/sbin/slurmd"];

/// The catalog's entry for a prepared image.
///
/// # Errors
/// When it lacks what its kind needs, or its layers cannot be looked into.
pub fn image(
    hub: &Hub,
    name: ImageName,
    import: &ImageImport,
    prepared: PreparedImage,
) -> Result<Image, ApiError> {
    let init = match import.kind {
        ImageKind::Application => Vec::new(),
        ImageKind::Node => {
            let layers = prepared.layers.iter().map(|layer| {
                hub.application()
                    .shelf()
                    .index(&layer.diff_id)
                    .map_err(|error| ApiError::new(ErrorKind::Site, error.to_string()))
            });
            node_init(&tree(&layers.collect::<Result<Vec<_>, _>>()?), &import.reference)?
        }
    };
    Ok(Image {
        name,
        kind: import.kind,
        layers: prepared.layers.into_iter().map(|layer| layer.squashfs).collect(),
        reference: Some(import.reference.clone()),
        architecture: prepared.architecture,
        config: prepared.config,
        init,
        mounts: Vec::new(),
    })
}

/// The first process of a node image.
fn node_init(
    tree: &Entries,
    image: &protocol::image_reference::ImageReference,
) -> Result<Vec<String>, ApiError> {
    let lacks = |what: &str, places: &[&str]| {
        let text = format!("image {image} has no {what} ({})", places.join(", "));
        ApiError::new(ErrorKind::User, text).hint(
            "Nodes boot only images with an init and slurmd; without them it can be an application \
             image (--kind application).",
        )
    };
    if !SLURMDS.iter().any(|path| is_program(tree, path)) {
        return Err(lacks("slurmd", &SLURMDS));
    }
    let init = DEFAULT_INITS.iter().find(|path| is_program(tree, path));
    init.map(|path| vec![(*path).to_owned()]).ok_or_else(|| lacks("init", &DEFAULT_INITS))
}

/// Links and programs of layers that are laid over each other, the lowest first.
fn tree(layers: &[LayerIndex]) -> Entries {
    let mut tree = Entries::new();
    for layer in layers {
        // What a layer hides is in the layers below it, wherever the entry stands.
        for entry in &layer.entries {
            let path = text(entry);
            if entry.kind == Kind::Whiteout {
                hide(&mut tree, &path, true);
            } else if entry.kind == Kind::Opaque {
                hide(&mut tree, &path, false);
            }
        }
        for entry in &layer.entries {
            let path = text(entry);
            let node = match &entry.kind {
                Kind::File(_) => (entry.metadata.mode & 0o111 != 0).then_some(Node::Program),
                Kind::Symlink(target) => {
                    Some(Node::Link(String::from_utf8_lossy(target).into_owned()))
                }
                Kind::HardLink(target) => {
                    Some(Node::Link(format!("/{}", String::from_utf8_lossy(target))))
                }
                Kind::Directory | Kind::Fifo | Kind::Device => None,
                Kind::Whiteout | Kind::Opaque => continue,
            };
            match node {
                Some(node) => drop(tree.insert(path, node)),
                None => drop(tree.remove(&path)),
            }
        }
    }
    tree
}

fn text(entry: &Entry) -> String {
    String::from_utf8_lossy(&entry.path).into_owned()
}

/// Takes away what is below a path, and what is at it.
fn hide(tree: &mut Entries, path: &str, itself: bool) {
    let below = if path.is_empty() { String::new() } else { format!("{path}/") };
    tree.retain(|known, _| !(known.starts_with(&below) || itself && known == path));
}

#[cfg(test)]
mod tests {
    use super::*;
    use images::layer::index::Metadata;

    fn layer(entries: &[(&str, Kind)]) -> LayerIndex {
        let entry = |(path, kind): &(&str, Kind)| Entry {
            path: path.as_bytes().into(),
            kind: kind.clone(),
            metadata: Metadata { mode: 0o755, ..Metadata::IMPLIED },
            attributes: vec![],
        };
        LayerIndex { entries: entries.iter().map(entry).collect() }
    }

    fn init(layers: &[LayerIndex]) -> Result<String, String> {
        let image = "docker://r.io/x".parse().unwrap();
        let init = node_init(&tree(layers), &image);
        init.map(|init| init.join(" ")).map_err(|error| error.to_string())
    }

    #[test]
    fn a_node_image_has_an_init_and_slurmd_in_whatever_layer() {
        let base = layer(&[
            ("sbin", Kind::Symlink(b"usr/sbin"[..].into())),
            ("usr/sbin/init", Kind::Symlink(b"/lib/systemd"[..].into())),
            ("lib/systemd", Kind::File(1)),
        ]);
        let refused = init(std::slice::from_ref(&base)).unwrap_err();
        assert!(refused.contains("has no slurmd (/usr/sbin/slurmd, "), "{refused}");
        let slurm = layer(&[("usr/sbin/slurmd", Kind::File(1))]);
        assert_eq!(init(&[base.clone(), slurm.clone()]).unwrap(), "/sbin/init");
        for gone in [
            layer(&[("lib/systemd", Kind::Whiteout)]),
            layer(&[("lib", Kind::Opaque)]),
            layer(&[("usr", Kind::Whiteout), ("usr/sbin/slurmd", Kind::File(1))]),
        ] {
            let refused = init(&[base.clone(), slurm.clone(), gone]).unwrap_err();
            assert!(refused.contains("has no init"), "{refused}");
        }
    }
}
