//! Failure matrix: nodes that boot, and are not what they have to be.

use crate::case::{Case, ensure_contains};
use crate::matrix_means::{clear, wait_dark, wait_reason};
use anyhow::{Result, ensure};
use std::fs;

/// Found by the image's init before the real program, on each node: n1 has something that is called
/// slurmd and does not register, n2 no slurmd at all.
const WRAPPER: &str = "#!/bin/sh
case $(cat /proc/sys/kernel/hostname) in
n1) cp /usr/bin/sleep /run/slurmd; /run/slurmd 600 & sleep 600 ;;
n2) sleep 600 ;;
esac
exec /usr/bin/setpriv \"$@\"
";

/// slurmd that does not register, slurmd that does not start, memory or a CPU that is gone: each node is
/// drained with its own reason, and goes off. Once cleared, each gets jobs again, also from a slurmctld
/// that was reconfigured meanwhile.
pub(crate) fn booted_but_wrong(case: &Case<'_>) -> Result<()> {
    let source = case.cluster.dir().join("etc/site/setpriv");
    fs::write(&source, WRAPPER)?;
    let add = |config: &str| {
        format!(
            "{config}\n[[site_file]]\npath = \"/usr/sbin/setpriv\"\n\
             source = \"/etc/bare-metal-container/site/setpriv\"\nmode = \"0755\"\n"
        )
    };
    let less = |hardware: &str| hardware.replace("\"threads\":2", "\"threads\":1");
    let result = case.with_changed("etc/bootsrv.toml", add, || {
        case.restart_bootsrv()?;
        case.with_changed("nodes/n3/hardware.json", less_memory, || {
            case.with_changed("nodes/n4/hardware.json", less, || fail_all(case))
        })
    });
    fs::remove_file(source)?;
    case.restart_bootsrv()?;
    result?;
    clear(case, "n[1-4]", &["n1: 1 strike", "n2: 1 strike", "n3: 1 strike", "n4: 1 strike"])?;
    case.wait_silence_forgotten()?;
    case.cluster.check(&["scontrol", "reconfigure"])?;
    case.run(&["-w", "n[1-2]", "-N2"], "true").map(drop)
}

/// As after a memory module has failed.
fn less_memory(hardware: &str) -> String {
    let mut hardware: serde_json::Value = serde_json::from_str(hardware).unwrap_or_default();
    if let Some(mib) = hardware.get_mut("memory_mib") {
        *mib = (mib.as_u64().unwrap_or_default() * 2 / 3).into();
    }
    hardware.to_string()
}

fn fail_all(case: &Case<'_>) -> Result<()> {
    let wanted = [
        (1, "runs slurmd, but slurmctld did not see it register within 20 s"),
        (2, "booted, but slurmd did not start within 40 s"),
        (3, "kernel 6.1-cloud: "),
        (4, "kernel 6.1-cloud: 1 CPUs are on-line, it leaves 2"),
    ];
    let submit = |(number, _): &(usize, &str)| case.submit(&["-w", &format!("n{number}")], "true");
    let jobs = wanted.iter().map(submit).collect::<Result<Vec<_>>>()?;
    for ((number, reason), job) in wanted.into_iter().zip(jobs) {
        let node = case.node(number)?;
        let reason = wait_reason(case, node, reason, 150)?;
        ensure_contains(&reason, "(strike 1)")?;
        let is_memory = reason.contains(" MiB of memory are there, the node has ");
        ensure!(is_memory == (number == 3), "{reason}");
        wait_dark(case, node, 60)?;
        // It waits for its node, and was never started.
        ensure!(case.output(job).is_empty() && case.field(job, "JobState")? == "PENDING", "{job}");
        case.cluster.check(&["scancel", &job.to_string()])?;
    }
    Ok(())
}
