//! Directories of the node inside an image, and images that stay on the server.

use crate::case::{BOOT_SECONDS, Case, ensure_contains, ensure_refused};
use crate::images::pushed;
use anyhow::{Result, ensure};
use std::fs;
use tests::cluster::on_demand::NFS;

/// What the site allows is mounted, read-only if the user says so; what it does not is refused when it
/// is typed.
pub(crate) fn mounts_are_the_sites_to_allow(case: &Case<'_>) -> Result<()> {
    let image = pushed(case, "musl")?;
    let data = case.cluster.dir().join("home/alice/data");
    fs::create_dir_all(&data)?;
    std::os::unix::fs::chown(&data, Some(2001), Some(2001))?;
    fs::write(data.join("input"), "the input\n")?;
    let mounts = "--bmc-mounts=/home/alice/data:/data:ro,/home/alice/data:/deep/er/out,\
                  /usr/share/bash-completion";
    let script = "cat /data/input; touch /data/new || echo refused; cp /data/input /deep/er/out/copy; \
                  ls -d /usr/share/bash-completion";
    let printed = case.run(&[&image, mounts], script)?;
    ensure!(printed.starts_with("the input\n") && printed.contains("refused\n"), "{printed}");
    ensure_contains(&printed, "\n/usr/share/bash-completion\n")?;
    ensure!(fs::read_to_string(data.join("copy"))? == "the input\n", "nothing was written");
    for (mounts, expected) in [
        ("/etc:/x", "mount /etc:/x is not allowed"),
        ("/home/../etc:/x", "mount "),
        ("/home:/", "the image's root itself"),
    ] {
        let mounts = format!("--bmc-mounts={mounts}");
        let refused = case.alice(&["sbatch", "--chdir=/", &image, &mounts, "--wrap=true"])?;
        ensure_refused(&refused, &[expected])?;
    }
    let without = ["sbatch", "--chdir=/", "--bmc-mounts=/home:/x", "--wrap=true"];
    ensure_refused(&case.alice(&without)?, &["--bmc-mounts"])
}

/// `--bmc-root=nfs` on two nodes: layers are read from the server, and nothing is copied to the node.
pub(crate) fn root_on_nfs(case: &Case<'_>) -> Result<()> {
    let image = pushed(case, "systemd")?;
    case.cluster.start_service(NFS)?;
    let script = "cat /etc/os-release; srun sh -c 'hostname; touch /open/new && echo writable'; \
                  probe mounts; grep -E '^(Shmem|MemAvailable)' /proc/meminfo";
    let result = case.submit(&["-N2", &image, "--bmc-root=nfs"], script).and_then(|job| {
        case.wait(job, "COMPLETED", BOOT_SECONDS)?;
        let printed = case.output(job);
        ensure_contains(&printed, "trixie")?;
        ensure!(printed.matches("writable").count() == 2, "{printed}");
        ensure!(printed.contains("n1\n") && printed.contains("n2\n"), "{printed}");
        case.wait_all_off()
    });
    // Whatever came of it: the nodes that used it are off.
    case.wait_all_off()?;
    case.cluster.stop_service(NFS, "TERM")?;
    result
}
