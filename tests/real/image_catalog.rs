//! `bmc image` and container images: pulled beforehand, listed, named in the catalog, removed; and a node
//! image out of a registry.

use crate::case::{BOOT_SECONDS, Case, ensure_contains, ensure_refused};
use crate::images::{layout, pushed};
use anyhow::{Context, Result, ensure};
use std::fs;
use std::process::Command;
use std::time::Duration;
use tests::product::{bmc, check, wait_until};

/// The reference of `--bmc-image=REFERENCE`.
fn reference(option: &str) -> &str {
    option.trim_start_matches("--bmc-image=")
}

/// Pulled by hand, an image is there when a job wants it; it has a name in the catalog, is not removed
/// while a job uses it, and is gone when nobody does.
pub(crate) fn images_are_managed(case: &Case<'_>) -> Result<()> {
    let option = pushed(case, "static")?;
    let image = reference(&option);
    let said = |words: &[&str]| check(bmc(case.cluster, &[&["image"], words].concat())?);
    said(&["pull", image])?;
    ensure_contains(&said(&["list"])?, "test/static:1")?;
    let shown = said(&["show", image])?;
    for expected in ["test/static:1@sha256:", "amd64", "sha256:"] {
        ensure_contains(&shown, expected)?;
    }
    said(&["import", "nothing-but", image])?;
    let named = "--bmc-image=nothing-but";
    let words = ["srun", "--chdir=/", "-w", "n1", named, "/probe", "env", "BMC_IMAGE"];
    let job = crate::images::start(case, &words[2..])?;
    wait_until(Duration::from_secs(60), "n1 is powered on", || Ok(!case.is_off(case.node(1)?)?))?;
    ensure_refused(&bmc(case.cluster, &["image", "rm", "nothing-but"])?, &["job"])?;
    ensure_refused(&bmc(case.cluster, &["image", "rm", image])?, &["job"])?;
    let printed = check(job.wait_with_output()?)?;
    ensure_contains(&printed, "BMC_IMAGE=nothing-but")?;
    case.wait_all_off()?;
    said(&["rm", "nothing-but"])?;
    said(&["rm", image])?;
    let listed = said(&["list"])?;
    ensure!(!listed.contains("nothing-but") && !listed.contains("test/static"), "{listed}");
    said(&["gc", "--dry-run"])?;
    Ok(())
}

/// A node image in a registry, and one in a file of its engine's, are imported and booted like any other.
pub(crate) fn node_images_of_container_tools_boot(case: &Case<'_>) -> Result<()> {
    let option = pushed(case, "node")?;
    let file = case.cluster.dir().join("home/node.tar");
    let from = format!("oci:{}:node", layout().display());
    let to = format!("docker-archive:{}:test/node:1", file.display());
    let copy = ["--insecure-policy", "copy", "--quiet", &from, &to];
    check(Command::new("skopeo").args(copy).output()?).context("copying the node image")?;
    let images = [("pulled", reference(&option)), ("from-file", "docker-archive:/home/node.tar")];
    let mut jobs = Vec::new();
    for (name, image) in images {
        check(bmc(case.cluster, &["image", "import", name, image, "--kind", "node"])?)?;
        let option = format!("--bmc-image={name}");
        jobs.push(case.submit(&[&option], "echo $BMC_NODE_IMAGE $BMC_IMAGE; command -v slurmd")?);
    }
    fs::remove_file(file)?;
    for (job, (name, _)) in jobs.into_iter().zip(images) {
        case.wait(job, "COMPLETED", BOOT_SECONDS)?;
        let printed = case.output(job);
        ensure!(printed.contains("/usr/sbin/slurmd") && printed.contains(name), "{printed}");
    }
    case.wait_all_off()?;
    for (name, _) in images {
        check(bmc(case.cluster, &["image", "rm", name])?)?;
    }
    let musl = pushed(case, "musl")?;
    let words = ["image", "import", "no-node", reference(&musl), "--kind", "node"];
    ensure_refused(&bmc(case.cluster, &words)?, &["init"])
}
