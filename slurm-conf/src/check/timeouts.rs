//! Times, all in seconds: the program that knows the reason must be the one that gives up first.

use super::{Finding, Place};
use crate::live::LiveSite;
use crate::site::SlurmVersion;

/// Slurm's default of ResumeTimeout.
const RESUME_TIMEOUT_DEFAULT: u32 = 60;
/// Slurm's default of SuspendTimeout.
const SUSPEND_TIMEOUT_DEFAULT: u32 = 30;
/// Slurm's default of BatchStartTimeout.
const BATCH_START_TIMEOUT_DEFAULT: u32 = 10;
/// A fresh node reads slurmd, the shell and the user's files over the network first.
const BATCH_START_TIMEOUT_MIN: u32 = 30;
/// Slurm's default of MessageTimeout.
const MESSAGE_TIMEOUT_DEFAULT: u32 = 10;
/// Slurm's default of UnkillableStepTimeout.
const UNKILLABLE_STEP_TIMEOUT_DEFAULT: u32 = 60;
/// From this version on a PrologTimeout stands for PrologEpilogTimeout.
const PROLOG_TIMEOUT: SlurmVersion = SlurmVersion { year: 25, month: 5 };

pub(super) fn prolog_epilog_timeout(site: &LiveSite) -> Vec<Finding> {
    let split = site.version.is_some_and(|version| version >= PROLOG_TIMEOUT);
    let key = match split && site.slurm.get("PrologTimeout").is_some() {
        true => "PrologTimeout",
        false => "PrologEpilogTimeout",
    };
    let client = site.client.get().map(|client| client.prolog_timeout_seconds);
    let instead = format!("{key}={}", client.unwrap_or(900).saturating_add(60));
    let place = Place::setting(site, key);
    match (site.number(key), client) {
        (None | Some(0), _) => {
            let wrong = "is not set: a prolog that hangs keeps its job and its nodes for ever";
            vec![place.error(key, wrong, instead)]
        }
        (Some(limit), Some(client)) if limit <= client => {
            let wrong = format!(
                "is {limit}, not above prolog_timeout_seconds = {client} of client.toml: slurmctld ends \
                 prolog before it can say why a job does not start"
            );
            vec![place.error(key, wrong, instead)]
        }
        _ => Vec::new(),
    }
}

pub(super) fn prolog_timeout(site: &LiveSite) -> Vec<Finding> {
    let (Some(client), Some(bootsrv)) = (site.client.get(), site.bootsrv.get()) else {
        return Vec::new();
    };
    let start = bootsrv.whole_start_seconds();
    if client.prolog_timeout_seconds > start {
        return Vec::new();
    }
    let wrong = format!(
        "is {}, not above bootsrv's limits for a boot and an application image, {start} together: prolog \
         gives nodes up that are still on their way",
        client.prolog_timeout_seconds
    );
    let key = "prolog_timeout_seconds";
    vec![Place::client(site, key).error(
        key,
        wrong,
        format!("{key} = {}", start.saturating_add(60)),
    )]
}

pub(super) fn resume_timeout(site: &LiveSite) -> Vec<Finding> {
    let Some(bootsrv) = site.bootsrv.get() else { return Vec::new() };
    let boot = bootsrv.limits.whole_boot_seconds();
    let wrong = |value: u32| {
        format!(
            "is {value}, not above bootsrv's limits for a boot, {boot} together: Slurm sets a node DOWN \
             that is still booting and requeues its job"
        )
    };
    outlasts(site, "ResumeTimeout", RESUME_TIMEOUT_DEFAULT, boot, wrong)
}

pub(super) fn suspend_timeout(site: &LiveSite) -> Vec<Finding> {
    let Some(bootsrv) = site.bootsrv.get() else { return Vec::new() };
    let power = bootsrv.limits.power_seconds;
    let wrong = |value: u32| {
        format!(
            "is {value}, not above bootsrv's power_seconds = {power}: Slurm gives a node to the next job \
             before it is off"
        )
    };
    outlasts(site, "SuspendTimeout", SUSPEND_TIMEOUT_DEFAULT, power, wrong)
}

/// A timeout, in general and where one of our partitions has its own, must be above `limit`.
fn outlasts(
    site: &LiveSite,
    key: &str,
    default: u32,
    limit: u32,
    wrong: impl Fn(u32) -> String,
) -> Vec<Finding> {
    let instead = format!("{key}={}", limit.saturating_add(120));
    let mut findings = Vec::new();
    let mut has_general = false;
    for partition in site.our_partitions() {
        match site.partition_value(partition, key) {
            None => has_general = true,
            Some(setting) => {
                if let Ok(value) = setting.value.parse::<u32>()
                    && value <= limit
                {
                    findings.push(Place::of(setting).error(key, wrong(value), instead.clone()));
                }
            }
        }
    }
    let general = match site.slurm.get(key) {
        None => Some(default),
        // INFINITE outlasts everything.
        Some(_) => site.number(key),
    };
    if let Some(value) = general.filter(|value| has_general && *value <= limit) {
        findings.push(Place::setting(site, key).error(key, wrong(value), instead));
    }
    findings
}

pub(super) fn batch_start_timeout(site: &LiveSite) -> Vec<Finding> {
    let key = "BatchStartTimeout";
    let value = site.number(key).unwrap_or(BATCH_START_TIMEOUT_DEFAULT);
    if value >= BATCH_START_TIMEOUT_MIN {
        return Vec::new();
    }
    let wrong = format!(
        "is {value}: a node just booted reads everything for the first time, and a job it is about to \
         start may be taken for lost"
    );
    vec![Place::setting(site, key).warning(key, wrong, format!("{key}=60"))]
}

pub(super) fn message_timeout(site: &LiveSite) -> Vec<Finding> {
    let key = "MessageTimeout";
    let Some(value) = site.number(key).filter(|value| *value < MESSAGE_TIMEOUT_DEFAULT) else {
        return Vec::new();
    };
    let wrong =
        format!("is {value}: nodes that register together after a large boot are taken for silent");
    vec![Place::setting(site, key).warning(
        key,
        wrong,
        format!("{key}={MESSAGE_TIMEOUT_DEFAULT} or more"),
    )]
}

pub(super) fn unkillable_step_timeout(site: &LiveSite) -> Vec<Finding> {
    let key = "UnkillableStepTimeout";
    let message = site.number("MessageTimeout").unwrap_or(MESSAGE_TIMEOUT_DEFAULT);
    let value = site.number(key).unwrap_or(UNKILLABLE_STEP_TIMEOUT_DEFAULT);
    let least = message.saturating_mul(5);
    if value >= least {
        return Vec::new();
    }
    let wrong =
        format!("is {value}, below five times MessageTimeout: a slow end of a job drains its node");
    vec![Place::setting(site, key).warning(key, wrong, format!("{key}={least}"))]
}
