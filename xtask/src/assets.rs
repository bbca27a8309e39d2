//! What the virtual cluster boots: three Debian kernels and a node image, fetched or built once and
//! kept below `target/assets`.

use crate::build;
use crate::run::{output, root, run};
use anyhow::{Context, Result, bail};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

const MIRROR: &str = "http://deb.debian.org/debian";
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Name in the kernel hub, Debian suite, and the metapackage that always depends on the newest.
const KERNELS: [(&str, &str, &str); 3] = [
    ("6.1-cloud", "bookworm", "linux-image-cloud-amd64"),
    ("6.1-rt", "bookworm", "linux-image-rt-amd64"),
    ("6.12-cloud", "trixie", "linux-image-cloud-amd64"),
];

/// Where they are kept.
pub(crate) fn directory() -> PathBuf {
    root().join("target/assets")
}

/// Fetches and builds what is missing.
pub(crate) fn prepare() -> Result<()> {
    std::fs::create_dir_all(directory())?;
    for (name, suite, metapackage) in KERNELS {
        let file = directory().join(format!("{name}.deb"));
        if !file.exists() {
            fetch_kernel(&file, suite, metapackage)
                .with_context(|| format!("fetching kernel {name}"))?;
        }
    }
    node_image()
}

/// Builds the node image, anew when its builder has changed.
fn node_image() -> Result<()> {
    let image = directory().join("debian12.tar");
    let stamp = directory().join("debian12.stamp");
    let builder = ["node-image/init", "node-image/finish", "src/node_image/debian.rs"]
        .map(|name| std::fs::read_to_string(root().join("bootsrv/artifacts").join(name)));
    let builder = builder.into_iter().collect::<Result<String, _>>()?;
    if image.exists() && std::fs::read_to_string(&stamp).is_ok_and(|made_by| made_by == builder) {
        return Ok(());
    }
    let partial = directory().join("debian12.partial.tar");
    // Each cluster adds the plugin as it is built then.
    let words =
        ["image", "build", "--no-plugin", "--suite", "bookworm", "--output"].map(OsStr::new);
    run(
        &build::programs().join("bmc").to_string_lossy(),
        words.into_iter().chain([partial.as_os_str()]),
    )?;
    std::fs::rename(partial, image)?;
    Ok(std::fs::write(stamp, builder)?)
}

fn fetch_kernel(file: &Path, suite: &str, metapackage: &str) -> Result<()> {
    let index = index(suite)?;
    let depends = field(&index, metapackage, "Depends")?;
    let package = depends
        .split([',', ' '])
        .find(|word| word.starts_with("linux-image-"))
        .with_context(|| format!("{metapackage} depends on no kernel"))?;
    let path = field(&index, package, "Filename")?;
    let expected = field(&index, package, "SHA256")?;
    let partial = file.with_extension("partial");
    let url = format!("{MIRROR}/{path}");
    run("curl", ["-fsSL", "--retry", "3", "-o", &partial.to_string_lossy(), &url])?;
    let found = output("sha256sum", [partial.as_os_str()])?;
    if !found.starts_with(expected) {
        bail!("{url} has SHA-256 {found}, the package list says {expected}");
    }
    Ok(std::fs::rename(partial, file)?)
}

/// The suite's package list, proven by the archive's signature.
fn index(suite: &str) -> Result<String> {
    let base = format!("{MIRROR}/dists/{suite}");
    let release = directory().join(format!("{suite}.InRelease"));
    let packed = directory().join(format!("{suite}.Packages.xz"));
    run(
        "curl",
        ["-fsSL", "--retry", "3", "-o", &release.to_string_lossy(), &format!("{base}/InRelease")],
    )?;
    let signed =
        output("gpgv", ["--keyring", KEYRING, "--output", "-", &release.to_string_lossy()])
            .context("checking the archive's signature")?;
    let list = "main/binary-amd64/Packages.xz";
    run(
        "curl",
        ["-fsSL", "--retry", "3", "-o", &packed.to_string_lossy(), &format!("{base}/{list}")],
    )?;
    let found = output("sha256sum", [packed.as_os_str()])?;
    let sum = found.split(' ').next().unwrap_or("");
    if !signed.lines().any(|line| line.contains(sum) && line.ends_with(list)) {
        bail!("the package list of {suite} is not the one its Release file names: try again");
    }
    output("xz", ["-dc", &packed.to_string_lossy()])
}

fn field<'a>(index: &'a str, package: &str, name: &str) -> Result<&'a str> {
    let wanted = format!("Package: {package}");
    index
        .split("\n\n")
        .filter(|paragraph| paragraph.lines().next() == Some(wanted.as_str()))
        .flat_map(str::lines)
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
        .with_context(|| format!("package {package} has no {name} in the package list"))
}
