//! The kernel hub while jobs use it.

use crate::case::{BOOT_SECONDS, Case, ensure_refused};
use anyhow::Result;
use std::time::Duration;
use tests::product::{bmc, wait_until};

/// What a booting job, a running job or a profile needs is not removed; the refusal says who.
pub(crate) fn kernel_in_use_is_not_removed(case: &Case<'_>) -> Result<()> {
    let remove = |kernel: &str| bmc(case.cluster, &["kernel", "rm", kernel]);
    let node = case.node(1)?;
    let job = case.submit(&["-w", "n1", "--bmc-kernel=6.12-cloud"], "sleep 2; uname -r")?;
    let reason = format!("job {job}");
    wait_until(Duration::from_secs(60), "n1 has power", || Ok(!case.is_off(node)?))?;
    ensure_refused(&remove("6.12-cloud")?, &["6.12-cloud", &reason])?;
    ensure_refused(&remove("6.1-cloud")?, &["6.1-cloud", "profile"])?;
    case.wait(job, "RUNNING", BOOT_SECONDS)?;
    ensure_refused(&remove("6.12-cloud")?, &["6.12-cloud", &reason])?;
    case.wait(job, "COMPLETED", BOOT_SECONDS)
}
