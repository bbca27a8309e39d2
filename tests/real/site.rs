//! The configuration the cluster runs with is what `slurm-conf generate` wrote; `slurm-conf check`
//! finds nothing wrong with it, and finds what is taken out of it.

use crate::case::{Case, ensure_contains};
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::Path;
use tests::product::check;

const FRAGMENT: &str = "bare-metal-container.conf";

/// File, what stands there, what stands there instead, and how the finding begins and ends.
const BREAKS: [(&str, &str, &str, [&str; 2]); 3] = [
    (
        FRAGMENT,
        "PrologSlurmctld=",
        "#PrologSlurmctld=",
        [
            "slurm.conf: PrologSlurmctld: is not set: no job ever asks for its kernel",
            "instead: PrologSlurmctld=/usr/libexec/bare-metal-container/prolog",
        ],
    ),
    (
        FRAGMENT,
        "OverSubscribe=EXCLUSIVE",
        "OverSubscribe=YES",
        [
            "OverSubscribe: is not EXCLUSIVE in partition bmc: two jobs share a node",
            "instead: OverSubscribe=EXCLUSIVE",
        ],
    ),
    (
        "slurm.conf",
        "MessageTimeout=30",
        "SuspendExcParts=bmc",
        ["SuspendExcParts: keeps bmc out of power saving", "instead: the list without bmc"],
    ),
];

/// Nothing is found on the running site; with one setting broken, in a copy, that one is.
pub(crate) fn slurm_conf_check_is_content(case: &Case<'_>) -> Result<()> {
    let said = check(case.cluster.run("root", &["slurm-conf", "check"])?)?;
    ensure!(said.starts_with("0 error(s), 0 warning(s), for Slurm "), "{said}");
    is_in_force(case)?;
    for (file, from, to, expected) in BREAKS {
        let copy = case.cluster.dir().join("broken-conf");
        copy_conf(&case.cluster.dir().join("etc-slurm"), &copy)?;
        let path = copy.join(file);
        let text = fs::read_to_string(&path)?;
        ensure!(text.contains(from), "{from:?} is not in {file}: {text}");
        fs::write(&path, text.replacen(from, to, 1))?;
        let conf = copy.join("slurm.conf").display().to_string();
        let output = case.cluster.run("root", &["slurm-conf", "check", "--slurm-conf", &conf])?;
        let said = String::from_utf8_lossy(&output.stdout);
        ensure!(output.status.code() == Some(1), "{from:?} broken: {}: {said}", output.status);
        expected.iter().try_for_each(|expected| ensure_contains(&said, expected))?;
        ensure_contains(&said, "\n1 error(s), 0 warning(s), for Slurm ")?;
    }
    Ok(())
}

/// slurmctld has read what was generated: every single setting is what it says of itself.
fn is_in_force(case: &Case<'_>) -> Result<()> {
    let text = fs::read_to_string(case.cluster.dir().join("etc-slurm").join(FRAGMENT))?;
    let shown = case.cluster.check(&["scontrol", "show", "config"])?;
    let settings = text.lines().filter_map(|line| line.split_once('='));
    let mut compared = 0;
    for (key, value) in settings.filter(|(key, _)| key.chars().all(char::is_alphanumeric)) {
        if ["NodeName", "PartitionName"].contains(&key) {
            continue;
        }
        let line = shown
            .lines()
            .find(|line| line.split_whitespace().next() == Some(key))
            .with_context(|| format!("slurmctld does not know {key}"))?;
        // Numbers are shown with their unit, e.g. `222 sec`.
        let (_, said) = line.split_once('=').with_context(|| line.to_owned())?;
        ensure!(said.split_whitespace().next() == Some(value), "{key}={value}, but {line}");
        compared += 1;
    }
    ensure!(compared > 10, "only {compared} settings were compared");
    Ok(())
}

fn copy_conf(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}
