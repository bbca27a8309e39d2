//! What Slurm reads: slurm.conf, the fragment it includes, plugstack.conf and cgroup.conf.

use super::{Derived, FRAGMENT, header};
use crate::network::nth_address;
use crate::site::{AfterJob, IDLE_SECONDS, NodeRange, Partition, Site, SlurmVersion};
use protocol::node_list;
use std::fmt::Write as _;

/// A year: the state machine of power saving is on, and the decision is never Slurm's own.
const SUSPEND_TIME_SECONDS: u32 = 365 * 24 * 3600;

/// The part of slurm.conf that is ours.
pub(super) fn fragment(site: &Site) -> String {
    let mut text = header(site, "slurm.conf of the bare-metal container partitions.");
    writeln!(
        text,
        "# In slurm.conf: `Include {FRAGMENT}`, without a directory, and this file beside it;"
    )
    .ok();
    text.push_str(
        "# otherwise slurmctld does not hand it on and slurmd on a booted node never starts.\n",
    );
    text.push_str(
        "# A setting that slurm.conf has already must be merged: the last one read wins.\n\n",
    );
    hooks(site, &mut text);
    power_saving(site, &mut text);
    text.push_str(
        "\n# A booted node gets its configuration from slurmctld, which runs RebootProgram itself.\n\
         SlurmctldParameters=enable_configless,power_save_interval=1,reboot_from_controller\n\
         # A kernel may show fewer CPUs than the node has (nosmt): the node is not INVAL for that.\n\
         SlurmdParameters=config_overrides\n\
         # A node that was rebooted for a job is not \"unexpectedly rebooted\".\n\
         ReturnToService=2\n\
         # The first launch on a fresh node reads everything for the first time.\n\
         BatchStartTimeout=60\n\
         # A job whose node failed to boot must be able to go elsewhere.\n\
         JobRequeue=1\n\n",
    );
    stay_on(site, &mut text);
    for range in &site.nodes {
        node_lines(range, &mut text);
    }
    text.push('\n');
    for partition in &site.partitions {
        partition_line(site.slurm.version, partition, &mut text);
    }
    text
}

fn hooks(site: &Site, text: &mut String) {
    let libexec = site.programs.libexec.display();
    let derived = Derived::of(&site.timeouts);
    // Writing to a String cannot fail.
    write!(
        text,
        "# The hooks. A site's own go into client.toml (site_prolog, site_epilog), which ours run.\n\
         PrologSlurmctld={libexec}/prolog\n\
         EpilogSlurmctld={libexec}/epilog\n\
         # Above prolog_timeout_seconds of client.toml ({} s), so that prolog can say why.\n\
         PrologEpilogTimeout={}\n\n",
        derived.prolog_timeout, derived.prolog_epilog_timeout
    )
    .ok();
}

fn power_saving(site: &Site, text: &mut String) {
    let libexec = site.programs.libexec.display();
    let derived = Derived::of(&site.timeouts);
    let limits = site.timeouts;
    let boot = limits.firmware_seconds + limits.boot_seconds + limits.register_seconds;
    write!(
        text,
        "# Power saving: Slurm says when, bootsrv does it and limits the rate.\n\
         ResumeProgram={libexec}/resume\n\
         SuspendProgram={libexec}/suspend\n\
         ResumeFailProgram={libexec}/resume-fail\n\
         RebootProgram={libexec}/reboot\n\
         ResumeRate=0\n\
         SuspendRate=0\n\
         # Above bootsrv's limits for a boot ({boot} s) and a power command ({} s).\n\
         ResumeTimeout={}\n\
         # Above a power command; bootsrv gives a node back as soon as it saw it off.\n\
         SuspendTimeout={}\n",
        limits.power_seconds, derived.resume_timeout, derived.suspend_timeout
    )
    .ok();
}

fn stay_on(site: &Site, text: &mut String) {
    if site.partitions.iter().all(|partition| partition.after_job == AfterJob::Off) {
        return;
    }
    writeln!(
        text,
        "# Above bootsrv's limits for a change of kernel, and for a boot after all: slurmctld does not hear of\n\
         # it, and takes a node that is silent for longer out of service.\n\
         SlurmdTimeout={}\n",
        Derived::of(&site.timeouts).slurmd_timeout
    )
    .ok();
}

fn node_lines(range: &NodeRange, text: &mut String) {
    let cores = range.cpus / range.sockets / range.threads_per_core;
    let features = match range.features.as_slice() {
        [] => String::new(),
        features => format!(" Features={}", features.join(",")),
    };
    let hardware = format!(
        "Sockets={} CoresPerSocket={cores} ThreadsPerCore={} RealMemory={}{features} State=UNKNOWN",
        range.sockets, range.threads_per_core, range.memory_mib
    );
    if let Some(addresses) = address_range(range) {
        writeln!(text, "NodeName={} NodeAddr={addresses} {hardware}", range.names).ok();
        return;
    }
    for (count, name) in node_list::expand(&range.names).unwrap_or_default().iter().enumerate() {
        if let Some(address) = nth_address(range.first_address, count) {
            writeln!(text, "NodeName={name} NodeAddr={address} {hardware}").ok();
        }
    }
}

/// `10.0.0.[11-14]`; `None` where the last byte would overflow, or the names are several lists,
/// which Slurm does not match with one range.
fn address_range(range: &NodeRange) -> Option<String> {
    let [a, b, c, first] = range.first_address.octets();
    let count = range.macs.len();
    let last = u8::try_from(usize::from(first) + count.checked_sub(1)?).ok()?;
    match count {
        1 => Some(range.first_address.to_string()),
        _ if range.names.matches('[').count() == 1 && range.names.ends_with(']') => {
            Some(format!("{a}.{b}.{c}.[{first}-{last}]"))
        }
        _ => None,
    }
}

fn partition_line(version: SlurmVersion, partition: &Partition, text: &mut String) {
    let default = if partition.default { " Default=YES" } else { "" };
    let power_down = match partition.after_job {
        AfterJob::Off if version >= SlurmVersion::POWER_DOWN_ON_IDLE => " PowerDownOnIdle=YES",
        AfterJob::Off | AfterJob::StayOn => "",
    };
    let suspend_time = match partition.after_job {
        AfterJob::Off => SUSPEND_TIME_SECONDS,
        AfterJob::StayOn => partition.idle_seconds.unwrap_or(IDLE_SECONDS),
    };
    writeln!(
        text,
        "PartitionName={} Nodes={}{default} OverSubscribe=EXCLUSIVE MaxTime={} \
         SuspendTime={suspend_time}{power_down} State=UP",
        partition.name, partition.nodes, partition.max_time
    )
    .ok();
}

/// Without it slurmctld refuses a job whose preference too few nodes meet.
const PREFERENCE: &str = ",ignore_prefer_validation";

/// Whether jobs are made to prefer nodes that stayed on.
pub(super) fn prefers(site: &Site) -> bool {
    site.server.prefer_warm != Some(false)
        && site.partitions.iter().any(|partition| partition.after_job == AfterJob::StayOn)
}

/// A complete slurm.conf around the fragment, for a cluster that has none yet.
pub(super) fn full(site: &Site) -> String {
    let slurm = &site.slurm;
    let (state, log) = (slurm.state_dir.display(), slurm.log_dir.display());
    let mut text = header(site, "slurm.conf.");
    let (preference, parameter) = if prefers(site) {
        (
            "# A job may prefer nodes that run what it asks for, whether or not there are any.\n",
            PREFERENCE,
        )
    } else {
        ("", "")
    };
    write!(
        text,
        "ClusterName={}\n\
         SlurmctldHost={}({})\n\
         SlurmctldPort={}\n\
         SlurmUser={}\n\
         AuthType=auth/munge\n\
         CredType=cred/munge\n\
         StateSaveLocation={state}\n\
         SlurmctldPidFile=/run/slurm/slurmctld.pid\n\
         SlurmctldLogFile={log}/slurmctld.log\n\
         SlurmdSpoolDir=/var/spool/slurmd\n\
         SlurmdPidFile=/run/slurmd.pid\n\
         SlurmdLogFile=/var/log/slurmd.log\n\
         PlugStackConfig=plugstack.conf\n\
         SelectType=select/cons_tres\n\
         SelectTypeParameters=CR_Core_Memory\n\
         ProctrackType=proctrack/cgroup\n\
         TaskPlugin=task/cgroup,task/affinity\n\
         JobAcctGatherType=jobacct_gather/cgroup\n\
         MpiDefault=none\n\
         # salloc returns when its nodes are up, not before.\n\
         {preference}\
         SchedulerParameters=salloc_wait_nodes,sbatch_wait_nodes{parameter}\n\
         \n\
         Include {FRAGMENT}\n",
        site.cluster, slurm.host, slurm.address, slurm.port, slurm.user
    )
    .ok();
    text
}

/// plugstack.conf. The line itself and no include: slurmctld hands this file to configless nodes,
/// but not what it includes (seen with 22.05).
pub(super) fn plugstack(site: &Site) -> String {
    let mut text = header(site, "SPANK plugins.");
    write!(
        text,
        "# `optional`: a plugin that cannot be loaded must not stop every job and drain nodes.\n\
         optional {}\n",
        site.programs.plugin
    )
    .ok();
    text
}

/// cgroup.conf.
pub(super) fn cgroup(site: &Site) -> String {
    header(site, "cgroup.conf, handed to the nodes by slurmctld.")
        + "# Node images without systemd: slurmd makes its cgroups itself and does not ask dbus.\n\
           IgnoreSystemd=yes\n\
           ConstrainCores=yes\n\
           ConstrainRAMSpace=yes\n"
}
