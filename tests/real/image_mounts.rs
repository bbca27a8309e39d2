//! Directories of the node inside an image, and images that stay on the server.

use crate::case::{BOOT_SECONDS, Case, ensure_contains, ensure_refused};
use crate::images::{layout, pushed};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::fs;
use tests::cluster::node::HEAD_ADDRESS;
use tests::cluster::on_demand::{NFS, NFS_PATH};
use tests::cluster::site::{FORBIDDEN, PARTITION};
use tests::product::{bmc, registry};

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

/// What a rule of a partition denies: Slurm does not say the partition when a job is submitted, so the
/// job is held, before a node is powered on.
pub(crate) fn a_rule_denies_an_image(case: &Case<'_>) -> Result<()> {
    let name = format!("{FORBIDDEN}/musl:1");
    let image = registry::push_as(case.cluster, &layout(), "musl", &name)?;
    let image = format!("--bmc-image={image}");
    let job = case.submit(&[&image], "true")?;
    let sentence =
        format!("is not allowed in partition {PARTITION}: the site denies */{FORBIDDEN}/*");
    ensure_contains(&case.wait_held(job, 30)?, &sentence)?;
    let status = bmc(case.cluster, &["status", &job.to_string()])?;
    let marks = String::from_utf8_lossy(&status.stdout);
    ensure!(!marks.contains("power_on"), "a node was powered on for it: {marks}");
    Ok(())
}

/// What a job prints of its root: whether nodes speak with an NFS server, how many bytes the kernel has
/// read from it, and the memory that files take.
const LOOK: &str = "cat /proc/fs/nfsfs/servers; \
                    awk '/^bytes:/ {sum += $6} END {print \"read\", sum + 0}' /proc/self/mountstats; \
                    awk '/^Shmem:/ {print \"shmem\", $2}' /proc/meminfo";

/// `--bmc-root=nfs` on two nodes: layers are read from the server, and nothing is copied to the node,
/// unlike with `ram`. Without the server the job is held, and no node is blamed.
pub(crate) fn root_on_nfs(case: &Case<'_>) -> Result<()> {
    let image = pushed(case, "systemd")?;
    let unlucky = case.submit(&["-w", "n4", &image, "--bmc-root=nfs"], "true")?;
    let in_memory = case.submit(&["-w", "n3", &image, "--bmc-root=ram"], LOOK)?;
    let comment = case.wait_held(unlucky, BOOT_SECONDS)?;
    ensure_contains(&comment, &format!("the images' directory {HEAD_ADDRESS}:{NFS_PATH}"))?;
    ensure_contains(&comment, "cannot be mounted")?;

    case.cluster.start_service(NFS)?;
    let script = format!("cat /etc/os-release; srun sh -c 'touch /open/new && hostname'; {LOOK}");
    let result = case.submit(&["-w", "n[1-2]", &image, "--bmc-root=nfs"], &script);
    let result = result.and_then(|job| {
        case.wait(job, "COMPLETED", BOOT_SECONDS)?;
        Ok(case.output(job))
    });
    // Whatever came of it: the nodes that used it are off.
    case.wait_all_off()?;
    case.cluster.stop_service(NFS, "TERM")?;
    let by_nfs = result?;
    for expected in ["trixie", "n1\n", "n2\n", "\nv4 "] {
        ensure_contains(&by_nfs, expected)?;
    }
    case.wait(in_memory, "COMPLETED", BOOT_SECONDS)?;
    let by_ram = case.output(in_memory);
    let shown = case.json(&["image", "show", image.trim_start_matches("--bmc-image=")])?;
    let image_kib = shown.get("bytes").and_then(Value::as_u64).context("no size")? / 1024;
    let (ram, nfs) = (number(&by_ram, "shmem")?, number(&by_nfs, "shmem")?);
    ensure!(ram > nfs + image_kib * 9 / 10, "{image_kib} KiB image: {ram} KiB, by NFS {nfs} KiB");
    ensure!(number(&by_ram, "read")? == 0 && !by_ram.contains("\nv4 "), "{by_ram}");
    for node in case.cluster.nodes() {
        let reason = case.reason(node)?;
        ensure!(reason.is_empty(), "{node} was drained for the site's server: {reason}");
    }
    Ok(())
}

/// The number behind a word at the start of a line.
fn number(printed: &str, word: &str) -> Result<u64> {
    let line = printed.lines().find_map(|line| line.strip_prefix(word)?.strip_prefix(' '));
    Ok(line.with_context(|| format!("no {word}: {printed}"))?.trim().parse()?)
}
