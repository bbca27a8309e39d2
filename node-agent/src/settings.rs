//! Applies the kernel settings of the plan, in its order, reads each back, and once more when the
//! image's init has done its work.
//!
//! The first line that the kernel refuses ends the boot: a job must not run on a node that is not
//! what it asked for.

use crate::modules::{Modules, Present};
use crate::setting_path::{expand, sysctl};
use protocol::boot::{AppliedSetting, Setting};
use std::fs::{self, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

/// Shown for a module that is part of the kernel.
const BUILTIN: &str = "builtin";
/// Longest value read back, in bytes.
const VALUE_BYTES_MAX: u64 = 4096;

/// A line of the profile that the kernel refused.
#[derive(Debug, thiserror::Error)]
#[error("the kernel refused the setting {line}: {cause}")]
pub(crate) struct SettingRefused {
    line: String,
    cause: String,
}

/// Applies all; the answer is what the kernel showed afterwards.
pub(crate) fn apply(
    settings: &[Setting],
    modules: &Modules,
) -> Result<Vec<AppliedSetting>, SettingRefused> {
    let mut applied = Vec::new();
    for setting in settings {
        let refused = |cause: String| SettingRefused { line: line(setting), cause };
        let files = match setting {
            Setting::Module(name) => {
                let present = modules.load(name).map_err(|error| refused(error.to_string()))?;
                applied.push(module_shown(name, present));
                continue;
            }
            Setting::Sysfs { path, value } => {
                let files = expand(Path::new("/sys"), path);
                write_all(files.map_err(|error| refused(error.to_string()))?, value)
            }
            Setting::Sysctl { key, value } => {
                let file = sysctl(key).map_err(|error| refused(error.to_string()))?;
                write_all(vec![file], value)
            }
            Setting::CpuOffline(cpu) => {
                write_all(vec![format!("/sys/devices/system/cpu/cpu{cpu}/online").into()], "0")
            }
        };
        applied.extend(files.map_err(refused)?.iter().map(|file| shown(file)));
    }
    Ok(applied)
}

/// The setting as an admin wrote it, for a message.
fn line(setting: &Setting) -> String {
    match setting {
        Setting::Module(name) => format!("module {name}"),
        Setting::Sysfs { path, value } => format!("sysfs {path} = {value}"),
        Setting::Sysctl { key, value } => format!("sysctl {key} = {value}"),
        Setting::CpuOffline(cpu) => format!("cpu {cpu} off-line"),
    }
}

/// Writes a value to each file in one write(2), as the kernel wants it; hands the files back.
fn write_all(files: Vec<PathBuf>, value: &str) -> Result<Vec<PathBuf>, String> {
    for file in &files {
        let written = OpenOptions::new().write(true).open(file).and_then(|mut to| {
            match to.write(value.as_bytes())? {
                n if n == value.len() => Ok(()),
                n => Err(io::Error::other(format!("only {n} bytes of the value were taken"))),
            }
        });
        written.map_err(|error| format!("{}: {error}", file.display()))?;
    }
    Ok(files)
}

fn shown(file: &Path) -> AppliedSetting {
    let mut value = String::new();
    let read =
        fs::File::open(file).and_then(|f| f.take(VALUE_BYTES_MAX).read_to_string(&mut value));
    let value = match read {
        Ok(_) => value.trim_end_matches('\n').to_owned(),
        // Some files can only be written; then there is no value to report, and this says so.
        Err(error) => format!("unreadable: {error}"),
    };
    AppliedSetting { name: file.display().to_string(), value }
}

fn module_shown(name: &str, present: Present) -> AppliedSetting {
    let state = Path::new("/sys/module").join(name.replace('-', "_")).join("initstate");
    let value = match (present, fs::read_to_string(state)) {
        (Present::Builtin, _) => BUILTIN.to_owned(),
        (Present::Loaded, Ok(state)) => state.trim().to_owned(),
        // Asked for by an alias: the module has another name.
        (Present::Loaded, Err(_)) => "loaded".to_owned(),
    };
    AppliedSetting { name: format!("module {name}"), value }
}

/// A setting that the node image has changed after it was applied.
#[derive(Debug, thiserror::Error)]
#[error("the node image changed the setting {name}: it was {before:?}, and is {now:?}")]
pub(crate) struct SettingChanged {
    name: String,
    before: String,
    now: String,
}

/// Reads again what was applied: the image's init comes after it, and may have settings of its own.
/// What the kernel shows now must be what it showed then, letter by letter: how it spells a value is
/// its own affair. An entry that is gone says nothing: its device was renamed.
pub(crate) fn still_applied(applied: &[AppliedSetting]) -> Result<(), SettingChanged> {
    for before in applied {
        let now = match before.name.strip_prefix("module ") {
            Some(name) if before.value == BUILTIN => module_shown(name, Present::Builtin),
            Some(name) => module_shown(name, Present::Loaded),
            None if !Path::new(&before.name).exists() => continue,
            None => shown(Path::new(&before.name)),
        };
        if now != *before {
            let AppliedSetting { name, value: before } = before.clone();
            return Err(SettingChanged { name, before, now: now.value });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_image_changes_is_found() {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str| directory.path().join(name);
        for name in ["enabled", "swappiness", "renamed"] {
            fs::write(file(name), "always madvise [never]\n").unwrap();
        }
        let applied: Vec<_> =
            ["enabled", "swappiness", "renamed"].iter().map(|name| shown(&file(name))).collect();
        fs::remove_file(file("renamed")).unwrap();
        still_applied(&applied).unwrap();
        fs::write(file("swappiness"), "60\n").unwrap();
        let text = still_applied(&applied).unwrap_err().to_string();
        let name = file("swappiness").display().to_string();
        assert_eq!(
            text,
            format!(
                "the node image changed the setting {name}: it was \"always madvise [never]\", and \
                 is \"60\""
            )
        );
    }

    #[test]
    fn a_module_that_was_removed_is_found() {
        let module =
            |value: &str| AppliedSetting { name: "module no-such".into(), value: value.into() };
        still_applied(&[module(BUILTIN)]).unwrap();
        assert!(still_applied(&[module("live")]).is_err());
        // Known by an alias only: it cannot be looked for.
        still_applied(&[module("loaded")]).unwrap();
    }

    #[test]
    fn values_are_written_and_read_back() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("enabled");
        fs::write(&file, "").unwrap();
        let files = write_all(vec![file.clone()], "always madvise [never]").unwrap();
        let expected = AppliedSetting {
            name: file.display().to_string(),
            value: "always madvise [never]".into(),
        };
        assert_eq!(shown(&files[0]), expected);
    }

    #[test]
    fn a_refusal_names_the_line_and_the_cause() {
        let missing = Path::new("/nonexistent/enabled").to_owned();
        let cause = write_all(vec![missing], "1").unwrap_err();
        assert_eq!(cause, "/nonexistent/enabled: No such file or directory (os error 2)");
        let setting = Setting::Sysctl { key: "vm.x".into(), value: "1".into() };
        let refused = SettingRefused { line: line(&setting), cause };
        let text = refused.to_string();
        assert!(
            text.starts_with("the kernel refused the setting sysctl vm.x = 1: /nonex"),
            "{text}"
        );
    }
}
