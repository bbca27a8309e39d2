//! Failure matrix: nodes that were kept on for the next job, and die before or while it takes them over.

use crate::case::{BOOT_SECONDS, Case, ensure_contains};
use crate::matrix_means::{clear, freeze, wait_dark, wait_reason, wait_state};
use crate::requeue::start_now;
use crate::warm::{has, staying_on};
use anyhow::{Result, ensure};

const SHOW_THP: &str = "cat /sys/kernel/mm/transparent_hugepage/enabled";

/// One hangs, and one is given to a job that is requeued while it is taken over: the next job boots all
/// the same. One that is reset while nobody has it is drained.
pub(crate) fn kept_nodes_die(case: &Case<'_>) -> Result<()> {
    staying_on(case, || {
        let submit = |number: usize, kernel: &str, script| {
            case.submit(&["-w", &format!("n{number}"), &format!("--bmc-kernel={kernel}")], script)
        };
        let first = |number| submit(number, "thp-off", "true");
        let others = [first(1)?, first(2)?];
        let (hangs, resets) = (case.node(1)?, case.node(3)?);
        let reset = first(3)?;
        // At once: it must be found dead before Slurm is to power it down as idle.
        wait_state(case, reset, &["kept"], BOOT_SECONDS)?;
        case.cluster.ipmitool(resets, &["chassis", "power", "reset"])?;
        others.into_iter().try_for_each(|job| case.wait(job, "COMPLETED", BOOT_SECONDS))?;
        freeze(case, hangs)?;
        let after = submit(1, "thp-off", SHOW_THP)?;
        let requeued = submit(2, "thp-always", SHOW_THP)?;
        wait_state(case, requeued, &["taking_over"], 30)?;
        case.cluster.check(&["scontrol", "requeue", &requeued.to_string()])?;
        start_now(case, requeued)?;
        case.wait(after, "COMPLETED", BOOT_SECONDS)?;
        ensure_contains(&case.output(after), "[never]")?;
        has(case, after, &["take_over", "power_on", "script_served"], &[])?;
        ensure!(case.field(after, "Restarts")? == "0", "{}", case.describe(after));
        case.wait(requeued, "COMPLETED", BOOT_SECONDS)?;
        ensure_contains(&case.output(requeued), "[always]")?;
        wait_reason(case, resets, "asked for its boot script again while it was idle", 90)?;
        wait_dark(case, resets, 60)?;
        clear(case, "n3", &["n3: 1 strike forgotten"])
    })
}
