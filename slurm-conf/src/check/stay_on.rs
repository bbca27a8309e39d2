//! Partitions whose nodes stay on after a job.

use super::{Finding, Place};
use crate::live::LiveSite;
use crate::site::AfterJob;
use crate::slurm_file::Record;

/// Slurm's default of SlurmdTimeout.
const SLURMD_TIMEOUT_DEFAULT: u32 = 300;
/// From a day on nobody has meant it: an idle server uses tens of watts.
const IDLE_SECONDS_MAX: u32 = 24 * 3600;
/// The parameter without which slurmctld refuses a job whose preference too few nodes meet.
const FORGIVES: &str = "ignore_prefer_validation";
/// How long before its job bootsrv boots a node at the earliest.
const PREBOOT_SECONDS: u32 = 300;

/// Those of our partitions that bootsrv.toml says so of.
pub(super) fn partitions(site: &LiveSite) -> Vec<&Record> {
    let Some(bootsrv) = site.bootsrv.get() else { return Vec::new() };
    let stays = |name: &str| {
        let own = bootsrv.partitions.iter().find(|partition| partition.name == name);
        own.is_some_and(|partition| partition.after_job == AfterJob::StayOn)
    };
    site.our_partitions().filter(|record| stays(record.name())).collect()
}

pub(super) fn slurmd_timeout(site: &LiveSite) -> Vec<Finding> {
    let Some(bootsrv) = site.bootsrv.get() else { return Vec::new() };
    let key = "SlurmdTimeout";
    let value = site.number(key).unwrap_or(SLURMD_TIMEOUT_DEFAULT);
    let limit = bootsrv.limits.whole_take_over_seconds();
    // 0: never.
    if partitions(site).is_empty() || value == 0 || value > limit {
        return Vec::new();
    }
    let wrong = format!(
        "is {value}, not above the {limit} s for which a node that stays on may be silent between two jobs: \
         slurmctld sets it DOWN while it boots"
    );
    let instead = format!("{key}={}", limit.saturating_add(60));
    vec![Place::setting(site, key).error(key, wrong, instead)]
}

pub(super) fn idle_time(site: &LiveSite) -> Vec<Finding> {
    let mut findings = Vec::new();
    for partition in partitions(site) {
        let found = site.partition_value(partition, "SuspendTime");
        let found = found.or_else(|| site.slurm.get("SuspendTime"));
        let seconds = found.and_then(|setting| setting.value.parse::<u32>().ok());
        if seconds.is_some_and(|seconds| seconds < IDLE_SECONDS_MAX) {
            continue;
        }
        let place = found
            .or_else(|| partition.settings.first())
            .map_or_else(|| Place::file(&site.slurm_conf), Place::of);
        let wrong = format!(
            "does not end in partition {}: its nodes stay on (after_job), and idle ones are never powered off",
            partition.name()
        );
        let instead = "SuspendTime=600 on the PartitionName= line";
        findings.push(place.warning("SuspendTime", wrong, instead));
    }
    findings
}

pub(super) fn keeps_nodes_on(site: &LiveSite) -> Vec<Finding> {
    let mut findings = Vec::new();
    for partition in partitions(site) {
        let found = site.partition_value(partition, "PowerDownOnIdle");
        let Some(on) = found.filter(|setting| setting.value.eq_ignore_ascii_case("yes")) else {
            continue;
        };
        let wrong = format!(
            "powers the nodes of partition {} off after each job, which bootsrv keeps on (after_job)",
            partition.name()
        );
        findings.push(Place::of(on).error("PowerDownOnIdle", wrong, "PowerDownOnIdle=NO"));
    }
    findings
}

pub(super) fn preference(site: &LiveSite) -> Vec<Finding> {
    let Some(bootsrv) = site.bootsrv.get() else { return Vec::new() };
    let key = "SchedulerParameters";
    let value = site.slurm.get(key).map_or("", |setting| setting.value.as_str());
    let forgives = value.split(',').any(|word| word.eq_ignore_ascii_case(FORGIVES));
    if partitions(site).is_empty() || bootsrv.slurm.prefer_warm == Some(false) || forgives {
        return Vec::new();
    }
    let wrong = format!(
        "is without {FORGIVES}: jobs cannot be made to prefer nodes that run what they ask for, because \
         slurmctld would refuse them when there are none"
    );
    let comma = if value.is_empty() { "" } else { "," };
    let instead = format!("{key}={value}{comma}{FORGIVES}, or prefer_warm = false in bootsrv.toml");
    vec![Place::setting(site, key).warning(key, wrong, instead)]
}

pub(super) fn preboot_time(site: &LiveSite) -> Vec<Finding> {
    let Some(bootsrv) = site.bootsrv.get() else { return Vec::new() };
    let boots_ahead = |name: &str| {
        bootsrv.partitions.iter().any(|partition| partition.name == name && partition.preboot)
    };
    let mut findings = Vec::new();
    for partition in partitions(site) {
        let found = site.partition_value(partition, "SuspendTime");
        let Some(found) = found.or_else(|| site.slurm.get("SuspendTime")) else { continue };
        let seconds = found.value.parse::<u32>().ok();
        if !boots_ahead(partition.name())
            || seconds.is_none_or(|seconds| seconds >= PREBOOT_SECONDS)
        {
            continue;
        }
        let wrong = format!(
            "is below {PREBOOT_SECONDS} s in partition {}: a node that is booted ahead of its job (preboot) \
             may be powered down again before that starts",
            partition.name()
        );
        let instead = format!("SuspendTime={PREBOOT_SECONDS} or more");
        findings.push(Place::of(found).warning("SuspendTime", wrong, instead));
    }
    findings
}
