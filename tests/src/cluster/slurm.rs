//! Slurm's configuration for the virtual cluster: pure texts.
//! They are used only where the run directory has no slurm.conf of the caller's own.

use crate::cluster::layout::PROGRAM_DIR;
use crate::cluster::node::{HEAD_ADDRESS, HEAD_NAME, Hardware, Node};
use std::fmt::Write as _;

/// First line of the files that `up` may overwrite; a file without it is the caller's.
pub const GENERATED: &str = "# Written by `vcluster up`; without this line it is left alone.\n";
/// slurmctld's port.
pub const SLURMCTLD_PORT: u16 = 6817;

/// The memory that Slurm is told of, in MiB: what a small kernel leaves of the node's memory, with
/// room to spare (a node that shows less than this is refused).
#[must_use]
pub fn slurm_memory_mib(memory_mib: u32) -> u32 {
    (memory_mib * 3 / 4).max(64)
}

/// slurm.conf for the given nodes. Power saving is on, but with an idle time so long that only our
/// own programs ever decide.
#[must_use]
pub fn slurm_conf(nodes: &[(Node, Hardware)]) -> String {
    let mut text = format!(
        "{GENERATED}\
ClusterName=virtual
SlurmctldHost={HEAD_NAME}({HEAD_ADDRESS})
SlurmctldPort={SLURMCTLD_PORT}
SlurmdPort=6818
SlurmUser=slurm
AuthType=auth/munge
CredType=cred/munge
StateSaveLocation=/var/spool/slurmctld
SlurmctldPidFile=/run/slurm/slurmctld.pid
SlurmctldLogFile=/var/log/slurm/slurmctld.log
SlurmctldDebug=verbose
DebugFlags=Power
SlurmdSpoolDir=/var/spool/slurmd
SlurmdPidFile=/run/slurmd.pid
SlurmdLogFile=/var/log/slurmd.log
SlurmdParameters=config_overrides
SlurmctldParameters=enable_configless,power_save_interval=1
ProctrackType=proctrack/cgroup
TaskPlugin=task/cgroup,task/affinity
JobAcctGatherType=jobacct_gather/cgroup
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
SlurmdTimeout=120
InactiveLimit=0
KillWait=5
MessageTimeout=30
PrologSlurmctld={PROGRAM_DIR}/prolog
EpilogSlurmctld={PROGRAM_DIR}/epilog
PrologEpilogTimeout=1000
ResumeProgram={PROGRAM_DIR}/resume
SuspendProgram={PROGRAM_DIR}/suspend
ResumeFailProgram={PROGRAM_DIR}/resume-fail
ResumeTimeout=300
SuspendTimeout=60
ResumeRate=0
SuspendRate=0
SuspendTime=31536000
"
    );
    for (node, Hardware { memory_mib, threads, .. }) in nodes {
        let memory = slurm_memory_mib(*memory_mib);
        // Writing to a String cannot fail.
        writeln!(
            text,
            "NodeName={node} NodeAddr={} Sockets=1 CoresPerSocket=1 ThreadsPerCore={threads} \
             RealMemory={memory} State=UNKNOWN",
            node.address()
        )
        .ok();
    }
    text.push_str(
        "PartitionName=bmc Nodes=ALL Default=YES OverSubscribe=EXCLUSIVE MaxTime=INFINITE State=UP\n",
    );
    text
}

/// cgroup.conf; `IgnoreSystemd` because the nodes have none.
#[must_use]
pub fn cgroup_conf() -> String {
    format!(
        "{GENERATED}CgroupPlugin=autodetect\nIgnoreSystemd=yes\nConstrainCores=yes\nConstrainRAMSpace=yes\n"
    )
}

/// plugstack.conf. The plugin has no path, so that Slurm looks in its own plugin directory, on the
/// controller host and on the nodes alike (they get this file from slurmctld).
#[must_use]
pub fn plugstack_conf(has_plugin: bool) -> String {
    format!("{GENERATED}{}", if has_plugin { "optional spank_bmc.so\n" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_node_stands_with_its_own_hardware() {
        let nodes: Vec<_> = Node::first(2).map(|n| (n, Hardware::of(n, 2, 512))).collect();
        let text = slurm_conf(&nodes);
        assert!(text.starts_with(GENERATED));
        assert!(text.contains(
            "NodeName=n2 NodeAddr=10.77.0.12 Sockets=1 CoresPerSocket=1 ThreadsPerCore=2 \
             RealMemory=384 State=UNKNOWN\n"
        ));
        assert!(text.contains("ResumeProgram=/usr/libexec/bare-metal-container/resume\n"));
        assert!(!plugstack_conf(false).contains("spank"));
    }
}
