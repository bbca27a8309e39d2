//! The files themselves: can they be read, does each setting stand once, do nodes get them, and the
//! programs they name.

use super::{Finding, Place};
use crate::live::{LiveSite, TomlFile};
use crate::site::SlurmVersion;
use serde::de::DeserializeOwned;

/// Settings of ours that are single values: a second one silently replaces the first.
const SINGLE: &[&str] = &[
    "BatchStartTimeout",
    "JobRequeue",
    "PrologEpilogTimeout",
    "RebootProgram",
    "ResumeFailProgram",
    "ResumeProgram",
    "ResumeTimeout",
    "ReturnToService",
    "SlurmctldParameters",
    "SlurmdParameters",
    "SuspendProgram",
    "SuspendTime",
    "SuspendTimeout",
];

pub(super) fn readable(site: &LiveSite) -> Vec<Finding> {
    let refused = site.slurm.unreadable.iter().map(|unreadable| {
        let place = Place { file: unreadable.file.clone(), line: Some(unreadable.line) };
        place.error(
            "syntax",
            unreadable.text.clone(),
            "a line of Key=Value pairs, or a file that is there",
        )
    });
    let ours = [unreadable(&site.bootsrv), unreadable(&site.client)];
    refused.chain(ours.into_iter().flatten()).collect()
}

fn unreadable<T: DeserializeOwned>(file: &TomlFile<T>) -> Option<Finding> {
    let (line, reason) = file.content.as_ref().err()?;
    let name = file.name;
    let wrong = format!("cannot be used, and the rules about it were not looked at: {reason}");
    let place = Place { file: file.path.clone(), line: *line };
    Some(place.error(name, wrong, format!("the {name} that `slurm-conf generate` writes")))
}

pub(super) fn set_once(site: &LiveSite) -> Vec<Finding> {
    // Older versions keep one hook of several; with others the hooks' own rules are enough.
    let old = site.version.is_some_and(|version| version <= SlurmVersion::ONE_HOOK);
    let hooks: &[&str] = if old { &["PrologSlurmctld", "EpilogSlurmctld"] } else { &[] };
    let twice = |key: &&str| {
        let mut places = site.slurm.settings.iter().filter(|setting| setting.is(key));
        let (first, second) = (places.next()?, places.next()?);
        let wrong = format!(
            "was set before, at {}:{}: the last one read counts, the other is lost",
            first.file.display(),
            first.line
        );
        let instead = match key.strip_suffix("Slurmctld") {
            Some(hook) => format!(
                "one line {key}= with our program, the other as site_{} in client.toml",
                hook.to_ascii_lowercase()
            ),
            None => format!("one line {key}= with what both say"),
        };
        Some(Place::of(second).warning(key, wrong, instead))
    };
    SINGLE.iter().chain(hooks).filter_map(twice).collect()
}

pub(super) fn include_is_handed_on(site: &LiveSite) -> Vec<Finding> {
    if !site.is_configless() {
        return Vec::new();
    }
    let with_directory = site.slurm.includes.iter().filter(|include| include.path.contains('/'));
    let finding = |include: &crate::slurm_file::Include| {
        let place = Place { file: include.file.clone(), line: Some(include.line) };
        let name = include.path.rsplit('/').next().unwrap_or_default();
        place.error(
            "Include",
            "names a directory: slurmctld hands such a file to no configless node, and slurmd waits for it \
             until it gives up",
            format!("Include {name}, with the file beside slurm.conf"),
        )
    };
    with_directory.map(finding).collect()
}

/// What slurmd and slurmstepd start on a node, none of which slurmctld hands on.
const NODE_PROGRAMS: &[&str] =
    &["Prolog", "Epilog", "TaskProlog", "TaskEpilog", "HealthCheckProgram"];

pub(super) fn node_programs(site: &LiveSite) -> Vec<Finding> {
    let Some(bootsrv) = site.bootsrv.get() else { return Vec::new() };
    let is_sent = |path: &str| bootsrv.site_files.iter().any(|file| file.path == path);
    let finding = |key: &&str| {
        let found = site.slurm.get(key).filter(|found| !is_sent(&found.value))?;
        let path = &found.value;
        let wrong = format!(
            "is {path}, which is started on the nodes, and no [[site_file]] brings it there"
        );
        let instead = format!(
            "nothing if the node image has it; else a [[site_file]] with path = {path:?} and mode = \"0755\""
        );
        Some(Place::of(found).warning(key, wrong, instead))
    };
    NODE_PROGRAMS.iter().filter_map(finding).collect()
}
