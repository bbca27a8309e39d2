//! `bmc image`: the site's node images.

use super::image_build;
use crate::cli::ImageVerb;
use crate::output;
use crate::server::Server;
use crate::table::{Table, bytes, fields, words};
use anyhow::Context;
use artifacts::node_image::pack;
use protocol::api::ImageView;
use protocol::boot::Mount;
use protocol::names::ImageName;
use std::path::Path;
use tempfile::NamedTempFile;

/// Does what was asked and returns what to print.
pub(crate) fn run<S: Server>(
    verb: ImageVerb,
    connect: impl FnOnce() -> anyhow::Result<S>,
) -> anyhow::Result<String> {
    match verb {
        // It needs no server where the image is only kept as a file.
        ImageVerb::Build(args) => image_build::run(&args, connect),
        ImageVerb::List(args) => output::show(args.json, &connect()?.images()?, |all| list(all)),
        ImageVerb::Show { name, json } => output::show(json.json, &connect()?.image(&name)?, show),
        ImageVerb::Import { name, root, json } => {
            output::show(json.json, &import(&name, &root, &connect()?)?, show)
        }
        ImageVerb::Rm { name } => {
            connect()?.remove_image(&name)?;
            Ok(format!("image {name} is removed\n"))
        }
    }
}

/// Sends an archive, or a directory packed into one.
fn import(name: &ImageName, root: &Path, server: &impl Server) -> anyhow::Result<ImageView> {
    if !root.is_dir() {
        return server.import_image(name, root);
    }
    let packed = NamedTempFile::with_suffix(".tar").context("cannot make a temporary file")?;
    let absolute = std::path::absolute(root)?;
    pack(&absolute, packed.path()).with_context(|| format!("cannot pack {}", root.display()))?;
    server.import_image(name, packed.path())
}

fn list(images: &[ImageView]) -> String {
    if images.is_empty() {
        return "no image is imported yet: see `bmc image build --help`\n".to_owned();
    }
    let mut table = Table::new(["NAME", ">SIZE", ">JOBS", "SHA256"]);
    for view in images {
        let digest: String = view.sha256.to_string().chars().take(12).collect();
        let jobs = view.used_by.len().to_string();
        table.row([view.name.as_str(), &bytes(view.bytes), &jobs, &digest]);
    }
    table.text()
}

pub(super) fn show(view: &ImageView) -> String {
    let mount = |mount: &Mount| {
        format!("{} on {} type {} {}", mount.source, mount.target, mount.fstype, mount.options)
    };
    let mounts: Vec<String> = view.mounts.iter().map(mount).collect();
    fields(&[
        ("name", view.name.to_string()),
        ("size", bytes(view.bytes)),
        ("sha256", view.sha256.to_string()),
        ("init", view.init.join(" ")),
        ("mounts", mounts.join(", ")),
        ("used by", words(&view.used_by, " ")),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::names::JobId;

    fn debian12() -> ImageView {
        ImageView {
            name: "debian12".parse().unwrap(),
            sha256: "0123456789abcdef".repeat(4).parse().unwrap(),
            bytes: 150 << 20,
            init: vec!["/usr/lib/bare-metal-container/init".into()],
            mounts: vec![],
            used_by: vec![JobId(42)],
        }
    }

    #[test]
    fn a_list_shortens_the_digest() {
        let expected = "\
NAME           SIZE  JOBS  SHA256
debian12  150.0 MiB     1  0123456789ab
";
        assert_eq!(list(&[debian12()]), expected);
        assert!(list(&[]).contains("bmc image build"));
    }

    #[test]
    fn one_shows_everything() {
        let expected = "\
name     debian12
size     150.0 MiB
sha256   0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
init     /usr/lib/bare-metal-container/init
mounts   -
used by  42
";
        assert_eq!(show(&debian12()), expected);
    }
}
