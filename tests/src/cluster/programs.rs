//! Copies our programs into the run directory, where every user inside may execute them.

use crate::cluster::error::{ClusterError, Result, file};
use crate::cluster::layout::{PUBLIC_DIR, RunDir, make_dir, remove, set_access};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

/// What the cluster itself cannot do without.
const NEEDED: [&str; 8] = [
    "vcluster-init",
    "vcluster-chassis",
    "vcluster-power",
    "vcluster-serial",
    "vcluster-slow",
    "vcluster-scripted",
    "vcluster-wake",
    "slurm-conf",
];
/// What is used where it has been built.
const WANTED: [&str; 8] =
    ["bootsrv", "prolog", "resume", "reboot", "epilog", "suspend", "resume-fail", "bmc"];
/// Of a service that is started when somebody asks.
const ON_DEMAND: &str = "amt-fake";
/// The module without which no controller starts, and the plugin: as built, and as used.
const DCMI_MODULE: (&str, &str) = ("libdcmi_module.so", "dcmi_module.so");
const PLUGIN: (&str, &str) = ("libspank_bmc.so", "spank_bmc.so");

/// Copies all programs; gives a line for each that was not there.
pub(crate) fn copy(from: &Path, run: &RunDir) -> Result<Vec<String>> {
    let (bin, lib) = (run.programs(), run.join("lib"));
    make_dir(&bin, PUBLIC_DIR)?;
    make_dir(&lib, PUBLIC_DIR)?;
    for name in NEEDED {
        need(from, name, &bin.join(name))?;
    }
    need(from, DCMI_MODULE.0, &lib.join(DCMI_MODULE.1))?;
    copy_one(&from.join(ON_DEMAND), &bin.join(ON_DEMAND))?;
    python(from, run)?;
    let mut notes = Vec::new();
    let programs = WANTED.map(|name| (name, bin.join(name)));
    for (name, to) in programs.into_iter().chain([(PLUGIN.0, lib.join(PLUGIN.1))]) {
        if !copy_one(&from.join(name), &to)? {
            notes.push(format!("{name} is not built in {}: left out", from.display()));
        }
    }
    Ok(notes)
}

/// Its environment lies where `cargo xtask build` puts it; the services that want it fail without it.
fn python(from: &Path, run: &RunDir) -> Result<()> {
    let environment = from.parent().unwrap_or(from).join("assets/python");
    let link = run.join("python");
    remove(&link)?;
    symlink(environment, &link).map_err(file("make", &link))
}

fn need(from: &Path, name: &str, to: &Path) -> Result<()> {
    if copy_one(&from.join(name), to)? {
        return Ok(());
    }
    let what = format!("program directory {}", from.display());
    Err(ClusterError::BadOption { what, rule: format!("it has no {name}") })
}

/// Copies one file beside the old one and puts it in its place; gives whether it was there.
fn copy_one(from: &Path, to: &Path) -> Result<bool> {
    if !from.is_file() {
        remove(to)?;
        return Ok(false);
    }
    let fresh = to.with_extension("new");
    fs::copy(from, &fresh).map_err(file("copy", from))?;
    set_access(&fresh, PUBLIC_DIR)?;
    fs::rename(&fresh, to).map_err(file("write", to))?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_either_a_note_or_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let from = dir.path().join("from");
        fs::create_dir(&from).unwrap();
        let run = RunDir::new(&dir.path().join("run")).unwrap();
        assert!(copy(&from, &run).unwrap_err().to_string().ends_with("it has no vcluster-init"));
        for name in NEEDED.into_iter().chain([DCMI_MODULE.0, "prolog"]) {
            fs::write(from.join(name), name).unwrap();
        }
        assert_eq!(copy(&from, &run).unwrap().len(), WANTED.len());
        assert_eq!(fs::read_to_string(run.join("bin/prolog")).unwrap(), "prolog");
        assert_eq!(fs::read_to_string(run.join("lib/dcmi_module.so")).unwrap(), DCMI_MODULE.0);
    }
}
