//! Our product on the virtual cluster: its configuration, and kernels, image and nodes loaded with
//! the commands an admin types.

pub mod demo;
pub mod files;
pub mod record;
pub mod registry;
pub mod scripted;

use crate::cluster::site::{DEFAULT_KERNEL, IMAGE};
use crate::cluster::{Cluster, Options};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{Duration, Instant};

/// Where the static agent, the kernels and the node image are.
#[derive(Debug, Clone)]
pub struct Assets {
    /// The node agent, statically linked.
    pub agent: PathBuf,
    /// `NAME.deb` for each kernel, `NAME.tar` for each node image, container images in `images`.
    pub directory: PathBuf,
}

impl Assets {
    /// Below the directory with our release programs, where `cargo xtask build` puts them.
    #[must_use]
    pub fn beside(program_dir: &Path) -> Self {
        let target = program_dir.parent().unwrap_or(program_dir);
        Self {
            agent: target.join("static/x86_64-unknown-linux-gnu/release/node-agent"),
            directory: target.join("assets"),
        }
    }

    /// The OCI layout of the test images; a tag for each.
    #[must_use]
    pub fn images(&self) -> PathBuf {
        self.directory.join("images")
    }
}

/// The kernels of the hub, the first being the default.
pub const KERNELS: [&str; 3] = [DEFAULT_KERNEL, "6.1-rt", "6.12-cloud"];

/// How long bootsrv may need to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

/// Brings a cluster up with our product on it: kernels, image and nodes are there, all nodes are
/// off and allocatable.
///
/// # Errors
/// When a part does not come up; then nothing is left running.
pub fn up(options: Options, assets: &Assets) -> Result<Cluster> {
    let prepared = Cluster::prepare(options)?;
    files::write(prepared.run(), &assets.agent)?;
    let cluster = prepared.start()?;
    if !cluster.notes().is_empty() {
        bail!("not everything is built: {}", cluster.notes().join("; "));
    }
    wait_until(ANSWER_TIMEOUT, "bootsrv answers", || {
        Ok(bmc(&cluster, &["node", "list"])?.status.success())
    })?;
    load(&cluster, assets)?;
    wait_until(Duration::from_secs(90), "all nodes are allocatable", || {
        all_powered_down(&cluster)
    })?;
    Ok(cluster)
}

fn load(cluster: &Cluster, assets: &Assets) -> Result<()> {
    let kernels = check(bmc(cluster, &["kernel", "list"])?)?;
    for kernel in KERNELS.iter().filter(|kernel| !lists(&kernels, kernel)) {
        let file = assets.directory.join(format!("{kernel}.deb"));
        check(bmc(cluster, &["kernel", "import", kernel, &file.to_string_lossy()])?)
            .with_context(|| format!("importing kernel {kernel}"))?;
    }
    // With the plugin as it was built now: steps run inside a job load it on the node.
    let base = assets.directory.join(format!("{IMAGE}.tar"));
    let plugin = cluster.dir().join("lib/spank_bmc.so");
    let (base, plugin) = (base.to_string_lossy(), plugin.to_string_lossy());
    check(bmc(cluster, &["image", "build", IMAGE, "--from", &base, "--plugin", &plugin])?)
        .context("building and importing the node image")?;
    check(bmc(cluster, &["node", "import", "/etc/bare-metal-container/generated/nodes.toml"])?)?;
    Ok(())
}

fn lists(table: &str, name: &str) -> bool {
    table.lines().any(|line| line.split_whitespace().next() == Some(name))
}

fn all_powered_down(cluster: &Cluster) -> Result<bool> {
    let shown = cluster.check(&["sinfo", "--noheader", "--Node", "--format=%N %t"])?;
    Ok(shown.lines().all(|line| line.ends_with(" idle~")))
}

/// Runs `bmc` as root on the controller host.
///
/// # Errors
/// When it cannot be started.
pub fn bmc(cluster: &Cluster, words: &[&str]) -> Result<Output> {
    let words: Vec<&str> = ["bmc"].into_iter().chain(words.iter().copied()).collect();
    Ok(cluster.run("root", &words)?)
}

/// What a command printed, or its failure as an error.
///
/// # Errors
/// When it failed.
pub fn check(output: Output) -> Result<String> {
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    bail!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim())
}

/// Asks ten times a second until it is so.
///
/// # Errors
/// When the question fails, or it is not so in time.
pub fn wait_until(
    limit: Duration,
    what: &str,
    mut is_so: impl FnMut() -> Result<bool>,
) -> Result<()> {
    let start = Instant::now();
    while !is_so()? {
        if start.elapsed() > limit {
            bail!("after {} s it is still not so that {what}", limit.as_secs());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}
