//! Power saving: on, with our programs, and never by Slurm's own decision.

use super::hooks::program;
use super::{Finding, Place, Severity, stay_on};
use crate::live::LiveSite;
use crate::site::SlurmVersion;
use crate::slurm_file::{Record, Setting};

/// Below a day Slurm would power idle nodes off by itself.
const SUSPEND_TIME_SECONDS_MIN: u32 = 24 * 3600;

pub(super) fn resume_program(site: &LiveSite) -> Vec<Finding> {
    program(
        site,
        "ResumeProgram",
        "resume",
        "nodes are never powered on, and power saving stays off",
    )
}

pub(super) fn suspend_program(site: &LiveSite) -> Vec<Finding> {
    program(
        site,
        "SuspendProgram",
        "suspend",
        "nodes are never powered off, and power saving stays off",
    )
}

pub(super) fn resume_fail_program(site: &LiveSite) -> Vec<Finding> {
    program(
        site,
        "ResumeFailProgram",
        "resume-fail",
        "bootsrv does not hear that Slurm gave a boot up, and the node stays on",
    )
}

/// Warnings: nothing else needs it.
pub(super) fn reboot_program(site: &LiveSite) -> Vec<Finding> {
    let breaks = "`scontrol reboot` does not boot the default kernel anew";
    let mut findings = program(site, "RebootProgram", "reboot", breaks);
    findings.iter_mut().for_each(|finding| finding.severity = Severity::Warning);
    let key = "SlurmctldParameters";
    if !site.has_word(key, "reboot_from_controller") {
        let wrong = format!(
            "has no reboot_from_controller: slurmd looks for our program on the node, {breaks}"
        );
        let instead = "the list with reboot_from_controller";
        findings.push(Place::setting(site, key).warning(key, wrong, instead));
    }
    findings
}

pub(super) fn suspend_time(site: &LiveSite) -> Vec<Finding> {
    let of_partitions = site.slurm.partitions.iter().filter_map(|record| record.get("SuspendTime"));
    let staying = stay_on::partitions(site);
    let is_meant = |setting: &Setting| {
        let own = |partition: &&Record| {
            partition.get("SuspendTime").is_some_and(|own| std::ptr::eq(own, setting))
        };
        staying.iter().any(own)
    };
    let all: Vec<_> = site.slurm.get("SuspendTime").into_iter().chain(of_partitions).collect();
    // INFINITE and -1 are no numbers.
    let finite = |value: &str| value.parse::<u32>().ok();
    if !all.iter().any(|setting| finite(&setting.value).is_some()) {
        return vec![Place::setting(site, "SuspendTime").error(
            "SuspendTime",
            "is finite nowhere: power saving is off, and scontrol refuses power_down for every node",
            "SuspendTime=31536000 on the PartitionName= line",
        )];
    }
    let short = all.into_iter().filter(|setting| {
        finite(&setting.value).is_some_and(|seconds| seconds < SUSPEND_TIME_SECONDS_MIN)
            && !is_meant(setting)
    });
    let finding = |setting| {
        Place::of(setting).warning(
            "SuspendTime",
            "is short: Slurm powers idle nodes off by itself, among them those an admin booted to look at",
            "SuspendTime=31536000",
        )
    };
    short.map(finding).collect()
}

/// Slurm's default of ResumeRate, nodes a minute.
const RESUME_RATE_DEFAULT: u32 = 300;
/// Slurm's default of SuspendRate, nodes a minute.
const SUSPEND_RATE_DEFAULT: u32 = 60;

pub(super) fn power_rates(site: &LiveSite) -> Vec<Finding> {
    let rates = [("ResumeRate", RESUME_RATE_DEFAULT), ("SuspendRate", SUSPEND_RATE_DEFAULT)];
    let finding = |(key, default): (&str, u32)| {
        let rate = site.number(key).unwrap_or(default);
        let wrong = format!(
            "is {rate} nodes a minute: a large job waits for Slurm, though bootsrv limits power-ons itself"
        );
        (rate != 0).then(|| Place::setting(site, key).warning(key, wrong, format!("{key}=0")))
    };
    rates.into_iter().filter_map(finding).collect()
}

pub(super) fn suspend_exclusions(site: &LiveSite) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(excluded) = site.slurm.get("SuspendExcParts")
        && let Some(name) =
            site.our_names().into_iter().find(|name| site.has_word("SuspendExcParts", name))
    {
        let wrong =
            format!("keeps {name} out of power saving: its nodes are neither powered off nor on");
        findings.push(Place::of(excluded).error(
            "SuspendExcParts",
            wrong,
            format!("the list without {name}"),
        ));
    }
    if let Some(excluded) = site.slurm.get("SuspendExcNodes") {
        // A list may end in `:COUNT`, the number of nodes kept on.
        let list = excluded.value.split(':').next().unwrap_or_default();
        let ours = site.our_nodes();
        if let Some(node) = crate::live::expanded(list).iter().find(|node| ours.contains(node)) {
            let wrong =
                format!("keeps {node} out of power saving: it is neither powered off nor on");
            findings.push(Place::of(excluded).error(
                "SuspendExcNodes",
                wrong,
                "the list without our nodes",
            ));
        }
    }
    findings
}

pub(super) fn power_down_on_idle(site: &LiveSite) -> Vec<Finding> {
    let Some(version) = site.version else { return Vec::new() };
    let first = SlurmVersion::POWER_DOWN_ON_IDLE;
    let mut findings = Vec::new();
    let staying = stay_on::partitions(site);
    let powers_off =
        |partition: &&Record| !staying.iter().any(|one| std::ptr::eq(*one, *partition));
    for partition in site.our_partitions().filter(powers_off) {
        let found = site.partition_value(partition, "PowerDownOnIdle");
        let is_on = found.is_some_and(|setting| setting.value.eq_ignore_ascii_case("yes"));
        if let Some(setting) = found.filter(|_| version < first) {
            findings.push(Place::of(setting).error(
                "PowerDownOnIdle",
                format!("is not known to Slurm {version}: slurmctld does not start"),
                "nothing: prolog marks the nodes with power_down_asap",
            ));
        } else if !is_on && version >= first {
            let place =
                partition.settings.first().map_or_else(|| Place::file(&site.slurm_conf), Place::of);
            findings.push(place.warning(
                "PowerDownOnIdle",
                format!(
                    "is not on in partition {}: only prolog's power_down_asap, which a crash of prolog \
                     can leave out, keeps the next job from a node with the wrong kernel",
                    partition.name()
                ),
                "PowerDownOnIdle=YES on the PartitionName= line",
            ));
        }
    }
    findings
}

pub(super) fn idle_on_node_suspend(site: &LiveSite) -> Vec<Finding> {
    if !site.has_word("SlurmctldParameters", "idle_on_node_suspend") {
        return Vec::new();
    }
    vec![Place::setting(site, "SlurmctldParameters").warning(
        "SlurmctldParameters",
        "has idle_on_node_suspend: a node that was drained for a fault is idle again after it was powered off",
        "the list without idle_on_node_suspend",
    )]
}
