//! The packages of Debian 12 that building and the virtual cluster need.

use crate::run::{output, run as start, run_with};
use anyhow::{Context, Result, bail};
use std::path::Path;

/// Package and what it is for.
const PACKAGES: [(&str, &str); 46] = [
    ("build-essential", "C libraries inside crates"),
    ("clang", "bindings to Slurm's header"),
    ("libclang-dev", "bindings to Slurm's header"),
    ("pkg-config", "C libraries inside crates"),
    ("libslurm-dev", "the SPANK plugin"),
    ("libmunge-dev", "munge credentials"),
    ("libopenipmi-dev", "the power reading of the simulated baseboard controllers"),
    ("slurmctld", "virtual cluster: the controller"),
    ("slurm-client", "virtual cluster: sbatch and friends"),
    ("slurm-wlm-basic-plugins", "virtual cluster: Slurm's plugins"),
    ("munge", "virtual cluster: authentication"),
    ("openipmi", "virtual cluster: ipmi_sim, the baseboard controllers"),
    ("ipmitool", "virtual cluster: the second opinion on power"),
    ("qemu-system-x86", "virtual cluster: the nodes"),
    ("qemu-system-common", "virtual cluster: virtiofsd, the shared home directories"),
    ("ipxe-qemu", "virtual cluster: network boot"),
    ("seabios", "virtual cluster: firmware"),
    ("dnsmasq-base", "virtual cluster: DHCP"),
    ("iproute2", "virtual cluster: networks"),
    ("iptables", "tests: a node that cannot reach bootsrv"),
    ("mmdebstrap", "the node image, and the roots of test images"),
    ("squashfs-tools", "the node image and module trees"),
    ("squashfs-tools-ng", "layers, and images that are a squashfs or SIF file"),
    ("skopeo", "test images: into a registry"),
    ("umoci", "test images: made, and unpacked for comparison"),
    ("buildah", "test images: made by another tool"),
    ("docker-registry", "virtual cluster: the registry"),
    ("openssl", "virtual cluster: the registry's certificate"),
    ("nfs-ganesha", "virtual cluster: images read over NFS"),
    ("nfs-ganesha-vfs", "virtual cluster: images read over NFS"),
    ("libpmix2", "virtual cluster: srun --mpi=pmix"),
    ("attr", "test images: extended attributes"),
    ("libcap2-bin", "test images: file capabilities"),
    ("erofs-utils", "bench image: the other format"),
    ("python3", "tests and virtual cluster: controllers that speak other protocols than IPMI"),
    ("python3-venv", "tests and virtual cluster: their packages"),
    ("snmpd", "tests and virtual cluster: the power distribution unit"),
    ("snmp", "tests and virtual cluster: the second opinion on it"),
    ("etherwake", "tests and virtual cluster: magic packets of others"),
    ("wakeonlan", "tests: magic packets of others"),
    ("kmod", "module trees"),
    ("cpio", "tests look into initrds"),
    ("zstd", "tests look into initrds"),
    ("xz-utils", "package lists"),
    ("curl", "fetching kernels"),
    ("ca-certificates", "fetching kernels"),
];

/// Packages of which we want the program and not the daemon, which Debian starts at once where systemd
/// runs; name of the package and of the unit.
const DAEMONS: [&str; 5] = ["docker-registry", "nfs-ganesha", "slurmctld", "munge", "snmpd"];

/// Installs what is missing; does nothing when nothing is.
pub(crate) fn run() -> Result<()> {
    let missing = missing()?;
    if missing.is_empty() {
        return Ok(());
    }
    eprintln!("missing packages: {}", missing.join(" "));
    let root = output("id", ["-u"])?.trim() == "0";
    if !root {
        bail!("run this as root once, or install them: apt-get install {}", missing.join(" "));
    }
    let quiet = [("DEBIAN_FRONTEND", "noninteractive")];
    run_with("apt-get", ["update", "-q"], &quiet)?;
    let arguments = ["install", "-y", "-q", "--no-install-recommends"].into_iter();
    run_with("apt-get", arguments.chain(missing.iter().copied()), &quiet)
        .context("installing packages")?;
    // One that was there before is somebody's.
    let ours: Vec<&str> = DAEMONS.into_iter().filter(|name| missing.contains(name)).collect();
    if ours.is_empty() || !Path::new("/run/systemd/system").exists() {
        return Ok(());
    }
    start("systemctl", ["disable", "--now"].into_iter().chain(ours))
}

fn missing() -> Result<Vec<&'static str>> {
    let shown = output("dpkg-query", ["-W", "-f", "${Package} ${db:Status-Status}\n"])
        .context("this needs Debian: dpkg-query did not answer")?;
    let installed: Vec<&str> =
        shown.lines().filter_map(|line| line.strip_suffix(" installed")).collect();
    Ok(PACKAGES.iter().map(|package| package.0).filter(|name| !installed.contains(name)).collect())
}
