//! `bmc image`: the catalog's names, and the images that are prepared for jobs.

use super::{image_build, image_text, preparation};
use crate::cli::{ImageArg, ImageImportArgs, ImageVerb, KindWord};
use crate::failure::refused;
use crate::output;
use crate::server::Server;
use anyhow::Context;
use artifacts::node_image::pack;
use bootsrv_client::absolute_reference;
use protocol::api::{
    ApplicationImageView, CollectRequest, Collected, ImageImport, ImageKind, ImageView,
};
use protocol::application::{PreparationState, PreparationView};
use protocol::error::{ApiError, ErrorKind};
use protocol::image_reference::{FileFormat, ImageReference};
use protocol::names::{Digest, ImageName};
use serde::Serialize;
use std::path::Path;
use std::time::Duration;
use tempfile::NamedTempFile;

/// Time between two looks at a preparation.
const PULL_PERIOD: Duration = Duration::from_millis(500);

/// Both lists of `bmc image list --json`.
#[derive(Debug, Serialize)]
struct Lists {
    catalog: Vec<ImageView>,
    prepared: Vec<ApplicationImageView>,
}

/// Does what was asked and returns what to print.
pub(crate) fn run<S: Server>(
    verb: ImageVerb,
    connect: impl FnOnce() -> anyhow::Result<S>,
) -> anyhow::Result<String> {
    match verb {
        // It needs no server where the image is only kept as a file.
        ImageVerb::Build(args) => image_build::run(&args, connect),
        ImageVerb::List(args) => {
            let server = connect()?;
            let lists = Lists { catalog: server.images()?, prepared: server.prepared_images()? };
            output::show(args.json, &lists, |all| image_text::list(&all.catalog, &all.prepared))
        }
        ImageVerb::Show { image, json } => show(&image, json.json, &connect()?),
        ImageVerb::Pull { reference, cancel: true, .. } => {
            let reference = parse(&reference)?;
            connect()?.cancel_pull(&reference)?;
            Ok(format!("image {reference} is no longer pulled for you\n"))
        }
        ImageVerb::Pull { reference, json, .. } => {
            let server = connect()?;
            let (_, digest) = pull(&parse(&reference)?, &server)?;
            output::show(json.json, &server.prepared_image(&digest)?, image_text::prepared)
        }
        ImageVerb::Import(args) => {
            let view = import(&args, &connect()?)?;
            output::show(args.json.json, &view, image_text::named)
        }
        ImageVerb::Rm { image } => remove(&image, &connect()?),
        ImageVerb::Gc { dry_run, older_than, json } => {
            let request = CollectRequest { dry_run, older_than_days: older_than };
            let collected: Collected = connect()?.collect(&request)?;
            output::show(json.json, &collected, |gone| image_text::collected(gone, dry_run))
        }
    }
}

fn show(image: &ImageArg, as_json: bool, server: &impl Server) -> anyhow::Result<String> {
    match image {
        ImageArg::Name(name) => output::show(as_json, &server.image(name)?, image_text::named),
        ImageArg::Digest(_) | ImageArg::Reference(_) => {
            output::show(as_json, &find(image, server)?, image_text::prepared)
        }
    }
}

fn remove(image: &ImageArg, server: &impl Server) -> anyhow::Result<String> {
    if let ImageArg::Name(name) = image {
        server.remove_image(name)?;
        return Ok(format!("image {name} is removed\n"));
    }
    let found = find(image, server)?;
    server.remove_prepared(&found.digest)?;
    Ok(format!("image {} is removed\n", found.reference))
}

/// The prepared image that is meant; of several that a tag has meant in turn, the one asked for last.
fn find(image: &ImageArg, server: &impl Server) -> anyhow::Result<ApplicationImageView> {
    let reference = match image {
        ImageArg::Digest(digest) => return server.prepared_image(digest),
        ImageArg::Reference(text) => parse(text)?,
        ImageArg::Name(name) => anyhow::bail!("{name} is a name of the catalog"),
    };
    let is_it = |view: &ApplicationImageView| {
        view.reference.parse::<ImageReference>().is_ok_and(|prepared| {
            prepared == reference
                || prepared
                    .digest()
                    .is_some_and(|digest| prepared == reference.clone().pinned(*digest))
        })
    };
    let mut images = server.prepared_images()?;
    images.retain(is_it);
    images.into_iter().max_by_key(|view| view.used_unix_ns).ok_or_else(|| {
        refused(
            format!("image {reference} is not prepared"),
            "List what is with bmc image list, or prepare it with bmc image pull.",
        )
    })
}

/// A reference as it was typed here.
fn parse(text: &str) -> anyhow::Result<ImageReference> {
    let here = std::env::current_dir().context("cannot tell the current directory")?;
    let whole = absolute_reference(text, &here).map_err(anyhow::Error::msg)?;
    Ok(whole.parse()?)
}

/// Has an image prepared and waits until it is; gives the pinned reference and what it is kept by.
fn pull(image: &ImageReference, server: &impl Server) -> anyhow::Result<(ImageReference, Digest)> {
    let mut view = server.pull(image)?;
    let pinned: ImageReference = view.reference.parse()?;
    let digest = view.digest.context("the boot server does not say what the image is kept by")?;
    loop {
        match view.state {
            PreparationState::Ready => {
                output::passing(None);
                return Ok((pinned, digest));
            }
            PreparationState::Failed => {
                output::passing(None);
                return Err(failed(&view).into());
            }
            PreparationState::Resolving
            | PreparationState::Pulling
            | PreparationState::Converting => output::passing(Some(&preparation::line(&view))),
        }
        std::thread::sleep(PULL_PERIOD);
        view = server.preparation(&digest)?;
    }
}

fn failed(view: &PreparationView) -> ApiError {
    let unknown = || format!("image {} cannot be had", view.reference);
    let blame = view.blame.unwrap_or(ErrorKind::User);
    ApiError::new(blame, view.detail.clone().unwrap_or_else(unknown))
}

fn import(args: &ImageImportArgs, server: &impl Server) -> anyhow::Result<ImageView> {
    let name = &args.name;
    if !is_reference(&args.image) {
        if args.kind == Some(KindWord::Application) {
            return Err(refused(
                format!("{} is an archive or a directory, which is a node image here", args.image),
                format!("Write dir:{} for an application image.", args.image),
            ));
        }
        return import_root(name, args.image.as_ref(), server);
    }
    let (reference, _) = pull(&parse(&args.image)?, server)?;
    let kind = match args.kind {
        Some(KindWord::Node) => ImageKind::Node,
        Some(KindWord::Application) | None => ImageKind::Application,
    };
    server.name_image(name, &ImageImport { reference, kind })
}

/// Everything that begins as a reference does. A file of such a name has a path with a slash.
fn is_reference(text: &str) -> bool {
    let prefix = text.split(':').next().filter(|prefix| prefix.len() < text.len());
    prefix.is_some_and(|prefix| {
        prefix == "docker" || FileFormat::ALL.iter().any(|format| format.prefix() == prefix)
    })
}

/// Sends an archive, or a directory packed into one.
fn import_root(name: &ImageName, root: &Path, server: &impl Server) -> anyhow::Result<ImageView> {
    if !root.is_dir() {
        return server.import_image(name, root);
    }
    let packed = NamedTempFile::with_suffix(".tar").context("cannot make a temporary file")?;
    let absolute = std::path::absolute(root)?;
    pack(&absolute, packed.path()).with_context(|| format!("cannot pack {}", root.display()))?;
    server.import_image(name, packed.path())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_pull_ends_with_the_code_of_whose_fault_it_is() {
        let pulling = preparation::tests::pulling();
        for (blame, exit_code) in [(ErrorKind::User, 2), (ErrorKind::Site, 4)] {
            let view = PreparationView {
                detail: Some("no space".into()),
                blame: Some(blame),
                ..pulling.clone()
            };
            let failure = crate::failure::Failure::of(&failed(&view).into());
            assert_eq!(
                (failure.message.as_deref(), failure.exit_code),
                (Some("bmc: no space"), exit_code)
            );
        }
    }

    #[test]
    fn an_archive_is_told_from_a_reference() {
        for reference in ["docker://x", "sif:x.sif", "dir:/srv/root", "oci:layout:v1"] {
            assert!(is_reference(reference), "{reference}");
        }
        for file in ["debian12.tar", "/srv/a:b.tar", "./sif:x", "docker", "C:x"] {
            assert!(!is_reference(file), "{file}");
        }
    }
}
