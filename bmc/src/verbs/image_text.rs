//! What `bmc image` prints.

use crate::table::{Table, bytes, fields, printable, words};
use protocol::api::{ApplicationImageView, Collected, ImageKind, ImageView};
use protocol::boot::{ArtifactRef, Mount};
use protocol::names::Digest;

/// Both lists.
pub(super) fn list(catalog: &[ImageView], prepared: &[ApplicationImageView]) -> String {
    if catalog.is_empty() && prepared.is_empty() {
        return "no image is here yet: see `bmc image build --help` and `bmc image pull --help`\n"
            .to_owned();
    }
    let mut texts = Vec::new();
    if !catalog.is_empty() {
        let mut table = Table::new(["NAME", "KIND", ">SIZE", ">JOBS", "REFERENCE"]);
        for view in catalog {
            let jobs = view.used_by.len().to_string();
            let reference = view.reference.as_deref().map_or_else(|| "-".into(), shortened);
            let name = view.name.as_str();
            table.row([name, kind(view.kind), &bytes(view.bytes), &jobs, &reference]);
        }
        texts.push(table.text());
    }
    if !prepared.is_empty() {
        let mut table = Table::new(["PREPARED", "DIGEST", ">SIZE", ">LAYERS", ">JOBS"]);
        for view in prepared {
            let (layers, jobs) = (view.layers.len().to_string(), view.used_by.len().to_string());
            let reference = unpinned(&view.reference);
            table.row([&reference, &short(&view.digest), &bytes(view.bytes), &layers, &jobs]);
        }
        texts.push(table.text());
    }
    texts.join("\n")
}

fn kind(kind: ImageKind) -> &'static str {
    match kind {
        ImageKind::Node => "node",
        ImageKind::Application => "application",
    }
}

/// As many digits as people compare.
fn short(digest: &Digest) -> String {
    digest.to_string().chars().take(12).collect()
}

fn unpinned(reference: &str) -> String {
    printable(reference.split("@sha256:").next().unwrap_or(reference))
}

fn shortened(reference: &str) -> String {
    match reference.split_once("@sha256:") {
        Some((named, digest)) => {
            let digest: String = digest.chars().take(12).collect();
            printable(&format!("{named}@{digest}"))
        }
        None => printable(reference),
    }
}

/// A name of the catalog.
pub(super) fn named(view: &ImageView) -> String {
    let mount = |mount: &Mount| {
        format!("{} on {} type {} {}", mount.source, mount.target, mount.fstype, mount.options)
    };
    let mounts: Vec<String> = view.mounts.iter().map(mount).collect();
    let text = |value: &Option<String>| value.as_deref().map_or_else(String::new, printable);
    let head = fields(&[
        ("name", view.name.to_string()),
        ("kind", kind(view.kind).to_owned()),
        ("reference", text(&view.reference)),
        ("architecture", text(&view.architecture)),
        ("size", bytes(view.bytes)),
        ("init", view.init.join(" ")),
        ("mounts", mounts.join(", ")),
        ("used by", words(&view.used_by, " ")),
    ]);
    let mut table = Table::new(["LAYER", ">SIZE"]);
    for ArtifactRef { sha256, bytes: size } in &view.layers {
        table.row([sha256.to_string(), bytes(*size)]);
    }
    format!("{head}\n{}", table.text())
}

/// A prepared image.
pub(super) fn prepared(view: &ApplicationImageView) -> String {
    let directory = view.config.working_directory.as_deref().map_or_else(String::new, printable);
    let head = fields(&[
        ("reference", printable(&view.reference)),
        ("digest", format!("sha256:{}", view.digest)),
        ("architecture", view.architecture.as_deref().map_or_else(String::new, printable)),
        ("size", bytes(view.bytes)),
        ("entry point", printable(&view.config.entrypoint.join(" "))),
        ("directory", directory),
        ("names", words(&view.names, " ")),
        ("used by", words(&view.used_by, " ")),
    ]);
    let mut table = Table::new(["LAYER", ">SIZE", ">UNPACKED", ">ENTRIES"]);
    for layer in &view.layers {
        table.row([
            layer.diff_id.to_string(),
            bytes(layer.squashfs.bytes),
            bytes(layer.unpacked_bytes),
            layer.entries.to_string(),
        ]);
    }
    format!("{head}\n{}", table.text())
}

/// What is gone, or would go.
pub(super) fn collected(gone: &Collected, dry_run: bool) -> String {
    let mut text = String::new();
    for image in &gone.images {
        text += &format!("{} {}\n", short(&image.digest), unpinned(&image.reference));
    }
    let count = match gone.images.len() {
        1 => "1 image".to_owned(),
        count => format!("{count} images"),
    };
    let what = if dry_run { "would be removed" } else { "removed" };
    text + &format!("{count} {what}, {} of disk\n", bytes(gone.bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::api::{CollectedImage, LayerView};
    use protocol::application::ImageConfig;
    use protocol::names::JobId;

    fn digest() -> Digest {
        "0123456789abcdef".repeat(4).parse().unwrap()
    }

    fn squashfs() -> ArtifactRef {
        ArtifactRef { sha256: digest(), bytes: 150 << 20 }
    }

    fn debian12() -> ImageView {
        ImageView {
            name: "debian12".parse().unwrap(),
            kind: ImageKind::Node,
            reference: None,
            architecture: None,
            layers: vec![squashfs()],
            bytes: 150 << 20,
            init: vec!["/usr/lib/bare-metal-container/init".into()],
            mounts: vec![],
            used_by: vec![JobId(42)],
        }
    }

    fn tools() -> ApplicationImageView {
        let layer = LayerView {
            diff_id: digest(),
            squashfs: squashfs(),
            entries: 7,
            unpacked_bytes: 400 << 20,
        };
        ApplicationImageView {
            digest: digest(),
            reference: format!("docker://r.io/tools:2@sha256:{}", digest()),
            architecture: Some("amd64".into()),
            layers: vec![layer],
            bytes: 150 << 20,
            config: ImageConfig { entrypoint: vec!["/run.sh".into()], ..ImageConfig::default() },
            prepared_unix_ns: 1,
            used_unix_ns: 2,
            names: vec![],
            used_by: vec![],
        }
    }

    #[test]
    fn a_list_has_names_and_what_is_prepared() {
        let expected = "\
NAME      KIND       SIZE  JOBS  REFERENCE
debian12  node  150.0 MiB     1  -

PREPARED               DIGEST             SIZE  LAYERS  JOBS
docker://r.io/tools:2  0123456789ab  150.0 MiB       1     0
";
        assert_eq!(list(&[debian12()], &[tools()]), expected);
        assert!(list(&[], &[]).contains("bmc image build"));
    }

    #[test]
    fn one_shows_everything() {
        let hex = digest().to_string();
        let node = named(&debian12());
        for line in ["kind          node", "init          /usr/lib", "used by       42", &hex] {
            assert!(node.contains(line), "{line}: {node}");
        }
        let application = prepared(&tools());
        for line in [
            "reference     docker://r.io/tools:2@sha256:0123",
            "entry point   /run.sh",
            "architecture  amd64",
            "names         -",
            &format!("{hex}  150.0 MiB  400.0 MiB        7"),
        ] {
            assert!(application.contains(line), "{line}: {application}");
        }
    }

    #[test]
    fn what_went_is_counted() {
        let image = CollectedImage { digest: digest(), reference: tools().reference };
        let gone = Collected { images: vec![image], bytes: 5 << 20 };
        let expected =
            "0123456789ab docker://r.io/tools:2\n1 image would be removed, 5.0 MiB of disk\n";
        assert_eq!(collected(&gone, true), expected);
        let none = Collected { images: vec![], bytes: 0 };
        assert!(collected(&none, false).starts_with("0 images removed"));
    }
}
