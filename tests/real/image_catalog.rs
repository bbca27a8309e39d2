//! `bmc image` and container images: pulled beforehand, listed, named in the catalog, removed; and a node
//! image out of a registry.

use crate::case::{BOOT_SECONDS, Case, ensure_contains, ensure_refused};
use crate::images::pushed;
use anyhow::{Result, ensure};
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

/// A node image in a registry is imported and booted like one in a file.
pub(crate) fn node_image_from_a_registry_boots(case: &Case<'_>) -> Result<()> {
    let option = pushed(case, "node")?;
    let image = reference(&option);
    check(bmc(case.cluster, &["image", "import", "pulled", image, "--kind", "node"])?)?;
    let job = case.submit(&["--bmc-image=pulled"], "uname -r; command -v slurmd; id -un")?;
    case.wait(job, "COMPLETED", BOOT_SECONDS)?;
    ensure_contains(&case.output(job), "/usr/sbin/slurmd")?;
    case.wait_all_off()?;
    check(bmc(case.cluster, &["image", "rm", "pulled"])?)?;
    let musl = pushed(case, "musl")?;
    let words = ["image", "import", "no-node", reference(&musl), "--kind", "node"];
    ensure_refused(&bmc(case.cluster, &words)?, &["init"])
}
