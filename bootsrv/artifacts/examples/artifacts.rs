//! Imports by hand, to try a kernel or an image without a bootsrv, and to measure.
//!
//! ```text
//! artifacts STATE_DIR kernel|small-kernel NAME PACKAGE.deb AGENT CERTIFICATE.pem [MODULE…]
//! artifacts STATE_DIR image NAME DIRECTORY-OR-ARCHIVE
//! artifacts STATE_DIR node-image SUITE OUTPUT SOURCES-LINE…
//! artifacts STATE_DIR list
//! ```

use artifacts::image::{ImageOptions, import_dir, import_tar};
use artifacts::kernel::{DEFAULT_MODULES, DESKTOP_DIRECTORIES, ImportOptions, import_package};
use artifacts::node_image::{NodeImageOptions, build};
use artifacts::{Hub, Image, Kernel};
use std::error::Error;
use std::fs::{self, File};
use std::path::Path;
use std::time::Instant;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let begin = Instant::now();
    match words.as_slice() {
        [
            state_dir,
            what @ ("kernel" | "small-kernel"),
            name,
            package,
            agent,
            certificate,
            modules @ ..,
        ] => {
            let modules = if modules.is_empty() { &DEFAULT_MODULES[..] } else { modules };
            let left_out = if *what == "kernel" { &[][..] } else { &DESKTOP_DIRECTORIES };
            let options = ImportOptions {
                agent: agent.into(),
                certificate_pem: fs::read_to_string(certificate)?,
                initrd_modules: modules.iter().map(ToString::to_string).collect(),
                left_out: left_out.iter().map(ToString::to_string).collect(),
            };
            let hub = Hub::open(*state_dir)?;
            show_kernel(
                &hub,
                &import_package(&hub, name.parse()?, File::open(package)?, &options)?,
            );
        }
        [state_dir, "image", name, source] => {
            let hub = Hub::open(*state_dir)?;
            let (name, options) = (name.parse()?, ImageOptions::default());
            let image = if Path::new(source).is_dir() {
                import_dir(&hub, name, source.as_ref(), &options)?
            } else {
                import_tar(&hub, name, File::open(source)?, &options)?
            };
            show_image(&hub, &image);
        }
        [_, "node-image", suite, output, sources @ ..] => build(&NodeImageOptions {
            suite: (*suite).into(),
            sources: sources.iter().map(ToString::to_string).collect(),
            packages: vec![],
            output: output.into(),
            source_date_epoch: None,
        })?,
        [state_dir, "list"] => {
            let hub = Hub::open(*state_dir)?;
            hub.kernels()?.iter().for_each(|kernel| show_kernel(&hub, kernel));
            hub.images()?.iter().for_each(|image| show_image(&hub, image));
        }
        _ => return Err("see the head of this file for the arguments".into()),
    }
    println!("{:.1} s", begin.elapsed().as_secs_f64());
    Ok(())
}

fn show_kernel(hub: &Hub, kernel: &Kernel) {
    println!("kernel {} release {}", kernel.name, kernel.release);
    let parts =
        [("vmlinuz", &kernel.vmlinuz), ("initrd", &kernel.initrd), ("modules", &kernel.modules)];
    for (what, artifact) in parts {
        println!(
            "  {what:8}{:>10} bytes  {}",
            artifact.bytes,
            hub.store().path(&artifact.sha256).display()
        );
    }
    println!("  loads {}", kernel.initrd_modules.join(" "));
    println!("  built in {:?}, missing {:?}", kernel.initrd_builtin, kernel.initrd_missing);
}

fn show_image(hub: &Hub, image: &Image) {
    let path = hub.store().path(&image.squashfs.sha256);
    println!("image {} init {:?}", image.name, image.init);
    println!("  {} bytes  {}", image.squashfs.bytes, path.display());
}
