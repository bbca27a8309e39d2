//! `bmc image build`: packages or an earlier archive, the plugin, a file or an import, in one go.
//!
//! What is built runs here, on the administrator's machine; the server only gets the archive.

use super::image_text;
use crate::cli::ImageBuild;
use crate::failure::refused;
use crate::server::Server;
use crate::table::bytes;
use anyhow::Context;
use artifacts::node_image::debian::{NodeImageOptions, build};
use artifacts::node_image::{Plugin, add_plugin};
use std::fs::{self, File};
use std::io::{BufReader, BufWriter};
use std::path::{Path, PathBuf};

/// The plugin's file.
const PLUGIN: &str = "spank_bmc.so";
/// Where Slurm looks for plugins: Debian's packages, Red Hat's and SUSE's, a Slurm built by hand.
const PLUGIN_DIRECTORIES: [&str; 4] = [
    "/usr/lib/x86_64-linux-gnu/slurm-wlm",
    "/usr/lib64/slurm",
    "/usr/lib/slurm",
    "/usr/local/lib/slurm",
];

/// Builds what was asked for and returns what to print; tells each step on standard error.
pub(super) fn run<S: Server>(
    args: &ImageBuild,
    connect: impl FnOnce() -> anyhow::Result<S>,
) -> anyhow::Result<String> {
    let plugin = plugin(args)?;
    // A server that is not there is found out before the minute of work.
    let server = match &args.name {
        Some(name) => {
            let server = connect()?;
            server.images()?;
            Some((name, server))
        }
        None => None,
    };
    // Beside the output, so that it can be moved there as a whole.
    let output = args.output.as_deref().map(std::path::absolute).transpose()?;
    let beside = output.as_deref().and_then(Path::parent).map(Path::to_owned);
    let beside = beside.unwrap_or_else(std::env::temp_dir);
    let work = tempfile::Builder::new()
        .prefix(".bmc-image-")
        .tempdir_in(&beside)
        .with_context(|| format!("cannot make a directory in {}", beside.display()))?;
    let mut file = archive(args, plugin, work.path())?;
    let mut text = String::new();
    if let Some(output) = output {
        fs::rename(&file, &output).with_context(|| format!("cannot write {}", output.display()))?;
        text = format!("{}: {}\n", output.display(), bytes(fs::metadata(&output)?.len()));
        file = output;
    }
    if let Some((name, server)) = server {
        say(&format!("sending {} to the boot server", bytes(fs::metadata(&file)?.len())));
        text += &image_text::named(&server.import_image(name, &file)?);
    }
    Ok(text)
}

fn plugin(args: &ImageBuild) -> anyhow::Result<Option<Plugin>> {
    if args.no_plugin {
        return Ok(None);
    }
    let installed = || {
        let places = PLUGIN_DIRECTORIES.iter().map(|directory| Path::new(directory).join(PLUGIN));
        places.into_iter().find(|path| path.is_file())
    };
    let path = args.plugin.clone().or_else(installed).ok_or_else(|| {
        refused(
            format!("there is no {PLUGIN} in {}", PLUGIN_DIRECTORIES.join(", ")),
            "Name it with --plugin FILE, or leave it out with --no-plugin.",
        )
    })?;
    let plugin = Plugin::read(&path).with_context(|| format!("cannot use {}", path.display()))?;
    say(&format!("plugin {}, for Slurm {}", path.display(), plugin.version()));
    Ok(Some(plugin))
}

/// Makes the archive in `work` and gives its path.
fn archive(args: &ImageBuild, plugin: Option<Plugin>, work: &Path) -> anyhow::Result<PathBuf> {
    let base = match &args.from {
        Some(from) => from.clone(),
        None => packages(args, work)?,
    };
    let Some(plugin) = plugin else { return Ok(base) };
    let image = work.join("image.tar");
    let read = File::open(&base).with_context(|| format!("cannot read {}", base.display()))?;
    let write = BufWriter::new(File::create_new(&image).context("cannot write the image")?);
    let path =
        add_plugin(BufReader::new(read), &plugin, write).with_context(|| match &args.from {
            Some(from) => format!("cannot add the plugin to {}", from.display()),
            None => format!("cannot add the plugin to the image of {}", args.suite),
        })?;
    say(&format!("the plugin is at {} of the image", path.trim_start_matches('.')));
    Ok(image)
}

fn packages(args: &ImageBuild, work: &Path) -> anyhow::Result<PathBuf> {
    let output = work.join("base.tar");
    let ImageBuild { suite, mirror, packages, .. } = args;
    say(&format!("installing {suite} from {mirror}"));
    let options = NodeImageOptions {
        suite: suite.clone(),
        mirror: mirror.clone(),
        packages: packages.clone(),
        output: output.clone(),
    };
    build(&options, &mut |line| say(line)).context("cannot build the image")?;
    Ok(output)
}

/// A step, for whoever waits.
fn say(text: &str) {
    eprintln!("bmc: {text}");
}
