//! What the virtual cluster boots, pulls and runs: three Debian kernels, a node image, container images
//! and a Python environment, fetched or built once and kept below `target/assets`.

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
    node_image()?;
    container_images()?;
    python()
}

/// The Python packages of the cluster's Redfish service and of a controller with cipher suite 17, in an
/// environment of their own.
fn python() -> Result<()> {
    let requirements = "tests/requirements.txt";
    let maker =
        contents([requirements.to_owned(), "bootsrv/redfish/tests/requirements.txt".to_owned()])?;
    made_by(&directory().join("python"), &maker, |partial| {
        run(
            "python3",
            ["-m", "venv", "--clear"].map(OsStr::new).into_iter().chain([partial.as_os_str()]),
        )?;
        // The environment is moved to its place: its scripts would not find it, its interpreter does.
        let python = partial.join("bin/python");
        let words = ["-m", "pip", "install", "--quiet", "--requirement", requirements];
        run(&python.to_string_lossy(), words)
    })
}

/// In the node image beside what every node image has: what Slurm's mpi/pmix loads.
const NODE_PACKAGES: &str = "libpmix2";
/// Below the library directory, what that brings and PMIx does without: a third of the image.
const UNWANTED: [&str; 5] = ["libicu*", "libxml2.so*", "hwloc/*", "libX11*", "libOpenCL*"];

/// Builds the node image, anew when its builder has changed.
fn node_image() -> Result<()> {
    let image = directory().join("debian12.tar");
    let builder = ["init", "finish"].map(|name| format!("bootsrv/artifacts/node-image/{name}"));
    let builder = builder.into_iter().chain(["bootsrv/artifacts/src/node_image/debian.rs".into()]);
    let unwanted = UNWANTED.map(|name| format!("./usr/lib/x86_64-linux-gnu/{name}"));
    let maker = format!("{}{NODE_PACKAGES} {}", contents(builder)?, unwanted.join(" "));
    made_by(&image, &maker, |partial| {
        // Each cluster adds the plugin as it is built then.
        let words = ["image", "build", "--no-plugin", "--suite", "bookworm"];
        let words = words.into_iter().chain(["--package", NODE_PACKAGES, "--output"]);
        let words = words.map(OsStr::new).chain([partial.as_os_str()]);
        run(&build::programs().join("bmc").to_string_lossy(), words)?;
        let words = ["--delete", "--wildcards", "--file"].map(OsStr::new).into_iter();
        let words = words.chain([partial.as_os_str()]);
        run("tar", words.chain(unwanted.iter().map(OsStr::new)))
    })
}

/// Builds the container images of the cluster cases, anew when anything they are made of has changed.
fn container_images() -> Result<()> {
    let sources =
        ["build", "tricky", "sum.c", "names.c"].map(|name| format!("tests/images/{name}"));
    let probe = ["main.rs", "tree.rs"].map(|name| format!("tests/probe/src/{name}"));
    let node_image = "target/assets/debian12.tar";
    let sources = sources.into_iter().chain(probe).chain([stamp(Path::new(node_image))]);
    made_by(&directory().join("images"), &contents(sources)?, |partial| {
        let probe = build::static_program("probe");
        let words = [probe.as_os_str(), OsStr::new(node_image), partial.as_os_str()];
        run("tests/images/build", words)
    })
}

/// Builds the images of `bench image`: gigabytes, so only for those who measure.
pub(crate) fn bench_images() -> Result<()> {
    let source = "tests/images/bench";
    made_by(&directory().join("bench"), &contents([source.to_owned()])?, |partial| {
        run(source, [partial])
    })
}

/// The texts of these files of ours.
fn contents(files: impl IntoIterator<Item = String>) -> Result<String> {
    let read = |file: String| {
        std::fs::read_to_string(root().join(&file)).with_context(|| format!("reading {file}"))
    };
    files.into_iter().map(read).collect()
}

/// Where it is written what a file was made by.
fn stamp(file: &Path) -> String {
    file.with_extension("stamp").to_string_lossy().into_owned()
}

/// Makes a file or directory unless it was made by just that: whole or not at all.
fn made_by(to: &Path, maker: &str, make: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let stamp = stamp(to);
    if to.exists() && std::fs::read_to_string(&stamp).is_ok_and(|made_by| made_by == maker) {
        return Ok(());
    }
    let name = to.file_name().unwrap_or_default().to_string_lossy();
    let partial = to.with_file_name(format!("partial-{name}"));
    make(&partial).with_context(|| format!("making {}", to.display()))?;
    if to.is_dir() {
        std::fs::remove_dir_all(to)?;
    }
    std::fs::rename(partial, to)?;
    Ok(std::fs::write(stamp, maker)?)
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
