//! The slurm.conf that a site has before it knows of us, as a pure text: what is ours it includes.

use crate::cluster::node::{HEAD_ADDRESS, HEAD_NAME};

/// First line of the files that `up` may overwrite; a file without it is the caller's.
pub const GENERATED: &str = "# Written by `vcluster up`; without this line it is left alone.\n";

/// The memory that Slurm is told of, in MiB: what a small kernel leaves of the node's memory, with
/// room to spare (a node that shows less than this is refused).
#[must_use]
pub fn slurm_memory_mib(memory_mib: u32) -> u32 {
    (memory_mib * 3 / 4).max(64)
}

/// The site's slurm.conf: who slurmctld is, where its files are, how jobs are confined. It has no
/// node, no partition and no hook: those come from `slurm-conf generate`.
#[must_use]
pub fn slurm_conf() -> String {
    format!(
        "{GENERATED}\
ClusterName={CLUSTER_NAME}
SlurmctldHost={HEAD_NAME}({HEAD_ADDRESS})
SlurmUser=slurm
AuthType=auth/munge
CredType=cred/munge
StateSaveLocation=/var/spool/slurmctld
SlurmctldPidFile=/run/slurm/slurmctld.pid
SlurmctldLogFile=/var/log/slurm/slurmctld.log
SlurmctldDebug=verbose
SlurmdSpoolDir=/var/spool/slurmd
SlurmdPidFile=/run/slurmd.pid
SlurmdLogFile=/var/log/slurmd.log
ProctrackType=proctrack/cgroup
TaskPlugin=task/cgroup,task/affinity
JobAcctGatherType=jobacct_gather/cgroup
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
MpiDefault=none
LaunchParameters=use_interactive_step

# Only for the virtual cluster: emulated nodes answer late, and tests do not wait for stubborn jobs.
MessageTimeout=30
UnkillableStepTimeout=150
SlurmdTimeout=120
KillWait=5
# Heterogeneous jobs are started by the backfill scheduler, each half minute by default.
SchedulerParameters=bf_interval=2

Include bare-metal-container.conf
"
    )
}

/// The cluster's name.
pub const CLUSTER_NAME: &str = "virtual";
