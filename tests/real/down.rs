//! The end of the cluster: what `down` leaves on the machine, and what a next life finds.

use crate::case::{Case, ensure_contains};
use anyhow::{Context, Result, ensure};
use tests::cluster::holder::Holder;
use tests::cluster::layout::RunDir;
use tests::cluster::{Cluster, Options};
use tests::process;
use tests::product::{self, Assets};

/// Namespaces that the cluster has of its own.
const KINDS: [&str; 5] = ["net", "pid", "mnt", "uts", "ipc"];
/// Some of the programs that are inside while it is up.
const INSIDE: [&str; 6] =
    ["vcluster-init", "munged", "slurmctld", "bootsrv", "ipmi_sim", "dnsmasq"];

/// A second life in the same directory has what the first one imported, and runs a job.
pub(crate) fn and_up_again(cluster: Cluster, options: Options, assets: &Assets) -> Result<Cluster> {
    cluster.down()?;
    let cluster = product::up(options, assets)?;
    let case = Case::new(&cluster);
    ensure_contains(&case.run(&["--bmc-kernel=thp-off"], "uname -n")?, "n")?;
    case.tidy()?;
    Ok(cluster)
}

/// `down` leaves no process in any of the cluster's namespaces, none that names its directory, and
/// no mount; what it wrote is in one directory. After a failure that is kept.
pub(crate) fn leaves_nothing(cluster: Cluster, failed: usize) -> Result<bool> {
    let dir = cluster.dir().to_owned();
    let holder = Holder::find(&RunDir::new(&dir)?).context("the cluster has no process 1")?;
    let namespaces = KINDS.map(|kind| process::namespace(holder.init_pid(), kind));
    let inside = || -> Vec<String> {
        let is_inside = |pid: &u32| {
            KINDS.iter().zip(&namespaces).any(|(kind, cluster)| {
                cluster.is_some() && process::namespace(*pid, kind) == *cluster
            })
        };
        let shown = |pid| format!("process {pid}: {}", process::arguments(pid).join(" "));
        process::all().into_iter().filter(is_inside).map(shown).collect()
    };
    // The same look finds them all while they are there.
    let before = inside();
    for name in INSIDE {
        ensure!(before.iter().any(|line| line.contains(name)), "{name} is not seen: {before:?}");
    }
    cluster.down()?;
    let mut left = inside();
    let mark = dir.to_string_lossy().into_owned();
    for pid in process::all().into_iter().filter(|pid| *pid != std::process::id()) {
        let arguments = process::arguments(pid).join(" ");
        if arguments.contains(&mark) {
            left.push(format!("process {pid}: {arguments}"));
        }
    }
    let mounts = std::fs::read_to_string("/proc/self/mounts")?;
    left.extend(mounts.lines().filter(|line| line.contains(&mark)).map(String::from));
    for line in &left {
        println!("FAILED  down_leaves_nothing: {line}");
    }
    if failed == 0 && left.is_empty() {
        println!("ok      down_leaves_nothing");
        std::fs::remove_dir_all(&dir)?;
    } else {
        println!("kept: {}", dir.display());
    }
    Ok(left.is_empty())
}
