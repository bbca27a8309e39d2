//! Configures the virtual cluster as an admin configures a site: writes what the site had before and
//! one `site.toml`, runs `slurm-conf generate`, and puts its files where they belong.

use crate::cluster::error::{ClusterError, Result, file};
use crate::cluster::inside::check_output;
use crate::cluster::layout::{PUBLIC, RunDir, remove, write};
use crate::cluster::options::Options;
use crate::cluster::slurm::GENERATED;
use crate::cluster::{network, site, slurm};
use std::fs;
use std::path::Path;
use std::process::Command;

/// Where `slurm-conf generate` writes, below the run directory; inside it is
/// /etc/bare-metal-container/generated.
pub const GENERATED_DIR: &str = "etc/generated";
/// Debian's slurmctld.
const SLURMCTLD: &str = "/usr/sbin/slurmctld";
/// The generated files of the cluster's own parts, and where they go below the run directory. The
/// product's are installed by whoever wants the product.
const INSTALLED: [(&str, &str); 4] = [
    ("bare-metal-container.conf", "etc-slurm"),
    ("plugstack.conf", "etc-slurm"),
    ("cgroup.conf", "etc-slurm"),
    ("dnsmasq.conf", "network/dnsmasq.d"),
];

/// Writes, generates and installs. The programs must be there.
pub(crate) fn configure(run: &RunDir, options: &Options) -> Result<()> {
    let leases = run.join("network/leases");
    let dnsmasq = network::dnsmasq_conf(&leases, &run.join("network/dnsmasq.d"));
    write(&run.join("network/dnsmasq.conf"), dnsmasq, PUBLIC)?;
    write_ours(&run.join("etc-slurm/slurm.conf"), &slurm::slurm_conf())?;
    let site = run.join("etc/site.toml");
    let (hardware, version) = (options.hardware(), slurm_version()?);
    write_ours(&site, &site::site_toml(run, &hardware, &version, options))?;

    let generated = run.join(GENERATED_DIR);
    // Files of another cluster size would be in the way.
    remove(&generated)?;
    let [site, output] = [&site, &generated].map(|path| path.display().to_string());
    let program = run.programs().join("slurm-conf").display().to_string();
    said(&program, &["generate", "--site", &site, "--output", &output])?;
    for (name, to) in INSTALLED {
        install(run, name, &run.join(to).join(name))?;
    }
    Ok(())
}

/// Copies one of the generated files.
///
/// # Errors
/// When it cannot be read or written.
pub fn install(run: &RunDir, name: &str, to: &Path) -> Result<()> {
    let from = run.join(GENERATED_DIR).join(name);
    write(to, fs::read(&from).map_err(file("read", &from))?, PUBLIC)
}

/// Writes a file unless the caller has put one of its own there.
fn write_ours(path: &Path, text: &str) -> Result<()> {
    let is_ours = |old: String| old.starts_with(GENERATED);
    if fs::read_to_string(path).map_or(true, is_ours) { write(path, text, PUBLIC) } else { Ok(()) }
}

/// What the installed slurmctld says, for example `slurm-wlm 22.05.8`.
fn slurm_version() -> Result<String> {
    Ok(said(SLURMCTLD, &["-V"])?.trim().to_owned())
}

fn said(program: &str, words: &[&str]) -> Result<String> {
    let start = |source| ClusterError::Start { program: program.to_owned(), source };
    let output = Command::new(program).args(words).env_clear().output().map_err(start)?;
    check_output(program, &output)
}
