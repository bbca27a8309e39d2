//! Failure matrix: baseboard controllers that refuse, ignore, lie, or are not there.

use crate::case::{BOOT_SECONDS, Case, ensure_contains};
use crate::matrix_means::{
    bootsrv_log, clear, ensure_unharmed, freeze, wait_dark, wait_reason, wait_state,
};
use anyhow::{Context, Result, ensure};
use std::time::Duration;
use tests::cluster::Fault;
use tests::product::wait_until;

/// Longest until a power command that shows no effect is given up: `power_seconds`, and a busy machine.
const GIVE_UP: u64 = 60;
/// Longest until a node that did not go off is tried again and seen off.
const SLOWLY: u64 = 150;
/// Longest until a node is off whose controller says so all the time.
const SILENT: u64 = 60;

/// Four nodes, four bad controllers. The nodes of three of them are given to no job, or to no further one,
/// each ends off, and an admin reads why. One only says off: the node's own word counts, and its job runs.
pub(crate) fn bad_controllers(case: &Case<'_>) -> Result<()> {
    let [refuses, ignores, lies, dies] =
        [case.node(1)?, case.node(2)?, case.node(3)?, case.node(4)?];
    case.cluster.fault(refuses, Fault::RefusePower)?;
    case.cluster.fault(ignores, Fault::IgnoreOff)?;
    case.cluster.fault(lies, Fault::SaysOff)?;
    let submit = |node: &str, script| case.submit(&["-w", node, "--requeue"], script);
    // It asks for its boot script before its controller is taken for one that ignores power-on.
    let believed = submit("n3", "hostname")?;
    wait_state(case, believed, &["booting", "starting", "registering", "ready"], 30)?;
    let jobs = [
        submit("n1", "true")?,
        submit("n2", "true")?,
        // It runs until its controller is dead.
        submit("n4", "while ! [ -e go ]; do sleep 0.2; done")?,
    ];
    // Its job is cancelled while its operating system cannot hear of it.
    wait_until(Duration::from_secs(60), "n2 has power", || Ok(case.cluster.is_on(ignores)))?;
    freeze(case, ignores)?;
    case.cluster.check(&["scancel", &jobs[1].to_string()])?;

    wait_reason(case, refuses, "cannot be powered on: ", GIVE_UP)?;
    wait_reason(case, ignores, "power does not go off", GIVE_UP)?;
    ensure!(case.cluster.is_on(ignores), "{ignores} went off: this case proves nothing");

    case.wait(believed, "COMPLETED", BOOT_SECONDS)?;
    ensure_unharmed(case, believed, &[lies])?;
    wait_dark(case, lies, SILENT).context("its controller says so all the time")?;
    let word = "n3: its controller says off while the node reports";
    ensure_contains(&bootsrv_log(case)?, word)?;

    case.wait(jobs[2], "RUNNING", BOOT_SECONDS)?;
    case.cluster.stop_service("controller-n4", "KILL")?;
    std::fs::write(case.cluster.dir().join("home/alice/go"), "")?;
    case.wait(jobs[2], "COMPLETED", 60)?;
    // Nobody can switch it, so its agent does.
    wait_dark(case, dies, 60)?;
    case.cluster.start_service("controller-n4")?;
    std::fs::remove_file(case.cluster.dir().join("home/alice/go"))?;

    for (node, fault) in [(refuses, Fault::None), (ignores, Fault::None), (lies, Fault::None)] {
        case.cluster.fault(node, fault)?;
    }
    wait_dark(case, ignores, SLOWLY).context("it is tried on and on")?;
    for job in jobs {
        case.cluster.run("root", &["scancel", &job.to_string()])?;
    }
    case.wait_all_off()?;
    for node in [refuses, ignores] {
        ensure!(case.slurm_node(node)?.contains("DRAIN"), "{node} may be used again by itself");
    }
    clear(case, "n[1-4]", &["n1: 1 strike forgotten"])?;
    ensure_unharmed(case, believed, &[lies])
}
