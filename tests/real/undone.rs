//! A node image with settings of its own.

use crate::case::{BOOT_SECONDS, Case, ensure_contains};
use anyhow::{Result, ensure};
use std::fs;

/// Found by the image's init before the real one; any program that runs as root does.
const WRAPPER: &str = "#!/bin/sh
echo always >/sys/kernel/mm/transparent_hugepage/enabled
exec /usr/bin/setpriv \"$@\"
";

/// The image undoes the profile after it was applied: the job is held with that setting, and the
/// node is spared. Nothing is wrong for a kernel without it.
pub(crate) fn image_that_undoes_a_setting_holds_the_job(case: &Case<'_>) -> Result<()> {
    let source = case.cluster.dir().join("etc/site/setpriv");
    fs::write(&source, WRAPPER)?;
    let add = |config: &str| {
        format!(
            "{config}\n[[site_file]]\npath = \"/usr/sbin/setpriv\"\n\
             source = \"/etc/bare-metal-container/site/setpriv\"\nmode = \"0755\"\n"
        )
    };
    let result = case.with_changed("etc/bootsrv.toml", add, || {
        case.restart_bootsrv()?;
        let job = case.submit(&["-w", "n1", "--bmc-kernel=thp-off"], "echo ran")?;
        let comment = case.wait_held(job, BOOT_SECONDS)?;
        ensure_contains(&comment, "the node image changed the setting /sys/kernel/mm/")?;
        ensure_contains(&comment, "[never]\", and is \"[always]")?;
        ensure!(case.output(job).is_empty(), "it ran: {}", case.output(job));
        let shown = case.slurm_node(case.node(1)?)?;
        ensure!(!shown.contains("DRAIN"), "the node was blamed: {shown}");
        let other = case.run(&["-w", "n1"], "cat /sys/kernel/mm/transparent_hugepage/enabled")?;
        ensure_contains(&other, "[always]")
    });
    case.restart_bootsrv()?;
    fs::remove_file(source)?;
    result
}
