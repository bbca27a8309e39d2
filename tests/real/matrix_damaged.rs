//! Failure matrix: a kernel and an initrd that arrive damaged.

use crate::case::{Case, ensure_contains};
use crate::faults::flip_a_bit;
use crate::matrix_means::{clear, wait_dark, wait_reason};
use crate::web::artifacts_of;
use anyhow::{Result, ensure};

/// One bit of a kernel, and of another one's initrd, is wrong: neither comes up, no job runs on them, and
/// each node has its reason.
pub(crate) fn damaged_on_the_way(case: &Case<'_>) -> Result<()> {
    let [kernel, ..] = artifacts_of(case, "6.12-cloud")?;
    let [_, initrd, _] = artifacts_of(case, "6.1-rt")?;
    // On bootsrv's disk: iPXE cannot tell that from damage on the way.
    let paths = [kernel, initrd].map(|sum| case.cluster.dir().join("state/artifacts").join(sum));
    paths.iter().try_for_each(|path| flip_a_bit(path))?;
    let failed = both_fail(case);
    paths.iter().try_for_each(|path| flip_a_bit(path))?;
    failed?;
    clear(case, "n[1-2]", &["n1: 1 strike", "n2: 1 strike"])
}

fn both_fail(case: &Case<'_>) -> Result<()> {
    let submit =
        |on: &str, kernel: &str| case.submit(&["-w", on, "--bmc-kernel", kernel], "echo ran");
    let jobs = [submit("n1", "6.12-cloud")?, submit("n2", "6.1-rt")?];
    // A kernel that cannot unpack itself says so on a screen at most.
    for (number, console, job) in [(1, "", jobs[0]), (2, "Initramfs unpacking failed", jobs[1])] {
        let node = case.node(number)?;
        let late = "loaded its boot script, but its kernel did not report within 60 s";
        ensure_contains(&wait_reason(case, node, late, 120)?, console)?;
        wait_dark(case, node, 60)?;
        ensure!(case.output(job).is_empty(), "it ran: {}", case.output(job));
        case.cluster.check(&["scancel", &job.to_string()])?;
    }
    Ok(())
}
