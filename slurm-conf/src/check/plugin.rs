//! What nodes and commands load: the SPANK plugin and cgroup.conf.

use super::{Finding, Place};
use crate::live::{LiveSite, ProgramState};
use std::path::{Path, PathBuf};

/// The plugin's file name.
const PLUGIN: &str = "spank_bmc.so";

pub(super) fn plugin(site: &LiveSite) -> Vec<Finding> {
    let instead = format!("optional {PLUGIN}");
    let place = Place::file(&site.plugstack_conf);
    let Some(lines) = &site.plugstack else {
        let wrong = "cannot be read: sbatch does not know --bmc-kernel";
        return vec![place.error(
            "plugstack.conf",
            wrong,
            format!("a file with the line `{instead}`"),
        )];
    };
    let ours = |plugin: &str| plugin.rsplit('/').next() == Some(PLUGIN);
    let Some(line) = lines.iter().find(|line| ours(&line.plugin)) else {
        let wrong = format!("has no line for {PLUGIN}: sbatch does not know --bmc-kernel");
        return vec![place.error("plugstack.conf", wrong, instead)];
    };
    let place = Place { file: line.file.clone(), line: Some(line.line) };
    let mut findings = Vec::new();
    if line.required {
        findings.push(place.clone().error(
            "plugstack.conf",
            "has `required`: after an update of Slurm every srun of the site fails, and nodes are drained",
            instead.clone(),
        ));
    }
    if let Some(path) = not_there(site, &line.plugin) {
        findings.push(place.clone().error(
            "plugstack.conf",
            format!("names {path}, which is not there: sbatch does not know --bmc-kernel"),
            format!("{instead}, with the file in Slurm's PluginDir"),
        ));
    }
    if line.is_included && site.is_configless() {
        findings.push(place.warning(
            "plugstack.conf",
            "is included: slurmctld does not hand it to the nodes, where application images need the plugin",
            format!("the line `{instead}` in {} itself", site.plugstack_conf.display()),
        ));
    }
    findings
}

/// Where the plugin should be and is not. Slurm's built-in PluginDir is not known here: a bare name
/// is looked for only where slurm.conf says where.
fn not_there(site: &LiveSite, plugin: &str) -> Option<String> {
    let places: Vec<PathBuf> = match site.slurm.get("PluginDir") {
        _ if plugin.starts_with('/') => vec![plugin.into()],
        Some(dirs) => dirs.value.split(':').map(|dir| Path::new(dir).join(plugin)).collect(),
        None => return None,
    };
    let is_missing = |place: &PathBuf| (site.programs.state)(place) == ProgramState::Missing;
    let texts: Vec<String> = places.iter().map(|place| place.display().to_string()).collect();
    places.iter().all(is_missing).then(|| texts.join(" or "))
}

pub(super) fn cgroup(site: &LiveSite) -> Vec<Finding> {
    let place = Place::file(&site.cgroup_conf);
    let found = site.cgroup.as_ref().and_then(|file| file.get("IgnoreSystemd"));
    let is_on = found.is_some_and(|setting| {
        ["yes", "true", "1"].iter().any(|word| setting.value.eq_ignore_ascii_case(word))
    });
    // With cgroup/v1 nothing is asked of systemd.
    let plugin = site.cgroup.as_ref().and_then(|file| file.get("CgroupPlugin"));
    if is_on || plugin.is_some_and(|setting| setting.value.eq_ignore_ascii_case("cgroup/v1")) {
        return Vec::new();
    }
    vec![found.map_or(place, Place::of).warning(
        "IgnoreSystemd",
        "is not set: in a node image without systemd slurmd waits for dbus and does not start",
        "IgnoreSystemd=yes",
    )]
}
