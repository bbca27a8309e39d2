//! Programs that slurmctld starts: there, executable, and ours or calling ours.

use super::{Finding, Place};
use crate::live::{LiveSite, ProgramState};
use std::path::Path;

/// Where packages put the programs.
const LIBEXEC: &str = "/usr/libexec/bare-metal-container";

pub(super) fn prolog_slurmctld(site: &LiveSite) -> Vec<Finding> {
    program(
        site,
        "PrologSlurmctld",
        "prolog",
        "no job ever asks for its kernel, and none waits for its nodes",
    )
}

pub(super) fn epilog_slurmctld(site: &LiveSite) -> Vec<Finding> {
    program(
        site,
        "EpilogSlurmctld",
        "epilog",
        "a job's energy window is closed late, by its power-off",
    )
}

/// A setting that must name our program `name`, or a script that calls it; `breaks` says what does
/// not happen otherwise.
pub(super) fn program(site: &LiveSite, key: &str, name: &str, breaks: &str) -> Vec<Finding> {
    let instead = format!("{key}={LIBEXEC}/{name}");
    // Newer versions allow several lines for a hook: one of them must be ours.
    let settings: Vec<_> = site.slurm.settings.iter().filter(|setting| setting.is(key)).collect();
    let Some(last) = settings.last() else {
        return vec![Place::file(&site.slurm_conf).error(
            key,
            format!("is not set: {breaks}"),
            instead,
        )];
    };
    let problems: Vec<String> =
        settings.iter().filter_map(|setting| problem(site, &setting.value, name, breaks)).collect();
    if problems.len() < settings.len() {
        return Vec::new();
    }
    let wrong = problems.into_iter().last().unwrap_or_default();
    let hook = name == "prolog" || name == "epilog";
    let instead = match hook && wrong.contains("not ours") {
        true => format!("{instead}, and site_{name} = {:?} in client.toml", last.value),
        false => instead,
    };
    vec![Place::of(last).error(key, wrong, instead)]
}

fn problem(site: &LiveSite, value: &str, name: &str, breaks: &str) -> Option<String> {
    let path = Path::new(value);
    if !path.is_absolute() {
        return Some(format!(
            "{value} is no absolute path: slurmctld has no search path, {breaks}"
        ));
    }
    match (site.programs.state)(path) {
        ProgramState::Missing => Some(format!("{value} is not there: {breaks}")),
        ProgramState::NotExecutable => Some(format!("{value} may not be executed: {breaks}")),
        ProgramState::Executable if is_ours(site, path, name) => None,
        ProgramState::Executable => {
            Some(format!("{value} is not ours and does not call {LIBEXEC}/{name}: {breaks}"))
        }
    }
}

/// Ours: it has the name and its companions lie beside it. Or a script that calls one that is.
fn is_ours(site: &LiveSite, path: &Path, name: &str) -> bool {
    let companions = ["prolog", "epilog", "resume", "suspend"];
    let is_there = |companion: &&str| {
        (site.programs.state)(&path.with_file_name(companion)) != ProgramState::Missing
    };
    let direct =
        path.file_name().is_some_and(|file| file == name) && companions.iter().all(is_there);
    direct
        || (site.programs.script)(path).is_some_and(|text| {
            text.starts_with("#!") && text.contains(&format!("bare-metal-container/{name}"))
        })
}

pub(super) fn site_hooks(site: &LiveSite) -> Vec<Finding> {
    let Some(client) = site.client.get() else { return Vec::new() };
    let hooks = [("site_prolog", &client.site_prolog), ("site_epilog", &client.site_epilog)];
    let finding = |(key, program): (&str, &Option<std::path::PathBuf>)| {
        let program = program.as_ref()?;
        let wrong = match (site.programs.state)(program) {
            ProgramState::Executable => return None,
            ProgramState::NotExecutable => "may not be executed",
            ProgramState::Missing => "is not there",
        };
        let wrong =
            format!("{} {wrong}: every job in our partitions fails with it", program.display());
        Some(Place::client(site, key).error(key, wrong, "an executable file, or no such line"))
    };
    hooks.into_iter().filter_map(finding).collect()
}
