//! `bmc energy JOB --svg FILE`: asks for the record and the readings, and puts the picture in its place.

use crate::cli::EnergyArgs;
use crate::failure::refused;
use crate::picture;
use crate::server::Server;
use anyhow::Context;
use protocol::energy::JobEnergy;
use protocol::power_series::JobPower;
use std::io::Write;
use std::path::{Path, PathBuf};

/// What a file has that anybody makes, before the umask.
const ANYBODY: u32 = 0o666;

/// Asks, writes, and returns what to print.
pub(super) fn run(args: &EnergyArgs, file: &Path, server: &dyn Server) -> anyhow::Result<String> {
    let tries = server.energy(args.job)?;
    let energy = picked(args, &tries)?;
    let picture = picture(energy, &server.power_series(energy.reference, energy.restart_count)?)?;
    if file == Path::new("-") {
        return Ok(picture);
    }
    put(file, &picture).with_context(|| format!("cannot write {}", file.display()))?;
    Ok(format!("job {}, try {}: {}\n", energy.reference, start(energy), file.display()))
}

/// As `bmc energy` counts them.
fn start(energy: &JobEnergy) -> u64 {
    u64::from(energy.restart_count) + 1
}

/// The picture of that try, if there is anything to draw.
fn picture(energy: &JobEnergy, tries: &[JobPower]) -> anyhow::Result<String> {
    let same = |one: &&JobPower| one.restart_count == energy.restart_count;
    let nodes = || tries.iter().rfind(same).into_iter().flat_map(|power| &power.nodes);
    match tries.iter().rfind(same) {
        Some(power) if nodes().any(|node| !node.points.is_empty()) => {
            Ok(picture::render(energy, power))
        }
        _ => {
            let are_gone = nodes().any(|node| node.gone_until_unix_ns.is_some());
            Err(nothing_to_draw(energy, are_gone))
        }
    }
}

/// The try to draw.
fn picked<'a>(args: &EnergyArgs, tries: &'a [JobEnergy]) -> anyhow::Result<&'a JobEnergy> {
    let job = args.job;
    let Some(last) = tries.last() else {
        let hint = "It did not get to a node.";
        return Err(refused(format!("job {job} has no energy record"), hint));
    };
    let mut parts: Vec<String> = tries.iter().map(|one| one.reference.to_string()).collect();
    parts.sort_unstable();
    parts.dedup();
    if let [first, _, ..] = &parts[..] {
        let message = format!("job {job} has {} parts, and a picture shows one", parts.len());
        return Err(refused(message, format!("Name one: bmc energy {first} --svg FILE.")));
    }
    let Some(wanted) = args.start else { return Ok(last) };
    tries.iter().rfind(|one| start(one) == u64::from(wanted)).ok_or_else(|| {
        let all: Vec<String> = tries.iter().map(|one| start(one).to_string()).collect();
        refused(format!("job {job} has no try {wanted}"), format!("It has: {}.", all.join(", ")))
    })
}

fn nothing_to_draw(energy: &JobEnergy, are_gone: bool) -> anyhow::Error {
    let (job, start) = (energy.reference, start(energy));
    if are_gone {
        let message =
            format!("the power readings of job {job}, try {start}, are not kept any more");
        let hint = format!("They are kept for three days; its energy is in: bmc energy {job}.");
        return refused(message, hint);
    }
    let message = format!("there are no power readings of job {job}, try {start}, to draw");
    refused(message, "None of its nodes' meters gave one: their energy is unknown, not zero.")
}

/// Puts a text in the place of a file, whole or not at all. What is no file (a pipe, a terminal) is
/// written to.
fn put(file: &Path, text: &str) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    if file.exists() && !file.is_file() {
        return Ok(std::fs::write(file, text)?);
    }
    // Where it is a symbolic link, what it leads to is replaced.
    let target: PathBuf = file.canonicalize().unwrap_or_else(|_| file.to_owned());
    let kept = target.metadata().map(|metadata| metadata.permissions());
    let directory = target.parent().filter(|parent| !parent.as_os_str().is_empty());
    let mut new = tempfile::Builder::new()
        .prefix(".bmc-energy-")
        .permissions(kept.unwrap_or_else(|_| std::fs::Permissions::from_mode(ANYBODY)))
        .tempfile_in(directory.unwrap_or_else(|| Path::new(".")))?;
    new.write_all(text.as_bytes())?;
    new.persist(&target)?;
    Ok(())
}

#[cfg(test)]
#[path = "energy_picture_tests.rs"]
mod tests;
